package enrich

import (
	"net/netip"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Words of the Elastic Common Schema 9.4 (event.kind, event.category and
// event.type have closed lists of allowed values).

func ecsKind(e *Event) string {
	switch {
	case e.Kind == event.Gap || e.Kind == event.Heartbeat:
		return "metric"
	case e.Lens.Inventory && e.Kind != event.Status:
		return "state"
	}
	return "event"
}

func ecsCategory(k event.Kind) []string {
	switch k {
	case event.Process:
		return []string{"process"}
	case event.Socket, event.DNS, event.TLS:
		return []string{"network"}
	case event.HTTP:
		return []string{"network", "web"}
	case event.File:
		return []string{"file"}
	case event.Login:
		return []string{"authentication", "session"}
	}
	return []string{"host"}
}

func ecsType(e *Event) []string {
	switch e.Kind {
	case event.Process:
		if !e.Lens.Inventory {
			return []string{"start"}
		}
	case event.Socket:
		if !e.Lens.Inventory {
			return []string{"connection"}
		}
	case event.DNS:
		return []string{"protocol"}
	case event.File:
		return []string{fileType(e.Text(event.Verb))}
	case event.Login:
		return []string{"info"}
	}
	return []string{"info"}
}

func fileType(verb string) string {
	switch strings.ToUpper(verb) {
	case "CREATED", "CREATE":
		return "creation"
	case "DELETED", "DELETE", "UNLINK":
		return "deletion"
	case "UPDATED", "WRITE", "MOVED_TO", "MOVED_FROM", "ATTRIBUTES_MODIFIED":
		return "change"
	case "ACCESSED", "OPENED", "OPEN", "READ":
		return "access"
	}
	return "info"
}

// transport names the IP protocol as ECS does.
func transport(protocol string) string {
	switch strings.ToLower(protocol) {
	case "6", "tcp":
		return "tcp"
	case "17", "udp":
		return "udp"
	case "1", "icmp":
		return "icmp"
	case "58", "ipv6-icmp":
		return "ipv6-icmp"
	}
	return ""
}

// address reads an address as osquery writes it; ok is false for the empty and
// odd ones that audit rows are full of.
func address(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}

// RemoteAddress is the address of the event's other end, of a socket or a
// login, and the port where the row has one.
func (e *Event) RemoteAddress() (addr netip.Addr, port uint16, ok bool) {
	if addr, ok = address(e.Text(event.RemoteAddress)); !ok {
		if addr, ok = address(e.Text(event.RemoteHost)); !ok {
			return netip.Addr{}, 0, false
		}
	}
	if n, has := e.Int(event.RemotePort); has && n > 0 && n < 1<<16 {
		port = uint16(n)
	}
	return addr, port, true
}

// LocalAddress is the address of the event's near end.
func (e *Event) LocalAddress() (netip.Addr, bool) { return address(e.Text(event.LocalAddress)) }

// HasEnds tells whether the event is a conversation or a login, which has two ends.
func (e *Event) HasEnds() bool {
	switch e.Kind {
	case event.Socket, event.Login, event.DNS, event.HTTP, event.TLS:
		return true
	}
	return false
}

// RemoteName is the name of the event's other end, where only one can be.
func (e *Event) RemoteName() string {
	if len(e.Names) == 1 && e.Names[0].Status == Attributed {
		return e.Names[0].Name
	}
	return ""
}

// network writes the two ends of a connection. For a login the remote end is
// the source; for a socket it is the destination, unless the host accepted it.
func (w *writer) network(e *Event) {
	if !e.HasEnds() {
		return
	}
	remote, local := "destination", "source"
	if e.Inbound() {
		remote, local = local, remote
	}
	if addr, port, ok := e.RemoteAddress(); ok {
		w.end(remote, addr, port, e.RemoteName(), &e.RemoteLocation)
	}
	if addr, ok := e.LocalAddress(); ok {
		port, _ := e.Int(event.LocalPort)
		w.end(local, addr, uint16(max(0, min(port, 1<<16-1))), "", &e.LocalLocation)
	}
	protocol, uid := transport(e.Text(event.Protocol)), e.Text(event.ConnectionUID)
	if protocol != "" || uid != "" {
		w.object("network")
		w.Text("transport", protocol)
		w.Text("connection_uid", uid)
		w.Close('}')
	}
}

func (w *writer) end(name string, addr netip.Addr, port uint16, domain string, l *Location) {
	w.object(name)
	w.Text("address", addr.String())
	w.Text("domain", domain)
	w.Text("ip", addr.String())
	if port > 0 {
		w.Number("port", int64(port))
	}
	w.location(l)
	w.Close('}')
}

// related gathers the values that an analyst pivots on.
func (w *writer) related(e *Event) {
	var ips []string
	if addr, _, ok := e.RemoteAddress(); ok {
		ips = append(ips, addr.String())
	}
	if addr, ok := e.LocalAddress(); ok {
		ips = append(ips, addr.String())
	}
	hashes := []string{e.Text(event.MD5), e.Text(event.SHA1), e.Text(event.SHA256)}
	hosts := []string{e.HostIdentifier.Text(), e.Text(event.Domain), e.Text(event.SNI), e.Text(event.HTTPHost), e.RemoteName()}
	users := userNames(e)
	if strings.Join(ips, "")+strings.Join(hashes, "")+strings.Join(hosts, "")+strings.Join(users, "") == "" {
		return
	}
	w.object("related")
	w.Texts("ip", ips...)
	w.Texts("hosts", hosts...)
	w.Texts("user", users...)
	w.Texts("hash", hashes...)
	w.Close('}')
}

// userNames are those of the row, its process and its login.
func userNames(e *Event) []string {
	names := []string{e.Text(event.UserName)}
	if e.Process != nil {
		names = append(names, e.Process.UserName)
	}
	if e.Session != nil {
		names = append(names, e.Session.UserName, e.Session.AuditUserName)
	}
	return names
}

// confidence gives a number the word ECS has for it.
func confidence(n int) string {
	switch {
	case n <= 0:
		return "Not Specified"
	case n < 30:
		return "Low"
	case n < 70:
		return "Medium"
	}
	return "High"
}

// threats writes the first n matches.
func (w *writer) threats(e *Event, n int) {
	if len(e.Threats) == 0 {
		return
	}
	shown := e.Threats[:min(n, len(e.Threats))]
	w.Cut = w.Cut || len(shown) < len(e.Threats)
	w.object("threat")
	w.array("enrichments")
	for i := range shown {
		w.Comma()
		t := shown[i]
		t.FirstSeenHere = time.Time{} // each process has its own word; records are to be the same whoever writes them
		w.threat(&t)
	}
	w.Close(']')
	w.Close('}')
}

func (w *writer) threat(t *Threat) {
	w.Open('{')
	w.object("indicator")
	w.Text("type", t.Type)
	w.Text("name", t.Indicator)
	if t.Type == "ipv4-addr" || t.Type == "ipv6-addr" {
		if addr, ok := address(t.Indicator); ok {
			w.Text("ip", addr.String())
		}
	}
	if t.Port > 0 {
		w.Number("port", int64(t.Port))
	}
	w.Text("provider", t.Feed)
	w.Text("confidence", confidence(t.Confidence))
	w.Text("description", t.Name)
	w.Text("reference", t.Reference)
	w.Time("first_seen", t.FirstSeen)
	w.Time("last_seen", t.LastSeen)
	if t.TLP != "" {
		w.object("marking")
		w.Text("tlp", strings.ToUpper(t.TLP))
		w.Close('}')
	}
	w.Close('}')
	w.object("matched")
	w.Text("atomic", t.Atomic)
	w.Text("field", t.Field)
	w.Text("type", "indicator_match_rule")
	w.Close('}')
	w.object("feed")
	w.Text("name", t.Feed)
	w.Text("generation", t.Generation)
	w.Number("confidence", int64(t.Confidence))
	w.Text("match", t.How)
	w.Text("seen_in", string(t.SeenIn))
	w.Text("direction", string(t.Direction))
	w.Texts("tags", t.Tags...)
	if t.Reports > 0 {
		w.Number("reports", int64(t.Reports))
	}
	w.Text("provenance", t.Provenance)
	w.verdict(t)
	w.Close('}')
	w.Close('}')
}

// verdict writes what the indicator is called at its owner's, when it holds, and
// what other lists said of the same value.
func (w *writer) verdict(t *Threat) {
	w.Text("id", t.ID)
	w.Text("event", t.Event)
	w.Texts("techniques", t.Techniques...)
	w.Time("valid_from", t.ValidFrom)
	w.Time("valid_until", t.ValidUntil)
	if t.BeforeValidFrom {
		w.Truth("before_valid_from", true)
	}
	w.Time("first_seen_here", t.FirstSeenHere)
	w.Time("delisted", t.Delisted)
	w.Text("suppressed_by", t.SuppressedBy)
	w.Text("downgraded_by", t.DowngradedBy)
	w.Texts("labels", t.Labels...)
}
