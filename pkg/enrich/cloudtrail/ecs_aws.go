package cloudtrail

// aws writes what ECS has no names for.
func (a *answer) aws(w *writer) {
	r := a.record
	own := actorOf(r)
	w.object("principal", func() {
		principal(w, &own)
		w.truth("mfa", r.Identity.MFA)
	})
	w.object("root", func() { principal(w, &a.chain.Root) })
	w.list("key_chain", len(a.chain.Hops), func(i int) { hop(w, &a.chain.Hops[i]) })
	w.object("console_login", func() { login(w, a.chain.Login) })
	w.object("instance", func() { instance(w, &a.host) })
	if len(a.labels) > 0 {
		w.key("labels")
		w.b = append(w.b, a.labels...)
	}
	w.text("source", string(r.Source.Kind))
	w.text("service", r.Identity.Service())
	w.truth("read_only", r.ReadOnly)
	w.truth("management", r.Management)
	if r.FromConsole {
		w.boolean("from_console", true)
	}
	w.text("vpc_endpoint", r.VPCEndpointID)
	w.amount("bytes_in", r.Additional.BytesIn)
	w.amount("bytes_out", r.Additional.BytesOut)
	w.texts("redacted", a.redacted...)
	w.texts("odd", r.Odd...)
}

func principal(w *writer, p *Actor) {
	w.text("type", p.Type)
	w.text("arn", p.ARN)
	w.text("id", p.PrincipalID)
	w.text("account", p.Account)
	w.text("name", p.Name)
	w.text("access_key", p.AccessKeyID)
	w.text("issuer", p.IssuerARN)
	w.text("source_identity", p.SourceIdentity)
	w.text("service", p.Service)
	w.time("session_created", p.SessionCreated)
}

func hop(w *writer, h *Hop) {
	w.text("access_key", h.KeyID)
	w.text("via", h.Via)
	w.text("event_id", h.EventID)
	w.time("time", h.Time)
	w.object("by", func() { principal(w, &h.By) })
}

func login(w *writer, f *Fact) {
	if f == nil || f.Login == nil {
		return
	}
	w.text("event_id", f.EventID)
	w.time("time", f.Time)
	if f.Login.MFA != nil {
		w.boolean("mfa", *f.Login.MFA)
	}
	w.text("source", f.Actor.Source)
	w.text("user_agent", f.Actor.UserAgent)
}

func instance(w *writer, h *Host) {
	if h.ID == "" {
		return
	}
	w.text("id", h.ID)
	w.text("proof", string(h.Proof))
	f := h.Launch
	if f == nil || f.Launch == nil {
		return
	}
	w.object("launch", func() {
		l := f.Launch
		w.text("event_id", f.EventID)
		w.time("time", f.Time)
		w.object("by", func() { principal(w, &h.Launcher.Actor) })
		if len(h.Behind.Hops) > 0 {
			w.object("root", func() { principal(w, &h.Behind.Root) })
		}
		w.object("console_login", func() { login(w, h.Behind.Login) })
		w.text("source", h.Launcher.Actor.Source)
		w.text("image", l.ImageID)
		w.text("instance_type", l.InstanceType)
		w.text("profile", l.ProfileARN)
		w.text("key_name", l.KeyName)
		w.text("vpc", l.VPC)
		w.text("group", l.Group)
		w.text("service", f.Actor.Service)
	})
}

// textLimit bounds one text of what is appended alone.
const textLimit = 512

// AppendInstance appends an instance and its launch as aws.instance has them.
func AppendInstance(dst []byte, h *Host) []byte {
	w := &writer{b: dst, limit: textLimit}
	w.open('{')
	instance(w, h)
	w.close('}')
	return w.b
}

// AppendChain appends the members root, key_chain and console_login, as aws has them,
// and the actor at the beginning of it as principal: members of an object that the
// caller has opened.
func AppendChain(dst []byte, a *Actor, c *Chain) []byte {
	w := &writer{b: dst, limit: textLimit, fresh: true}
	w.object("principal", func() { principal(w, a) })
	w.object("root", func() { principal(w, &c.Root) })
	w.list("key_chain", len(c.Hops), func(i int) { hop(w, &c.Hops[i]) })
	w.object("console_login", func() { login(w, c.Login) })
	return w.b
}
