package process

import "github.com/stackjoin/stackjoin/pkg/enrich"

// link answers for what a sensor saw of the host: the process of the one socket that it
// was, or which processes those are that it may have been.
func (o *Operator) link(e *enrich.Event) error {
	if len(e.Link.Sockets) == 0 {
		return nil
	}
	h, err := o.store.host(e.Host)
	if err != nil {
		return err
	}
	defer o.store.trim()
	_, only := e.Link.Only()
	for i := range e.Link.Sockets {
		s := &e.Link.Sockets[i]
		e.Ask(s.PID)
		at := nanos(s.At)
		v, contradicted := h.find(s.PID, at, nil, "")
		if v == nil {
			if only {
				e.AddGap("process", h.missing(contradicted))
			}
			continue
		}
		s.EntityID, s.Executable = v.id, v.path
		if only {
			h.tell(e, link{v, s.PID}, at)
		}
	}
	return nil
}
