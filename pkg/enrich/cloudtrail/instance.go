package cloudtrail

import "strings"

// InstanceProof says how a record's instance is known.
type InstanceProof string

// The proofs, best first. ProofSessionName alone proves nothing: a person may name
// a session like an instance.
const (
	ProofScope       InstanceProof = "in_scope_of"   // userIdentity.inScopeOf, written by AWS
	ProofIdentity    InstanceProof = "instance_role" // the instance's own identity role, aws:ec2-instance
	ProofDelivery    InstanceProof = "role_delivery" // the session name, and ec2RoleDelivery
	ProofIssued      InstanceProof = "issued_key"    // the session name, and EC2 was seen to issue the key
	ProofSessionName InstanceProof = "session_name"  // the session name alone: may be forged
)

// instanceID returns the id in lower case, in which AWS writes it; ok is false for
// text that is none. Anonymised data mixes cases.
func instanceID(text string) (id string, ok bool) {
	if n := len(text); (n != 10 && n != 19) || (text[:2] != "i-" && text[:2] != "I-") {
		return "", false
	}
	for _, c := range []byte(text[2:]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return "", false
		}
	}
	return strings.ToLower(text), true
}

// Instance is the EC2 instance whose credentials made the call, as far as the record
// itself tells; empty for others.
func (id *Identity) Instance() (instance string, proof InstanceProof) {
	if _, tail, ok := strings.Cut(id.InScopeOf.CredentialsIssuedTo, ":instance/"); ok {
		if instance, ok := instanceID(tail); ok {
			return instance, ProofScope
		}
	}
	instance, ok := instanceID(id.SessionName())
	if !ok || id.Type != "AssumedRole" {
		return "", ""
	}
	switch {
	case strings.Contains(id.ARN, ":assumed-role/aws:ec2-instance/"): // no role of a user's has a colon in its name
		return instance, ProofIdentity
	case id.EC2RoleDelivery != "":
		return instance, ProofDelivery
	}
	return instance, ProofSessionName
}

// InstanceID returns the id of an EC2 instance in lower case, in which AWS writes it; ok
// is false for text that is none.
func InstanceID(text string) (id string, ok bool) { return instanceID(text) }
