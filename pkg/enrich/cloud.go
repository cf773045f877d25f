package enrich

// Cloud is what the cloud's own log tells of an event's host, as JSON values that are
// written as they are. Whoever made them leaves them alone; what is nil is left out.
type Cloud struct {
	// Machine is the member `cloud`, in names of the Elastic Common Schema.
	Machine []byte
	// Instance, Login, Objects and Labels are members of `aws`: the host's launch, the
	// principals behind the login that the process belongs to, the objects of a bucket
	// that the event's paths are, and what their owners call them.
	Instance, Login, Objects, Labels []byte
}

// cloud writes what is known of the host in the cloud. It is no part of the answer
// that revisions are made for: a fact that comes late changes it for later events.
func (w *writer) cloud(e *Event) {
	c := e.Cloud
	if c == nil {
		return
	}
	w.json("cloud", c.Machine)
	if len(c.Instance)+len(c.Login)+len(c.Objects)+len(c.Labels) == 0 {
		return
	}
	w.object("aws")
	w.json("instance", c.Instance)
	w.json("login", c.Login)
	w.json("objects", c.Objects)
	w.json("labels", c.Labels)
	w.Close('}')
}

// json writes a value that is JSON already.
func (w *writer) json(name string, value []byte) {
	if len(value) > 0 {
		w.Key(name)
		w.B = append(w.B, value...)
	}
}
