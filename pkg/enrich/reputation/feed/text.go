package feed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
)

const (
	maxLine = 64 << 10 // longer lines are refused unread
	sniffed = 8 << 10  // how much is looked at to tell a list from something else
	// checkEvery is how many lines are read between looks at the context.
	checkEvery = 4096
	shownText  = 80 // bytes of a line too long that are given
)

// Text is one document: unpacked, read once, hashed as it is read. It is not safe
// for concurrent use.
type Text struct {
	// Name is the document's, for a person to find a row by.
	Name string

	ctx  context.Context
	r    *bufio.Reader
	sum  hash.Hash
	head []byte
	n    int // of the last line
	read int64
	max  int64
}

// NewText begins a document of at most maxBytes, without its byte order mark; what
// is read is also written to sum. The error goes on from the document's name.
func NewText(ctx context.Context, name string, r io.Reader, sum hash.Hash, maxBytes int64) (*Text, error) {
	t := &Text{Name: name, ctx: ctx, r: bufio.NewReaderSize(r, maxLine), sum: sum, max: maxBytes}
	head, err := t.r.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		head = head[3:]
		if _, err := t.r.Discard(3); err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
	}
	t.head = bytes.Clone(bytes.TrimSpace(head))
	return t, t.sniff(head)
}

// sniff tells what no feed is.
func (t *Text) sniff(head []byte) error {
	switch {
	case len(t.head) == 0:
		return errors.New("is empty")
	case bytes.IndexByte(head, 0) >= 0:
		return errors.New("is binary, not a list")
	case t.head[0] == '<':
		return errors.New("is an HTML page, not a list")
	}
	return nil
}

// isJSON tells whether the document begins as JSON does.
func (t *Text) isJSON() bool {
	return t.head[0] == '{' || bytes.HasPrefix(t.head, []byte("[{")) || bytes.Equal(t.head, []byte("[]")) ||
		t.head[0] == '[' && len(bytes.TrimSpace(t.head[1:])) > 0 && bytes.IndexByte([]byte("{\"["), bytes.TrimSpace(t.head[1:])[0]) >= 0
}

func (t *Text) list() error {
	if t.isJSON() {
		return errors.New("is JSON, not a list")
	}
	return nil
}

func (t *Text) json() error {
	if !t.isJSON() {
		return errors.New("is not JSON")
	}
	return nil
}

func (t *Text) row(line []byte) Row { return Row{t.Name, t.n, line} }

// next returns the next line without its end, valid until the call after. ok is
// false at the end. tooLong marks a line of which only the start is given.
func (t *Text) next() (line []byte, tooLong, ok bool, err error) {
	if t.n%checkEvery == 0 {
		if err := t.ctx.Err(); err != nil {
			return nil, false, false, err
		}
	}
	line, err = t.r.ReadSlice('\n')
	t.took(line)
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line[:shownText])
		tooLong, err = true, t.skip()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, false, fmt.Errorf("cannot be read past line %d: %w", t.n, err)
	}
	if t.read > t.max {
		return nil, false, false, t.tooBig()
	}
	if len(line) == 0 {
		return nil, false, false, nil
	}
	t.n++
	return bytes.TrimRight(line, "\r\n"), tooLong, true, nil
}

// skip reads to the end of a line that is too long.
func (t *Text) skip() error {
	for {
		rest, err := t.r.ReadSlice('\n')
		t.took(rest)
		switch {
		case err == nil || t.read > t.max || errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("in a long line: %w", err)
		}
	}
}

// Read reads the document as bytes, for what is not made of lines.
func (t *Text) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := t.r.Read(p)
	t.took(p[:n])
	if t.read > t.max {
		return 0, t.tooBig()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("cannot be read: %w", err)
	}
	return n, err
}

func (t *Text) tooBig() error { return fmt.Errorf("is over %d MiB of text", t.max>>20) }

func (t *Text) took(text []byte) {
	t.sum.Write(text)
	t.read += int64(len(text))
}
