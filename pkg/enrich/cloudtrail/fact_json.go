package cloudtrail

import "github.com/stackjoin/stackjoin/internal/members"

// Append writes the fact as its tags say. Nearly every record states one.
func (f *Fact) Append(dst []byte) []byte {
	w := &members.Writer{B: dst}
	w.Open('{')
	w.Text("kind", string(f.Kind))
	w.Text("subject", f.Subject)
	w.Text("event_id", f.EventID)
	w.Text("account", f.Account)
	w.Text("region", f.Region)
	w.Moment("time", f.Time)
	w.Moment("until", f.Until)
	w.Text("via", f.Via)
	w.Object("actor", func() { f.Actor.write(w) })
	f.writeAbout(w)
	w.Close('}')
	return w.B
}

func (a *Actor) write(w *members.Writer) {
	w.Text("type", a.Type)
	w.Text("arn", a.ARN)
	w.Text("principal_id", a.PrincipalID)
	w.Text("account", a.Account)
	w.Text("name", a.Name)
	w.Text("access_key_id", a.AccessKeyID)
	w.Text("issuer_arn", a.IssuerARN)
	w.Text("issuer_type", a.IssuerType)
	w.Text("source_identity", a.SourceIdentity)
	w.Text("service", a.Service)
	w.Text("source", a.Source)
	w.Text("user_agent", a.UserAgent)
	w.Moment("session_created", a.SessionCreated)
}

// about is what a kind of facts has to say. One that is there is written, though it may
// have no members: an instance whose profile was taken away has one without a name.
type about interface{ write(w *members.Writer) }

func (f *Fact) writeAbout(w *members.Writer) {
	put := func(name string, there bool, x about) {
		if there {
			w.Key(name)
			w.Open('{')
			x.write(w)
			w.Close('}')
		}
	}
	put("launch", f.Launch != nil, f.Launch)
	put("issued_key", f.Key != nil, f.Key)
	put("profile", f.Profile != nil, f.Profile)
	put("session", f.Session != nil, f.Session)
	put("ssh_key", f.SSHKey != nil, f.SSHKey)
	put("interface", f.Interface != nil, f.Interface)
	put("ssm_agent", f.Agent != nil, f.Agent)
	put("login", f.Login != nil, f.Login)
	put("use", f.Use != nil, f.Use)
}

func (l *Launch) write(w *members.Writer) {
	w.Text("image_id", l.ImageID)
	w.Text("instance_type", l.InstanceType)
	w.Text("profile_arn", l.ProfileARN)
	w.Text("key_name", l.KeyName)
	w.Text("private_ip", l.PrivateIP)
	w.Text("vpc", l.VPC)
	w.Text("subnet", l.Subnet)
	w.Text("zone", l.Zone)
	w.Text("group", l.Group)
	w.Text("metadata_tokens", l.MetadataTokens)
}

func (k *IssuedKey) write(w *members.Writer) {
	w.Text("arn", k.ARN)
	w.Text("role", k.Role)
	w.Text("session_name", k.SessionName)
	w.Text("instance", k.Instance)
	w.Text("source_identity", k.SourceIdentity)
}

func (p *Profile) write(w *members.Writer) {
	w.Text("arn", p.ARN)
	w.Text("name", p.Name)
	w.Text("role", p.Role)
}

func (s *Session) write(w *members.Writer) {
	w.Texts("instances", s.Instances...)
	w.Text("document", s.Document)
	w.Mark("by_tags", s.ByTags)
}

func (k *SSHKey) write(w *members.Writer) {
	w.Text("user", k.User)
	w.Text("fingerprint", k.Fingerprint)
	w.Mark("serial", k.Serial)
}

func (i *Interface) write(w *members.Writer) {
	w.Text("id", i.ID)
	w.Text("instance", i.Instance)
	w.Text("private_ip", i.PrivateIP)
	w.Text("public_ip", i.PublicIP)
	w.Text("allocation", i.Allocation)
	w.Text("association", i.Association)
	w.Text("attachment", i.Attachment)
	w.Text("mac", i.MAC)
	w.Text("vpc", i.VPC)
	w.Text("subnet", i.Subnet)
	w.Text("gateway", i.Gateway)
}

func (a *Agent) write(w *members.Writer) {
	w.Text("ip", a.IP)
	w.Text("computer", a.Computer)
	w.Text("platform", a.Platform)
}

func (l *Login) write(w *members.Writer) {
	w.Mark("failed", l.Failed)
	if l.MFA != nil {
		w.Truth("mfa", *l.MFA)
	}
	w.Text("to", l.To)
}

func (u *Use) write(w *members.Writer) {
	w.Text("address", u.Address)
	w.Text("instance", u.Instance)
	w.Text("named", u.Named)
	w.Mark("agent", u.Agent)
	w.Text("delivery", u.Delivery)
}
