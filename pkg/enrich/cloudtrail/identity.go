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

func identityOf(n node, known *known) (id Identity) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "type":
			id.Type = known.text(v)
		case "principalId":
			id.PrincipalID = known.text(v)
		case "arn":
			id.ARN = known.text(v)
		case "accountId":
			id.AccountID = known.text(v)
		case "accessKeyId":
			id.AccessKeyID = known.text(v)
		case "userName":
			id.UserName = known.text(v)
		case "invokedBy":
			id.InvokedBy = known.text(v)
		case "identityProvider":
			id.IdentityProvider = known.text(v)
		case "credentialId":
			id.CredentialID = known.text(v)
		case "sessionContext":
			id.session(v, known)
		case "inScopeOf":
			id.InScopeOf = scopeOf(v, known)
		case "onBehalfOf":
			id.OnBehalfOf = v.get("userId").text()
		}
	})
	return id
}

// session reads sessionContext.
func (id *Identity) session(n node, known *known) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "sessionIssuer":
			id.Issuer = issuerOf(v, known)
		case "attributes":
			id.attributes(v)
		case "sourceIdentity":
			id.SourceIdentity = known.text(v)
		case "ec2RoleDelivery":
			id.EC2RoleDelivery = known.text(v)
		case "webIdFederationData":
			if id.IdentityProvider == "" {
				id.IdentityProvider = v.get("federatedProvider").text()
			}
		}
	})
}

// attributes reads those of a session.
func (id *Identity) attributes(n node) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "creationDate":
			id.SessionCreated, _, _ = when(v)
		case "mfaAuthenticated":
			id.MFA = v.truth()
		}
	})
}

func issuerOf(n node, known *known) (i Issuer) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "type":
			i.Type = known.text(v)
		case "principalId":
			i.PrincipalID = known.text(v)
		case "arn":
			i.ARN = known.text(v)
		case "accountId":
			i.AccountID = known.text(v)
		case "userName":
			i.UserName = known.text(v)
		}
	})
	return i
}

func scopeOf(n node, known *known) (s Scope) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "issuerType":
			s.IssuerType = known.text(v)
		case "credentialsIssuedTo":
			s.CredentialsIssuedTo = known.text(v)
		case "sourceArn":
			s.SourceARN = known.text(v)
		case "sourceAccount":
			s.SourceAccount = known.text(v)
		}
	})
	return s
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
