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
type protocol struct {
	*thrift.TBinaryProtocol
	in *thrift.TBufferedTransport
}

// newProtocol puts buffers and the binary protocol on a connection. cfg replaces
// what the connection was configured with.
func newProtocol(conn thrift.TTransport, cfg *thrift.TConfiguration) *protocol {
	in := thrift.NewTBufferedTransport(conn, bufferSize)
	return &protocol{TBinaryProtocol: thrift.NewTBinaryProtocolConf(in, cfg), in: in}
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
	text, err := readExactly(p.in, int(size))
	if err != nil {
		return "", thrift.NewTProtocolException(err) //nolint:wrapcheck // thrift looks at its own types
	}
	// Nobody else holds text, so it is as constant as a string has to be.
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

// readExactly reads size bytes into memory of that size. Of a large claim it reads
// the beginning first.
func readExactly(r io.Reader, size int) ([]byte, error) {
	head := make([]byte, min(size, trustAfter))
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
