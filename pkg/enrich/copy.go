package enrich

import "github.com/stackjoin/stackjoin/internal/members"

// Shape of the copies that other records carry, so that they can be read alone.
const (
	copyAncestors = 8
	copyText      = 2 << 10
)

// AppendProcess appends p with its ancestry as one JSON object, as enriched records
// have it.
func AppendProcess(dst []byte, p *Process) []byte {
	w := writer{Writer: members.Writer{B: dst, Limit: copyText}}
	w.Open('{')
	w.processMembers(p, w.Limit)
	w.Text("working_directory", p.WorkingDirectory)
	if len(p.Ancestors) > 0 {
		w.object("parent")
		w.processMembers(&p.Ancestors[0], w.Limit)
		w.Close('}')
		w.ancestry(p.Ancestors, copyAncestors)
	}
	w.Close('}')
	return w.B
}

// AppendThreat appends t as one JSON object, as enriched records have it.
func AppendThreat(dst []byte, t *Threat) []byte {
	w := writer{Writer: members.Writer{B: dst, Limit: copyText}}
	w.threat(t)
	return w.B
}

// AppendSession appends s as one JSON object, as enriched records have it.
func AppendSession(dst []byte, s *Session) []byte {
	w := writer{Writer: members.Writer{B: dst, Limit: copyText}}
	w.sessionObject(s)
	return w.B
}
