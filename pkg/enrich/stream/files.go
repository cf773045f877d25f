package stream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Scan is the one partition of a FileSession: its files are one history.
var Scan = Partition{Topic: "scan"} //nolint:gochecknoglobals // a constant, but for the language

// Limits of one batch of lines.
const (
	maxLines     = 2_000
	maxLineBytes = 4 << 20
)

// FileSession reads files of one record per line, in the order given, and writes
// the output as lines. Nothing is committed but what was written: it has no
// positions to keep. It implements Session.
type FileSession struct {
	names []string
	stdin io.Reader
	out   *bufio.Writer
	// DeadLetter is called with each output that is not for the output file.
	deadLetter func(enrich.Output)

	started bool
	ended   error // what ended the reading; io.EOF at the end of the last file
	open    *openFile
	read    int64
	buffer  []byte
}

type openFile struct {
	name  string
	line  int64
	lines *bufio.Reader
	file  io.Closer
}

// NewFileSession reads names, of which "-" is stdin, plain or gzip; enriched
// records go to out, one per line, and all others to deadLetter. The caller
// flushes nothing: each Commit does.
func NewFileSession(names []string, stdin io.Reader, out io.Writer, deadLetter func(enrich.Output)) *FileSession {
	return &FileSession{names: names, stdin: stdin, out: bufio.NewWriterSize(out, 256<<10), deadLetter: deadLetter}
}

// Read is the number of bytes of lines read so far, after decompression.
func (s *FileSession) Read() int64 { return s.read }

// Poll returns the next lines; empty ones are stepped over. The error for a file
// that cannot be read names it.
func (s *FileSession) Poll(ctx context.Context) (Polled, error) {
	if err := ctx.Err(); err != nil {
		return Polled{}, err
	}
	polled := Polled{}
	if !s.started {
		s.started = true
		polled.Assigned = []Partition{Scan}
	}
	records := s.fill()
	if len(records) > 0 {
		polled.Batches = []Batch{{Partition: Scan, Records: records}}
		return polled, nil
	}
	return polled, s.ended
}

// fill reads lines into one buffer, until it has enough or the reading ended.
func (s *FileSession) fill() []enrich.Input {
	s.buffer = s.buffer[:0]
	var ends []int
	var places []enrich.Position
	for s.ended == nil && len(ends) < maxLines && len(s.buffer) < maxLineBytes {
		start := len(s.buffer)
		if s.ended = s.line(); s.ended != nil {
			break
		}
		if len(bytes.TrimSpace(s.buffer[start:])) == 0 {
			s.buffer = s.buffer[:start]
			continue
		}
		ends = append(ends, len(s.buffer))
		places = append(places, enrich.Position{File: s.open.name, Line: s.open.line})
	}
	records := make([]enrich.Input, len(ends))
	start := 0
	for i, end := range ends {
		records[i] = enrich.Input{Value: s.buffer[start:end:end], Position: places[i]}
		start = end
	}
	return records
}

// line appends the next line of the files to the buffer, without its end.
func (s *FileSession) line() error {
	for {
		if s.open == nil {
			if err := s.next(); err != nil {
				return err
			}
		}
		start := len(s.buffer)
		err := s.appendLine()
		s.read += int64(len(s.buffer) - start)
		switch {
		case err == nil || errors.Is(err, io.EOF) && len(s.buffer) > start:
			s.buffer = bytes.TrimSuffix(bytes.TrimSuffix(s.buffer, []byte("\n")), []byte("\r"))
			s.open.line++
			return nil
		case !errors.Is(err, io.EOF):
			return fmt.Errorf("%s: line %d: %w", s.open.name, s.open.line+1, err)
		}
		if err := s.open.file.Close(); err != nil {
			return fmt.Errorf("%s: %w", s.open.name, err)
		}
		s.open = nil
	}
}

func (s *FileSession) appendLine() error {
	for {
		part, err := s.open.lines.ReadSlice('\n')
		s.buffer = append(s.buffer, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err //nolint:wrapcheck // line names the file
		}
	}
}

func (s *FileSession) next() error {
	if len(s.names) == 0 {
		return io.EOF
	}
	name := s.names[0]
	s.names = s.names[1:]
	file := io.NopCloser(s.stdin)
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return err //nolint:wrapcheck // os names the file
		}
		file = opened
	}
	lines := bufio.NewReaderSize(file, 256<<10)
	if magic, _ := lines.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		plain, err := gzip.NewReader(lines)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: gzip: %w", name, err), file.Close())
		}
		lines = bufio.NewReaderSize(plain, 256<<10)
	}
	s.open = &openFile{name: name, lines: lines, file: file}
	return nil
}

// Commit writes the outputs and flushes them.
func (s *FileSession) Commit(_ context.Context, outputs []enrich.Output) error {
	for i := range outputs {
		if outputs[i].Stream != enrich.Enriched {
			s.deadLetter(outputs[i])
			continue
		}
		if _, err := s.out.Write(append(outputs[i].Value, '\n')); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
