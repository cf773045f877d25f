package dns

import (
	"net/netip"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/internal/origin"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Keys: "m" is the host's own record, "a" and 16 bytes the names of an address, "c"
// and a name those that it is a CNAME of. A value begins with the format's number;
// format 1 has no places where rows were read.
const (
	format = 2
	placed = 2 // the first that has places
)

func hostKey() []byte { return []byte("m") }

func addressKey(addr netip.Addr) []byte {
	b := addr.As16()
	return append([]byte("a"), b[:]...)
}

func aliasKey(name string) []byte { return append([]byte("c"), name...) }

func (h *host) append(b []byte, format uint64) []byte {
	b = compact.Time(compact.Time(compact.Number(b, format), h.named), h.sweepAt)
	b = compact.Number(compact.Number(b, uint64(h.addresses)), uint64(h.aliases))
	if format >= placed {
		b = h.origins.Append(b)
	}
	return b
}

func (h *host) read(value []byte) error {
	r := compact.NewReader(value)
	written := r.Formats(1, format)
	h.named, h.sweepAt, h.addresses, h.aliases = r.Time(), r.Time(), int(r.Number()), int(r.Number())
	if written >= placed {
		h.origins = origin.Read(r)
	}
	return r.Err()
}

func encode(b []byte, all []name, format uint64) []byte {
	b = compact.Number(compact.Number(b, format), uint64(len(all)))
	for i := range all {
		n := &all[i]
		b = compact.Text(compact.Text(compact.Text(b, n.text), string(n.source)), n.id)
		b = compact.Number(compact.Number(b, uint64(n.pid)), uint64(n.port))
		if b = compact.Time(compact.Time(b, n.from), n.until); format >= placed {
			b = origin.AppendPlace(b, n.place)
		}
	}
	return b
}

// decode reads what encode wrote, the name that ends last first.
func decode(value []byte) ([]name, error) {
	r := compact.NewReader(value)
	written := r.Formats(1, format)
	all := make([]name, 0, r.Length())
	for range cap(all) {
		all = append(all, name{
			text: r.Text(), source: enrich.NameSource(r.Text()), id: r.Text(), pid: int64(r.Number()), port: uint16(r.Number()),
			from: r.Time(), until: r.Time(),
		})
		if written >= placed {
			all[len(all)-1].place = origin.ReadPlace(r)
		}
	}
	return all, r.Err()
}
