package extension

import (
	"context"
	"fmt"
	"io"
	"math"
	"unsafe"

	"github.com/apache/thrift/lib/go/thrift"
)

const (
	// bufferSize is that of a connection's read and write buffers. Larger reads
	// go past the buffer, straight to their destination.
	bufferSize = 4 << 10
	// trustAfter is how much of a long string must have come before memory for
	// all of it is taken: a header alone can claim two gigabytes.
	trustAfter = 1 << 20
	// reusedFrom is the length from which a string's memory is worth keeping for
	// the next.
	reusedFrom = bufferSize
	// maxMapSize bounds the entries of one map. osqueryd sends three at most.
	maxMapSize = 4096
)

// thriftConfig is what both ends of this package use: messages up to the largest
// size that thrift's 32-bit lengths can say.
func thriftConfig() *thrift.TConfiguration {
	return &thrift.TConfiguration{MaxMessageSize: math.MaxInt32}
}

// protocol is thrift's binary protocol with strings read into memory of just their
// length. Thrift's own grows a buffer and copies it into a string, which takes up
// to four times a large payload.
// It serves one connection after the other, since osqueryd opens two for each call.
type protocol struct {
	*thrift.TBinaryProtocol
	in   *thrift.TBufferedTransport
	link *link
	cfg  *thrift.TConfiguration
	// spare is memory for the next long string; lent is that of the last.
	spare, lent []byte
}

// link is the connection that a protocol stands on.
type link struct{ thrift.TTransport }

// SetTConfiguration implements thrift.TConfigurationSetter.
func (l *link) SetTConfiguration(cfg *thrift.TConfiguration) {
	thrift.PropagateTConfiguration(l.TTransport, cfg)
}

// newProtocol puts buffers and the binary protocol on a connection. cfg replaces
// what the connection was configured with.
func newProtocol(conn thrift.TTransport, cfg *thrift.TConfiguration) *protocol {
	l := &link{conn}
	in := thrift.NewTBufferedTransport(l, bufferSize)
	return &protocol{TBinaryProtocol: thrift.NewTBinaryProtocolConf(in, cfg), in: in, link: l, cfg: cfg}
}

// connect puts the protocol on another connection.
func (p *protocol) connect(conn thrift.TTransport) {
	p.link.TTransport = conn
	p.link.SetTConfiguration(p.cfg)
	p.in.Reader.Reset(p.link)
	p.in.Writer.Reset(p.link)
}

// release tells whether the request that was read is finished with, so that its
// memory can take the next one.
func (p *protocol) release(finished bool) {
	if finished {
		p.spare = p.lent
	}
	p.lent = nil
}

// take is memory for a string of that size.
func (p *protocol) take(size int) []byte {
	if size < reusedFrom || size > trustAfter {
		return make([]byte, min(size, trustAfter))
	}
	text := p.spare
	if p.spare = nil; cap(text) < size {
		text = make([]byte, size, size+size/4) // the next call is about as long
	}
	p.lent = text
	return text[:size]
}

// ReadString reads a length and as many bytes.
func (p *protocol) ReadString(ctx context.Context) (string, error) {
	size, err := p.ReadI32(ctx)
	if err != nil {
		return "", err //nolint:wrapcheck // thrift looks at its own types
	}
	if size < 0 {
		return "", thrift.NewTProtocolExceptionWithType(thrift.NEGATIVE_SIZE, fmt.Errorf("negative size: %d", size)) //nolint:wrapcheck // thrift looks at its own types
	}
	text, err := readExactly(p.in, p.take(int(size)), int(size))
	if err != nil {
		return "", thrift.NewTProtocolException(err) //nolint:wrapcheck // thrift looks at its own types
	}
	// Nobody writes to text before release, so until then it is as constant as a
	// string has to be.
	return unsafe.String(unsafe.SliceData(text), len(text)), nil //nolint:gosec // the comment above says why it is safe
}

// ReadMapBegin refuses maps that can not come from osqueryd, before memory is
// taken for them.
func (p *protocol) ReadMapBegin(ctx context.Context) (key, value thrift.TType, size int, err error) {
	key, value, size, err = p.TBinaryProtocol.ReadMapBegin(ctx)
	if err == nil && (size < 0 || size > maxMapSize) {
		err = thrift.NewTProtocolExceptionWithType(thrift.SIZE_LIMIT, fmt.Errorf("map of %d entries", size))
	}
	return key, value, size, err //nolint:wrapcheck // thrift looks at its own types
}

// readExactly reads size bytes, into head where it has that size. Of a large claim
// head takes the beginning first.
func readExactly(r io.Reader, head []byte, size int) ([]byte, error) {
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("reading a string of %d bytes: %w", size, err)
	}
	if len(head) == size {
		return head, nil
	}
	whole := make([]byte, size)
	copy(whole, head)
	if _, err := io.ReadFull(r, whole[len(head):]); err != nil {
		return nil, fmt.Errorf("reading a string of %d bytes: %w", size, err)
	}
	return whole, nil
}
