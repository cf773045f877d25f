package reputation

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
)

const (
	maxLine = 64 << 10 // longer lines are refused unread
	maxText = 2 << 30  // a feed of ten million hashes is a third of this
	sniffed = 8 << 10  // how much is looked at to tell a list from something else
	// checkEvery is how many lines are read between looks at the context.
	checkEvery = 4096
)

// stamp is what tells that a file changed without reading it.
type stamp struct {
	size, modified int64 // bytes, Unix nanoseconds
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime().UnixNano()} }

// lineReader hands out the lines of a feed's text, unpacked, without a byte order
// mark and line ends, and hashes the text as it goes.
type lineReader struct {
	ctx  context.Context
	r    *bufio.Reader
	sum  hash.Hash
	n    int // of the last line
	read int64
}

// withFeedText opens the file of a feed, checks that it is a text of lines, and
// hands it to use. The stamp is that of the file which was read.
func withFeedText(ctx context.Context, path string, use func(*lineReader) error) (stamp, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return stamp{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	lines, err := newLineReader(ctx, f)
	if err == nil {
		err = use(lines)
	}
	if err != nil {
		return stampOf(info), fmt.Errorf("%s %w", path, err)
	}
	return stampOf(info), nil
}

// openRegular opens a file, looking first: opening a pipe would wait for its
// writer.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no file %s", path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("looking at the feed: %w", err)
	}
	if info.IsDir() {
		return nil, nil, fmt.Errorf("%s is a directory, not a file", path)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is a device or a pipe, not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the feed: %w", err)
	}
	if info, err = f.Stat(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("looking at the feed: %w", err), f.Close())
	}
	return f, info, nil
}

// newLineReader unpacks gzip and refuses what cannot be a list. Its errors go on
// from the file's name.
func newLineReader(ctx context.Context, r io.Reader) (*lineReader, error) {
	raw := bufio.NewReader(r)
	if head, _ := raw.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(raw)
		if err != nil {
			return nil, fmt.Errorf("is broken gzip: %w", err)
		}
		r = unpacked
	} else {
		r = raw
	}
	l := &lineReader{ctx: ctx, r: bufio.NewReaderSize(r, maxLine), sum: sha256.New()}
	head, err := l.r.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		head = head[3:]
		if _, err := l.r.Discard(3); err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
	}
	return l, sniff(head)
}

// sniff tells what a file is that is not a list.
func sniff(head []byte) error {
	text := bytes.TrimSpace(head)
	switch {
	case len(text) == 0:
		return errors.New("is empty")
	case bytes.IndexByte(head, 0) >= 0 || bytes.HasPrefix(text, []byte("PK\x03\x04")):
		return errors.New("is binary, not a list")
	case text[0] == '<':
		return errors.New("is an HTML page, not a list")
	case text[0] == '{' || bytes.HasPrefix(text, []byte("[{")):
		return errors.New("is JSON, not a list")
	}
	return nil
}

// next returns the next line, valid until the call after. ok is false at the
// end. tooLong marks a line of which only the start is given.
func (l *lineReader) next() (line []byte, tooLong, ok bool, err error) {
	if l.n%checkEvery == 0 {
		if err := l.ctx.Err(); err != nil {
			return nil, false, false, err
		}
	}
	line, err = l.r.ReadSlice('\n')
	l.hash(line)
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line[:exampleText])
		tooLong, err = true, l.skip()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, false, fmt.Errorf("cannot be read past line %d: %w", l.n, err)
	}
	if l.read > maxText {
		return nil, false, false, fmt.Errorf("is over %d GiB of text", maxText>>30)
	}
	if len(line) == 0 {
		return nil, false, false, nil
	}
	l.n++
	return bytes.TrimRight(line, "\r\n"), tooLong, true, nil
}

// skip reads to the end of a line that is too long.
func (l *lineReader) skip() error {
	for {
		rest, err := l.r.ReadSlice('\n')
		l.hash(rest)
		switch {
		case err == nil || l.read > maxText:
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("in a long line: %w", err)
		}
	}
}

func (l *lineReader) hash(text []byte) {
	l.sum.Write(text)
	l.read += int64(len(text))
}

// generation names what was read.
func (l *lineReader) generation() string { return hex.EncodeToString(l.sum.Sum(nil)[:8]) }
