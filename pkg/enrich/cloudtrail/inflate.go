package cloudtrail

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// damage is compressed text that cannot be read on, which is the text's fault and
// not the machine's.
type damage struct{ err error }

func (d *damage) Error() string { return "gzip: " + d.err.Error() }
func (d *damage) Unwrap() error { return d.err }

// errBomb is text that grows beyond the limit when it is decompressed.
var errBomb = errors.New("decompresses to more than the limit")

// gzipped tells the magic number of gzip.
func gzipped(head []byte) bool { return len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b }

// outer remembers an error of the reader below, so that it is not taken for one of
// the compressed text.
type outer struct {
	r   io.Reader
	err error
}

func (o *outer) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		o.err = err
	}
	return n, err //nolint:wrapcheck // whoever opened the reader names it
}

// inflating reads gzip, members one after the other as one text, and pays for every
// byte out of a budget that all levels of a message share.
type inflating struct {
	below  *outer
	plain  *gzip.Reader
	budget *int64
}

// inflate wraps r where it begins with gzip's magic number, as often as it does.
func inflate(r *bufio.Reader, budget *int64) (io.Reader, error) {
	for level := 0; ; level++ {
		head, err := r.Peek(2)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read: %w", err)
		}
		if !gzipped(head) {
			return r, nil
		}
		if level == maxDepth {
			return nil, &damage{errors.New("compressed too often")}
		}
		below := &outer{r: r}
		plain, err := gzip.NewReader(below)
		if err != nil {
			return nil, below.blame(err)
		}
		r = bufio.NewReaderSize(&inflating{below, plain, budget}, firstRead)
	}
}

// blame makes an error of gzip's the text's, unless the reader below failed.
func (o *outer) blame(err error) error {
	if o.err != nil {
		return fmt.Errorf("read: %w", o.err)
	}
	return &damage{err}
}

func (i *inflating) Read(p []byte) (int, error) {
	if *i.budget <= 0 {
		return 0, &damage{errBomb}
	}
	n, err := i.plain.Read(p[:min(int64(len(p)), *i.budget)])
	*i.budget -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, i.below.blame(err)
	}
	return n, err //nolint:wrapcheck // io.EOF, as io.Reader wants it
}
