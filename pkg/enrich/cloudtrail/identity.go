package cloudtrail

import (
	"strings"
	"time"
)

// Identity is userIdentity: who called, and by which chain. Members that a record
// does not have are empty.
type Identity struct {
	Type, PrincipalID, ARN, AccountID, AccessKeyID, UserName string
	// InvokedBy is the service that called on the principal's behalf, or that is
	// the caller where Type is AWSService.
	InvokedBy string
	// IdentityProvider is that of a SAML or web identity user.
	IdentityProvider string
	// Issuer is the role or user that the session was made from.
	Issuer Issuer
	// SessionCreated is when the session's credentials were made.
	SessionCreated time.Time
	MFA            Truth
	// SourceIdentity is set by whoever assumed the first role and cannot change
	// from then on.
	SourceIdentity string
	// EC2RoleDelivery is the version of the metadata service that handed the
	// credentials out, "1.0" or "2.0"; empty for others.
	EC2RoleDelivery string
	InScopeOf       Scope
	// OnBehalfOf is the Identity Center user behind the call.
	OnBehalfOf string
	// CredentialID names an Identity Center bearer token.
	CredentialID string
}

// Issuer is sessionContext.sessionIssuer.
type Issuer struct{ Type, PrincipalID, ARN, AccountID, UserName string }

// Scope is inScopeOf: to what the credentials were issued.
type Scope struct{ IssuerType, CredentialsIssuedTo, SourceARN, SourceAccount string }

func identityOf(n node) (id Identity) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "type":
			id.Type = v.text()
		case "principalId":
			id.PrincipalID = v.text()
		case "arn":
			id.ARN = v.text()
		case "accountId":
			id.AccountID = v.text()
		case "accessKeyId":
			id.AccessKeyID = v.text()
		case "userName":
			id.UserName = v.text()
		case "invokedBy":
			id.InvokedBy = v.text()
		case "identityProvider":
			id.IdentityProvider = v.text()
		case "credentialId":
			id.CredentialID = v.text()
		case "sessionContext":
			id.session(v)
		case "inScopeOf":
			id.InScopeOf = scopeOf(v)
		case "onBehalfOf":
			id.OnBehalfOf = v.get("userId").text()
		}
	})
	return id
}

// session reads sessionContext.
func (id *Identity) session(n node) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "sessionIssuer":
			id.Issuer = issuerOf(v)
		case "attributes":
			id.SessionCreated, _, _ = when(v.get("creationDate"))
			id.MFA = v.get("mfaAuthenticated").truth()
		case "sourceIdentity":
			id.SourceIdentity = v.text()
		case "ec2RoleDelivery":
			id.EC2RoleDelivery = v.text()
		case "webIdFederationData":
			if id.IdentityProvider == "" {
				id.IdentityProvider = v.get("federatedProvider").text()
			}
		}
	})
}

func issuerOf(n node) (i Issuer) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "type":
			i.Type = v.text()
		case "principalId":
			i.PrincipalID = v.text()
		case "arn":
			i.ARN = v.text()
		case "accountId":
			i.AccountID = v.text()
		case "userName":
			i.UserName = v.text()
		}
	})
	return i
}

func scopeOf(n node) Scope {
	return Scope{
		IssuerType: n.get("issuerType").text(), CredentialsIssuedTo: n.get("credentialsIssuedTo").text(),
		SourceARN: n.get("sourceArn").text(), SourceAccount: n.get("sourceAccount").text(),
	}
}

// SessionName is what the caller named its session: the part of principalId after
// the colon, or the last part of the session's ARN. A person may choose any text.
func (id *Identity) SessionName() string {
	if _, name, ok := strings.Cut(id.PrincipalID, ":"); ok {
		return name
	}
	if strings.Contains(id.ARN, ":assumed-role/") {
		return lastPart(id.ARN)
	}
	return ""
}

// Service is the AWS service that made the call, for itself or on a principal's
// behalf; empty where a principal made it.
func (id *Identity) Service() string {
	if id.InvokedBy == "AWS Internal" && id.Type != "AWSService" {
		return ""
	}
	return id.InvokedBy
}

// Name is what a person would call the principal.
func (id *Identity) Name() string {
	switch {
	case id.UserName != "":
		return id.UserName
	case id.SessionName() != "":
		return id.SessionName()
	case id.Type == "Root":
		return "root"
	case id.ARN != "":
		return lastPart(id.ARN)
	}
	return id.InvokedBy
}

// lastPart is what follows the last slash of an ARN, or all of it.
func lastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
