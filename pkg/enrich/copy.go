package enrich

// Shape of the copies that other records carry, so that they can be read alone.
const (
	copyAncestors = 8
	copyText      = 2 << 10
)

// AppendProcess appends p with its ancestry as one JSON object, as enriched records
// have it.
func AppendProcess(dst []byte, p *Process) []byte {
	w := writer{b: dst, limit: copyText}
	w.open('{')
	w.processMembers(p, w.limit)
	w.text("working_directory", p.WorkingDirectory)
	if len(p.Ancestors) > 0 {
		w.object("parent")
		w.processMembers(&p.Ancestors[0], w.limit)
		w.close('}')
		w.ancestry(p.Ancestors, copyAncestors)
	}
	w.close('}')
	return w.b
}

// AppendThreat appends t as one JSON object, as enriched records have it.
func AppendThreat(dst []byte, t *Threat) []byte {
	w := writer{b: dst, limit: copyText, fresh: true}
	w.threat(t)
	return w.b
}

// AppendSession appends s as one JSON object, as enriched records have it.
func AppendSession(dst []byte, s *Session) []byte {
	w := writer{b: dst, limit: copyText, fresh: true}
	w.sessionObject(s)
	return w.b
}
