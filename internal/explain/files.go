package explain

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// Files reads evidence that lies in files, by line, plain or gzip.
type Files struct{}

// Read implements Reader. A place in a topic is ErrRemoved: no broker was named.
func (Files) Read(_ context.Context, at Place) (line []byte, err error) {
	if at.File == "" {
		return nil, fmt.Errorf("%w: it is in a topic, and no --config names the brokers", ErrRemoved)
	}
	if at.File == "-" {
		return nil, fmt.Errorf("%w: it came on standard input", ErrRemoved)
	}
	file, err := os.Open(at.File)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRemoved, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lines := bufio.NewReaderSize(file, 256<<10)
	if magic, _ := lines.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		plain, err := gzip.NewReader(lines)
		if err != nil {
			return nil, fmt.Errorf("%s: gzip: %w", at.File, err)
		}
		return nth(bufio.NewReaderSize(plain, 256<<10), at)
	}
	return nth(lines, at)
}

func nth(lines *bufio.Reader, at Place) ([]byte, error) {
	for n := int64(1); ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("%w: the file has %d lines", ErrRemoved, n-1)
			}
			return nil, fmt.Errorf("%s: %w", at.File, err)
		}
		if n == at.Line {
			return line, nil
		}
	}
}
