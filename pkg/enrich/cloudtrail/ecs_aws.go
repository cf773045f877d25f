package cloudtrail

import "github.com/stackjoin/stackjoin/internal/members"

// aws writes what ECS has no names for.
func (a *answer) aws(w *members.Writer) {
	r := a.record
	own := actorOf(r)
	w.Object("principal", func() {
		principal(w, &own)
		truth(w, "mfa", r.Identity.MFA)
	})
	w.Object("root", func() { principal(w, &a.chain.Root) })
	w.List("key_chain", len(a.chain.Hops), func(i int) { hop(w, &a.chain.Hops[i]) })
	w.Object("console_login", func() { login(w, a.chain.Login) })
	w.Object("instance", func() { instance(w, &a.host) })
	w.Raw("labels", a.labels)
	w.Text("source", string(r.Source.Kind))
	w.Text("service", r.Identity.Service())
	truth(w, "read_only", r.ReadOnly)
	truth(w, "management", r.Management)
	w.Mark("from_console", r.FromConsole)
	w.Text("vpc_endpoint", r.VPCEndpointID)
	w.Amount("bytes_in", r.Additional.BytesIn)
	w.Amount("bytes_out", r.Additional.BytesOut)
	w.Texts("redacted", a.redacted...)
	w.Texts("odd", r.Odd...)
}

func principal(w *members.Writer, p *Actor) {
	w.Text("type", p.Type)
	w.Text("arn", p.ARN)
	w.Text("id", p.PrincipalID)
	w.Text("account", p.Account)
	w.Text("name", p.Name)
	w.Text("access_key", p.AccessKeyID)
	w.Text("issuer", p.IssuerARN)
	w.Text("source_identity", p.SourceIdentity)
	w.Text("service", p.Service)
	w.Time("session_created", p.SessionCreated)
}

func hop(w *members.Writer, h *Hop) {
	w.Text("access_key", h.KeyID)
	w.Text("via", h.Via)
	w.Text("event_id", h.EventID)
	w.Time("time", h.Time)
	w.Object("by", func() { principal(w, &h.By) })
}

func login(w *members.Writer, f *Fact) {
	if f == nil || f.Login == nil {
		return
	}
	w.Text("event_id", f.EventID)
	w.Time("time", f.Time)
	if f.Login.MFA != nil {
		w.Truth("mfa", *f.Login.MFA)
	}
	w.Text("source", f.Actor.Source)
	w.Text("user_agent", f.Actor.UserAgent)
}

func instance(w *members.Writer, h *Host) {
	if h.ID == "" {
		return
	}
	w.Text("id", h.ID)
	w.Text("proof", string(h.Proof))
	f := h.Launch
	if f == nil || f.Launch == nil {
		return
	}
	w.Object("launch", func() {
		l := f.Launch
		w.Text("event_id", f.EventID)
		w.Time("time", f.Time)
		w.Object("by", func() { principal(w, &h.Launcher.Actor) })
		if len(h.Behind.Hops) > 0 {
			w.Object("root", func() { principal(w, &h.Behind.Root) })
		}
		w.Object("console_login", func() { login(w, h.Behind.Login) })
		w.Text("source", h.Launcher.Actor.Source)
		w.Text("image", l.ImageID)
		w.Text("instance_type", l.InstanceType)
		w.Text("profile", l.ProfileARN)
		w.Text("key_name", l.KeyName)
		w.Text("vpc", l.VPC)
		w.Text("group", l.Group)
		w.Text("service", f.Actor.Service)
	})
}

// textLimit bounds one text of what is appended alone.
const textLimit = 512

// AppendInstance appends an instance and its launch as aws.instance has them.
func AppendInstance(dst []byte, h *Host) []byte {
	w := &members.Writer{B: dst, Limit: textLimit}
	w.Open('{')
	instance(w, h)
	w.Close('}')
	return w.B
}

// AppendChain appends the members root, key_chain and console_login, as aws has them,
// and the actor at the beginning of it as principal: members of an object that the
// caller has opened.
func AppendChain(dst []byte, a *Actor, c *Chain) []byte {
	w := &members.Writer{B: dst, Limit: textLimit}
	w.Object("principal", func() { principal(w, a) })
	w.Object("root", func() { principal(w, &c.Root) })
	w.List("key_chain", len(c.Hops), func(i int) { hop(w, &c.Hops[i]) })
	w.Object("console_login", func() { login(w, c.Login) })
	return w.B
}

func truth(w *members.Writer, name string, v Truth) {
	if v != Unknown {
		w.Truth(name, v == True)
	}
}
