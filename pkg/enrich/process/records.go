package process

import (
	"cmp"
	"encoding/binary"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/internal/origin"
)

func appendRecord(dst []byte, r *record, format byte) []byte {
	dst = append(dst, format)
	dst = binary.AppendVarint(dst, r.sweepAt)
	dst = binary.AppendVarint(dst, r.evicted)
	dst = binary.AppendUvarint(dst, uint64(len(r.boots)))
	for _, b := range r.boots {
		dst = binary.AppendVarint(dst, b)
	}
	dst = appendText(dst, r.snapshot.call)
	dst = binary.AppendUvarint(dst, uint64(r.snapshot.lister))
	dst = binary.AppendVarint(dst, r.snapshot.at)
	dst = binary.AppendUvarint(dst, uint64(r.snapshot.next))
	if format >= placed {
		dst = r.origins.Append(dst)
	}
	return dst
}

func (r *reader) record() (rec record, err error) {
	rec.sweepAt, rec.evicted = r.int(), r.int()
	for range r.count(1) {
		rec.boots = append(rec.boots, r.int())
	}
	rec.snapshot = snapshot{call: r.own(), lister: uint32(r.uint()), at: r.int(), next: int(r.uint())}
	if r.format >= placed {
		r.part(func(c *compact.Reader) { rec.origins = origin.Read(c) })
	}
	return rec, r.done()
}

func appendLogins(dst []byte, l *logins, format byte) []byte {
	dst = binary.AppendUvarint(append(dst, format), uint64(len(l.facts)))
	for i := range l.facts {
		f := &l.facts[i]
		dst = append(binary.AppendVarint(dst, f.at), f.source, boolByte(f.out))
		for _, s := range [...]string{f.uid, f.user, f.terminal, f.remote} {
			dst = appendText(dst, s)
		}
		if format >= placed {
			dst = origin.AppendPlace(dst, f.from)
		}
	}
	return dst
}

func (r *reader) logins() (*logins, error) {
	l := &logins{}
	for range r.count(7) {
		l.facts = append(l.facts, fact{
			at: r.int(), source: r.byte(), out: r.byte() == 1,
			uid: r.text(), user: r.text(), terminal: r.text(), remote: r.text(), from: r.place(),
		})
	}
	return l, r.done()
}

// compareFacts orders what is told of one pid's logins: by time, then by source.
func compareFacts(a, b *fact) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.source, b.source), cmp.Compare(boolByte(a.out), boolByte(b.out)),
		cmp.Compare(a.uid, b.uid), cmp.Compare(a.user, b.user), cmp.Compare(a.terminal, b.terminal), cmp.Compare(a.remote, b.remote))
}
