package process

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/internal/origin"
)

// What is kept in the State, for each host under keys of its own:
//
//	h                       the host: sweepAt, evicted, boots, snapshot
//	p <pid, 8 bytes>        who had that pid: versions, endings
//	l <pid, 8 bytes>        logins whose process had that pid
//	u <uid>                 a user's name
//	c <pid, 8 bytes>        the container whose first process had that pid
//
// Numbers in keys are big-endian. Every value begins with the format's version, one
// byte; then numbers are varints (zig-zag where they may be negative), texts their
// length and bytes, lists their count and elements. Times are Unix nanoseconds.
// Format 1 has no places where rows were read.
const (
	format = 2
	placed = 2 // the first that has places
)

// Kinds of keys.
const (
	hostKey      = 'h'
	pidKey       = 'p'
	loginKey     = 'l'
	userKey      = 'u'
	containerKey = 'c'
)

// errCut is an error of a value that ends too early or goes on too long.
var errCut = errors.New("the value is cut off or has bytes too many")

// key appends a key of a number.
func key(dst []byte, kind byte, pid int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), uint64(pid))
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendHistory(dst []byte, h *history, format byte) []byte {
	dst = append(dst, format)
	dst = binary.AppendUvarint(dst, uint64(len(h.versions)))
	for i := range h.versions {
		if dst = appendVersion(dst, &h.versions[i]); format >= placed {
			dst = origin.AppendPlace(dst, h.versions[i].from)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(h.endings)))
	for i := range h.endings {
		d := &h.endings[i]
		dst = binary.AppendVarint(dst, d.at)
		dst = appendOrder(dst, d.order)
		dst = appendText(append(dst, boolByte(d.gone)), d.path)
	}
	return dst
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendOrder(dst []byte, o order) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, o.major), o.minor)
}

func appendVersion(dst []byte, v *version) []byte {
	dst = append(dst, v.flags)
	id, _ := hex.DecodeString(v.id) // our own hash
	dst = append(dst, id...)
	dst = binary.AppendVarint(dst, v.start)
	for _, t := range [...]int64{v.until, v.seen, v.first, v.listed} {
		dst = binary.AppendVarint(dst, t)
	}
	dst = binary.AppendUvarint(dst, uint64(v.lister))
	dst = binary.AppendVarint(dst, v.parent)
	dst = appendOrder(dst, v.order)
	for _, s := range [...]string{v.path, v.commandLine, v.directory, v.uid, v.auid, v.user, v.container, v.token} {
		dst = appendText(dst, s)
	}
	return dst
}

// reader takes a value apart. After an error it returns zeros.
type reader struct {
	b      []byte
	err    error
	keep   func([]byte) string // interns a text
	format byte
}

// newReader begins a value after its format's version.
func newReader(b []byte, keep func([]byte) string) *reader {
	switch {
	case len(b) == 0:
		return &reader{err: errCut, keep: keep}
	case b[0] < 1 || b[0] > format:
		return &reader{err: fmt.Errorf("the value has format %d, this program reads up to %d: run the version that wrote it", b[0], format), keep: keep}
	}
	return &reader{b: b[1:], keep: keep, format: b[0]}
}

func (r *reader) fail() {
	if r.b = nil; r.err == nil {
		r.err = errCut
	}
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() string { return r.keep(r.bytes(r.uint())) }

// own is a text that is worth no interning.
func (r *reader) own() string { return string(r.bytes(r.uint())) }

// count reads how many elements of at least size bytes follow.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

// place is where a row was read, not known in a value of an older format.
func (r *reader) place() (p origin.Place) {
	if r.format >= placed {
		r.part(func(c *compact.Reader) { p = origin.ReadPlace(c) })
	}
	return p
}

// part reads what another room wrote.
func (r *reader) part(read func(*compact.Reader)) {
	c := compact.NewReader(r.b)
	if read(c); c.Err() != nil {
		r.fail()
		return
	}
	r.b = r.b[len(r.b)-c.Rest():]
}

func (r *reader) order() order { return order{r.uint(), r.uint()} }

// done is the error of the whole value.
func (r *reader) done() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}

func (r *reader) history() (*history, error) {
	h := &history{}
	if n := r.count(16); n > 0 {
		h.versions = make([]version, n)
	}
	for i := range h.versions {
		r.version(&h.versions[i])
	}
	for range r.count(4) {
		h.endings = append(h.endings, ending{at: r.int(), order: r.order(), gone: r.byte() == 1, path: r.text()})
	}
	return h, r.done()
}

func (r *reader) version(v *version) {
	v.flags = r.byte()
	v.id = hex.EncodeToString(r.bytes(16))
	v.start = r.int()
	for _, t := range [...]*int64{&v.until, &v.seen, &v.first, &v.listed} {
		*t = r.int()
	}
	v.lister = uint32(r.uint())
	v.parent = r.int()
	v.order = r.order()
	v.path, v.commandLine, v.directory = r.text(), r.own(), r.text()
	v.uid, v.auid, v.user, v.container, v.token = r.text(), r.text(), r.text(), r.text(), r.text()
	v.from = r.place()
}
