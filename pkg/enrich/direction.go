package enrich

import (
	"strings"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Direction says who began a conversation, or that none came about.
type Direction string

// The directions; the empty one means that nothing tells.
const (
	Outbound Direction = "outbound" // the event's host, or the end that a sensor calls the origin
	Inbound  Direction = "inbound"  // the other end
	Failed   Direction = "failed"   // there was no answer, or a refusal
)

// Direction tells how the event's conversation began.
func (e *Event) Direction() Direction {
	switch {
	case e.failed():
		return Failed
	case e.Inbound():
		return Inbound
	case e.Lens.Inventory: // a table of open sockets does not say who opened them
		return ""
	}
	switch e.Kind {
	case event.Socket, event.DNS, event.HTTP, event.TLS:
		return Outbound
	}
	return ""
}

// Inbound tells whether the remote end began it: a login, or a connection that
// the host accepted.
func (e *Event) Inbound() bool {
	if e.Link != nil {
		return e.Link.Responder
	}
	verb, _ := e.Field(event.Verb)
	accepted := len(verb.Raw) >= 6 && strings.EqualFold(string(verb.Raw[:6]), "accept")
	return accepted || e.Kind == event.Login || e.Lens.Table == "listening_ports"
}

// failed tells a connection that did not come about, in the words of osquery's
// socket_events, Zeek's conn_state and Suricata's flow.state. One that was only
// begun (in_progress) may have.
func (e *Event) failed() bool {
	if e.Kind != event.Socket {
		return false
	}
	outcome, _ := e.Field(event.Outcome)
	switch e.Lens.Table {
	case "socket_events":
		return string(outcome.Raw) == "failed"
	case "zeek.conn":
		switch string(outcome.Raw) {
		case "S0", "REJ", "RSTOS0", "SH":
			return true
		}
	case "suricata.flow":
		return string(outcome.Raw) == "new"
	}
	return false
}
