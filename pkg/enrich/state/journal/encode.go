package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// An object is
//
//	"sjj1" | SHA-256 of the rest | zstd( whole | number | chain | changes | outputs )
//
// where whole tells whether the changes are all of the state, and the chain names the
// objects before it, oldest first, that are needed with it.
const magic = "sjj1"

// ErrDamaged tells that an object is not what was written.
var ErrDamaged = errors.New("journal object damaged")

// maxObject bounds what an object is decompressed to.
const maxObject = 8 << 30

type object struct {
	whole   bool
	number  uint64
	chain   []string
	changes []state.Change
	outputs []enrich.Output
}

// bytes is what an object holds, before it is compressed.
func (o *object) bytes() []byte {
	b := compact.Number(compact.Truth(nil, o.whole), o.number)
	b = compact.Number(b, uint64(len(o.chain)))
	for _, name := range o.chain {
		b = compact.Text(b, name)
	}
	b = compact.Number(b, uint64(len(o.changes)))
	for _, c := range o.changes {
		b = compact.Truth(text(b, c.Key), c.Value != nil)
		b = text(b, c.Value)
	}
	b = compact.Number(b, uint64(len(o.outputs)))
	for _, p := range o.outputs {
		b = text(text(append(b, byte(p.Stream)), p.Key), p.Value)
		b = compact.Text(compact.Text(compact.Text(b, p.ID), p.Kind), p.Schema)
	}
	return b
}

// newCoder makes what encode compresses with.
func newCoder() (*zstd.Encoder, error) {
	coder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return coder, nil
}

func (o *object) encode(coder *zstd.Encoder) []byte {
	b := o.bytes()
	body := coder.EncodeAll(b, make([]byte, 0, len(b)/4+64))
	sum := sha256.Sum256(body)
	return append(append([]byte(magic), sum[:]...), body...)
}

func text(b, value []byte) []byte { return append(compact.Number(b, uint64(len(value))), value...) }

// decode reads an object. Its error wraps ErrDamaged.
func decode(data []byte) (*object, error) {
	body, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok || len(body) < sha256.Size {
		return nil, fmt.Errorf("%w: it begins as no object of this version", ErrDamaged)
	}
	sum, body := body[:sha256.Size], body[sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxObject))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer decoder.Close()
	plain, err := decoder.DecodeAll(body, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return parse(plain)
}

func parse(plain []byte) (*object, error) {
	r := compact.NewReader(plain)
	o := &object{whole: r.Truth(), number: r.Number()}
	for range r.Length() {
		o.chain = append(o.chain, r.Text())
	}
	for range r.Length() {
		c := state.Change{Key: []byte(r.Text())}
		there, value := r.Truth(), []byte(r.Text())
		if there {
			c.Value = value
		}
		o.changes = append(o.changes, c)
	}
	for range r.Length() {
		o.outputs = append(o.outputs, enrich.Output{
			Stream: enrich.Stream(r.Byte()), Key: []byte(r.Text()), Value: []byte(r.Text()), ID: r.Text(), Kind: r.Text(), Schema: r.Text(),
		})
	}
	if r.Err() == nil && r.Rest() > 0 {
		r.Fail(errors.New("bytes left over"))
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return o, nil
}
