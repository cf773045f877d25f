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
const detailBytes = 40

// more is what is only read when an indicator was met.
type more struct {
	name, id, event, reference, tlp, tags, attack, document string
	from                                                    int64
}

// pack writes m as text, each part after its length.
func (m *more) pack(dst []byte) []byte {
	for _, part := range [...]string{m.name, m.id, m.event, m.reference, m.tlp, m.tags, m.attack, m.document} {
		dst = append(binary.AppendUvarint(dst, uint64(len(part))), part...)
	}
	return binary.AppendVarint(dst, m.from)
}

// unpackMore reads what pack wrote.
func unpackMore(text []byte) (m more) {
	for _, part := range [...]*string{&m.name, &m.id, &m.event, &m.reference, &m.tlp, &m.tags, &m.attack, &m.document} {
		size, n := binary.Uvarint(text)
		*part = string(text[n:][:size])
		text = text[n+int(size):]
	}
	m.from, _ = binary.Varint(text)
	return m
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

// add returns the number of what is said about an indicator of kind k.
func (d *details) add(k feed.Kind, i *feed.Indicator, document string) uint32 {
	out := detail{
		first: i.FirstSeen, last: i.LastSeen, until: i.ValidUntil, reports: i.Reports,
		port: i.Port, kind: k, confidence: i.Confidence, exact: i.Exact,
	}
	m := more{i.Name, i.ID, i.Event, i.Reference, i.TLP, i.Tags, i.Attack, document, i.ValidFrom}
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
