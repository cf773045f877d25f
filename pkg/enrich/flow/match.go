package flow

import (
	"net/netip"
	"time"
)

// wanted is what a sensor's record says of a socket, and what was seen that fits. What
// is found depends on the sockets alone, never on the order in which they are seen.
type wanted struct {
	local                 netip.Addr
	localPort, remotePort uint16
	at                    time.Time
	skew                  time.Duration

	// exact are those of the five-tuple that were opened last before the record, listed
	// those that a table showed, loose those whose rows have no local port.
	exact, listed, loose []socket
}

// see takes a socket to the same remote address.
func (w *wanted) see(s *socket) {
	if s.remotePort != w.remotePort && s.remotePort != 0 && w.remotePort != 0 {
		return
	}
	if s.local.IsValid() && w.local.IsValid() && s.local != w.local {
		return
	}
	// A row's times are whole seconds.
	apart := w.at.Sub(s.at.Truncate(time.Second))
	switch {
	case s.localPort == 0:
		if !s.listed && apart >= -w.skew && apart < w.skew+time.Second {
			w.loose = append(w.loose, *s)
		}
	case s.localPort != w.localPort:
	case s.listed:
		if apart >= -listedAfter && apart <= listedBefore {
			w.listed = append(w.listed, *s)
		}
	case apart >= -w.skew:
		if len(w.exact) > 0 && s.at.After(w.exact[0].at) {
			w.exact = w.exact[:0]
		}
		if len(w.exact) == 0 || s.at.Equal(w.exact[0].at) {
			w.exact = append(w.exact, *s)
		}
	}
}

// found are the sockets that fit by the best evidence there is.
func (w *wanted) found() []socket {
	switch {
	case len(w.exact) > 0:
		return w.exact
	case len(w.listed) > 0:
		return w.listed
	}
	return w.loose
}
