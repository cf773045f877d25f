package cloudtrail

import (
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/clip"
)

// FactKind is a fixed word for what a fact states.
type FactKind string

// The kinds, with what Subject holds and what Key is made of (see Fact.Key).
const (
	FactLaunch       FactKind = "launch"        // instance; one for each call that launched it (RunInstances, CreateFleet)
	FactInstanceEnd  FactKind = "instance_end"  // instance, terminated
	FactGroup        FactKind = "group"         // auto scaling group, created
	FactIssuedKey    FactKind = "issued_key"    // access key id, handed out
	FactKeyEnd       FactKind = "key_end"       // access key id, deleted
	FactProfile      FactKind = "profile"       // instance, with a profile or role from then on
	FactProfileRole  FactKind = "profile_role"  // instance profile's name, a role added to it
	FactSession      FactKind = "session"       // SSM session id, started or resumed
	FactSessionEnd   FactKind = "session_end"   // SSM session id, terminated
	FactCommand      FactKind = "command"       // SSM command id
	FactSSHKey       FactKind = "ssh_key"       // instance, a public key that is accepted for 60 s
	FactKeyPair      FactKind = "key_pair"      // key pair's name
	FactInterface    FactKind = "interface"     // network interface id
	FactInterfaceEnd FactKind = "interface_end" // network interface id, deleted, or attachment, detached
	FactAddress      FactKind = "address"       // address, owned from then on
	FactAddressEnd   FactKind = "address_end"   // address, allocation or association, given up
	FactAgent        FactKind = "ssm_agent"     // instance, as its SSM agent reports itself
	FactLogin        FactKind = "login"         // principal id, logged in at the console or refused
	FactUse          FactKind = "use"           // access key id, else principal id, used from an address (see Uses)
)

// Fact is one thing that a CloudTrail record states and that other records and
// hosts are judged by. It holds no secret: only what is named here is taken over.
// Times are UTC; what the record does not say is empty.
type Fact struct {
	Kind    FactKind `json:"kind"`
	Subject string   `json:"subject"`
	// EventID and Account name the record that stated it, Time is its time.
	EventID string    `json:"event_id,omitempty"`
	Account string    `json:"account,omitempty"`
	Region  string    `json:"region,omitempty"`
	Time    time.Time `json:"time,omitzero"`
	// Until is when the fact stops being true, where that is known beforehand.
	Until time.Time `json:"until,omitzero"`
	Via   string    `json:"via,omitempty"` // eventName
	Actor Actor     `json:"actor,omitzero"`

	Launch    *Launch    `json:"launch,omitempty"`
	Key       *IssuedKey `json:"issued_key,omitempty"`
	Profile   *Profile   `json:"profile,omitempty"`
	Session   *Session   `json:"session,omitempty"`
	SSHKey    *SSHKey    `json:"ssh_key,omitempty"`
	Interface *Interface `json:"interface,omitempty"`
	Agent     *Agent     `json:"ssm_agent,omitempty"`
	Login     *Login     `json:"login,omitempty"`
	Use       *Use       `json:"use,omitempty"`
}

// CompactionKey is the fact's key in a compacted topic:
// kind/account/subject/via/event/writer. Its writer is part of it, so that two
// writers never replace each other's facts. The event id is left out for facts of
// which a later one replaces the earlier: an agent's report of itself. Uses of one
// key from one address on one UTC day are one fact, the earliest.
func (f *Fact) CompactionKey(writer string) string {
	event, via := f.EventID, f.Via
	switch {
	case f.Kind == FactAgent:
		event = ""
	case f.Kind == FactUse && f.Use != nil: // one a day
		event, via = f.Use.Address+"/"+f.Time.Format(time.DateOnly), f.Use.how()
	}
	return strings.Join([]string{string(f.Kind), f.Account, f.Subject, via, event, writer}, "/")
}

// Actor is who made a call, as later questions need it.
type Actor struct {
	Type           string    `json:"type,omitempty"`
	ARN            string    `json:"arn,omitempty"`
	PrincipalID    string    `json:"principal_id,omitempty"`
	Account        string    `json:"account,omitempty"`
	Name           string    `json:"name,omitempty"`
	AccessKeyID    string    `json:"access_key_id,omitempty"`
	IssuerARN      string    `json:"issuer_arn,omitempty"`
	IssuerType     string    `json:"issuer_type,omitempty"`
	SourceIdentity string    `json:"source_identity,omitempty"`
	Service        string    `json:"service,omitempty"` // the AWS service that called
	Source         string    `json:"source,omitempty"`  // sourceIPAddress as it is
	UserAgent      string    `json:"user_agent,omitempty"`
	SessionCreated time.Time `json:"session_created,omitzero"`
}

// Launch is how an instance came to be.
type Launch struct {
	ImageID      string `json:"image_id,omitempty"`
	InstanceType string `json:"instance_type,omitempty"`
	ProfileARN   string `json:"profile_arn,omitempty"`
	KeyName      string `json:"key_name,omitempty"`
	PrivateIP    string `json:"private_ip,omitempty"`
	VPC          string `json:"vpc,omitempty"`
	Subnet       string `json:"subnet,omitempty"`
	Zone         string `json:"zone,omitempty"`
	// Group is the auto scaling group that the instance belongs to.
	Group string `json:"group,omitempty"`
	// MetadataTokens is "required" where only IMDSv2 answers.
	MetadataTokens string `json:"metadata_tokens,omitempty"`
}

// IssuedKey is an access key that was handed out, and for what.
type IssuedKey struct {
	// ARN is the session or user that the key is of, Role the role that was assumed.
	ARN         string `json:"arn,omitempty"`
	Role        string `json:"role,omitempty"`
	SessionName string `json:"session_name,omitempty"`
	// Instance is set where EC2 itself assumed the role for an instance.
	Instance       string `json:"instance,omitempty"`
	SourceIdentity string `json:"source_identity,omitempty"`
}

// Profile joins an instance or an instance profile with a role.
type Profile struct {
	ARN  string `json:"arn,omitempty"`
	Name string `json:"name,omitempty"`
	Role string `json:"role,omitempty"`
}

// Session is an SSM session or command on instances.
type Session struct {
	Instances []string `json:"instances,omitempty"`
	Document  string   `json:"document,omitempty"`
	// ByTags tells that the instances were named by tags and are not known here.
	ByTags bool `json:"by_tags,omitempty"`
}

// SSHKey is a public key: one pushed by EC2 Instance Connect, or a key pair's.
type SSHKey struct {
	User string `json:"user,omitempty"` // of the operating system
	// Fingerprint is SHA256:<base64> as OpenSSH prints it, or as AWS tells it of a
	// key pair.
	Fingerprint string `json:"fingerprint,omitempty"`
	Serial      bool   `json:"serial,omitempty"` // for the serial console
}

// Interface is a network interface, or who owns an address.
type Interface struct {
	ID         string `json:"id,omitempty"`
	Instance   string `json:"instance,omitempty"`
	PrivateIP  string `json:"private_ip,omitempty"`
	PublicIP   string `json:"public_ip,omitempty"`
	Allocation string `json:"allocation,omitempty"`
	// Association names an elastic address's tie, which its end tells alone.
	Association string `json:"association,omitempty"`
	MAC         string `json:"mac,omitempty"`
	VPC         string `json:"vpc,omitempty"`
	Subnet      string `json:"subnet,omitempty"`
	// Attachment names what ties the interface to its instance, which its end tells alone.
	Attachment string `json:"attachment,omitempty"`
	// Gateway is the NAT gateway that the address is of.
	Gateway string `json:"gateway,omitempty"`
}

// Agent is what an instance's SSM agent says of itself.
type Agent struct {
	IP       string `json:"ip,omitempty"`
	Computer string `json:"computer,omitempty"`
	Platform string `json:"platform,omitempty"`
}

// Login is a login at the console.
type Login struct {
	Failed bool  `json:"failed,omitempty"`
	MFA    *bool `json:"mfa,omitempty"`
	// To is the page that was asked for, without its parameters.
	To string `json:"to,omitempty"`
}

// actorOf is the record's caller.
func actorOf(r *Record) Actor {
	id := &r.Identity
	return Actor{
		Type: id.Type, ARN: id.ARN, PrincipalID: id.PrincipalID, Account: id.AccountID, Name: id.Name(),
		AccessKeyID: keyID(id.AccessKeyID), IssuerARN: id.Issuer.ARN, IssuerType: id.Issuer.Type, SourceIdentity: id.SourceIdentity,
		Service: id.Service(), Source: r.Source.Text, UserAgent: clip.Text(r.UserAgent, maxAgent), SessionCreated: id.SessionCreated,
	}
}

// maxAgent is how much of a user agent a fact keeps, in bytes.
const maxAgent = 256

// keyID returns the text of an access key id, empty for what cannot be one (masked,
// or empty as in console logins).
func keyID(text string) string {
	if len(text) < 16 || len(text) > 128 {
		return ""
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '_' && c != '-' {
			return ""
		}
	}
	return text
}
