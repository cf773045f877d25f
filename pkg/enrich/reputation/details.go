package reputation

import (
	"encoding/binary"
	"strings"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// detail is what a feed says about an indicator, as far as a lookup needs it.
// Rows that say the same share one.
type detail struct {
	// first and last are when it was seen, until when it ends, in Unix seconds, 0
	// for unknown.
	first, last, until int64
	// gone is when the feed no longer had it, 0 where it has.
	gone int64
	// more is where the rest stands, 0 for nothing more.
	more uint32
	// reports is the feed's own number: how many lists or sightings.
	reports uint32
	// port is the one the indicator is about, 0 for any.
	port       uint16
	kind       feed.Kind
	confidence uint8
	// exact keeps names below this one from matching.
	exact bool
}

// detailBytes is the size of a detail in memory.
const detailBytes = 48

// more is what is only read when an indicator was met.
type more struct {
	name, id, event, reference, tlp, tags, attack, document string
	// generation is that of the list it stood in, where that is not the table's.
	generation string
	from       int64
}

// pack writes m as text, each part after its length.
func (m *more) pack(dst []byte) []byte {
	for _, part := range [...]string{m.name, m.id, m.event, m.reference, m.tlp, m.tags, m.attack, m.document, m.generation} {
		dst = append(binary.AppendUvarint(dst, uint64(len(part))), part...)
	}
	return binary.AppendVarint(dst, m.from)
}

// unpackMore reads what pack wrote.
func unpackMore(text []byte) (m more) {
	for _, part := range [...]*string{&m.name, &m.id, &m.event, &m.reference, &m.tlp, &m.tags, &m.attack, &m.document, &m.generation} {
		size, n := binary.Uvarint(text)
		*part = string(text[n:][:size])
		text = text[n+int(size):]
	}
	m.from, _ = binary.Varint(text)
	return m
}

// standing is where an indicator stands: a document, empty for a feed's only one, of
// a generation, empty for the table's own, and when it left that, 0 for not.
type standing struct {
	document, generation string
	gone                 int64
}

// details gathers what a feed says, each thing once.
type details struct {
	all    []detail
	known  map[detail]uint32
	texts  []byte
	places map[string]uint32
	buf    []byte
}

func newDetails() details {
	return details{known: map[detail]uint32{}, places: map[string]uint32{}, texts: make([]byte, 1)}
}

// add returns the number of what is said about an indicator of kind k, which stands
// in at.
func (d *details) add(k feed.Kind, i *feed.Indicator, at standing) uint32 {
	out := detail{
		first: i.FirstSeen, last: i.LastSeen, until: i.ValidUntil, reports: i.Reports,
		gone: at.gone, port: i.Port, kind: k, confidence: i.Confidence, exact: i.Exact,
	}
	m := more{i.Name, i.ID, i.Event, i.Reference, i.TLP, i.Tags, i.Attack, at.document, at.generation, i.ValidFrom}
	if m != (more{}) {
		out.more = d.place(&m)
	}
	n, ok := d.known[out]
	if !ok {
		n = uint32(len(d.all))
		d.known[out] = n
		d.all = append(d.all, out)
	}
	return n
}

func (d *details) place(m *more) uint32 {
	d.buf = m.pack(d.buf[:0])
	at, ok := d.places[string(d.buf)]
	if !ok {
		at = uint32(len(d.texts))
		d.places[string(d.buf)] = at
		d.texts = append(d.texts, d.buf...)
	}
	return at
}

// maxWords bounds the tags, techniques and labels that one match carries.
const maxWords = 32

// splitWords splits a list between commas.
func splitWords(list string) []string {
	if list == "" {
		return nil
	}
	words := strings.Split(list, ",")
	return words[:min(len(words), maxWords)]
}
