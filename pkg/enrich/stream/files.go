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
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/event"
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
	files []logFile
	stdin io.Reader
	out   *bufio.Writer
	// DeadLetter is called with each output that is not for the output file.
	deadLetter func(enrich.Output)

	states  map[string]enrich.State
	started bool
	ended   error // what ended the reading; io.EOF at the end of the last file
	open    *openFile
	read    int64
	buffer  []byte
	found   []found
}

// logFile is a file to read: osquery's or a network sensor's.
type logFile struct {
	name   string
	sensor bool
}

type openFile struct {
	name  string
	line  int64
	lines *bufio.Reader
	file  io.Closer
	// sensor takes the lines of a sensor's log apart; nil for osquery's, where a
	// line is a record.
	sensor *event.SensorLog
}

// found is a record's place in the buffer and what is told with it.
type found struct {
	start, end int
	input      enrich.Input
}

// NewFileSession reads names, of which "-" is stdin, plain or gzip; enriched
// records go to out, one per line, and all others to deadLetter. The caller
// flushes nothing: each Commit does.
func NewFileSession(names []string, stdin io.Reader, out io.Writer, deadLetter func(enrich.Output)) *FileSession {
	s := &FileSession{stdin: stdin, out: bufio.NewWriterSize(out, 256<<10), deadLetter: deadLetter, states: map[string]enrich.State{}}
	s.add(names, false)
	return s
}

// AddSensors has logs of network sensors read after what is to be read so far.
func (s *FileSession) AddSensors(names []string) { s.add(names, true) }

func (s *FileSession) add(names []string, sensor bool) {
	for _, name := range names {
		s.files = append(s.files, logFile{name, sensor})
	}
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
	s.buffer, s.found = s.buffer[:0], s.found[:0]
	for s.ended == nil && len(s.found) < maxLines && len(s.buffer) < maxLineBytes {
		start := len(s.buffer)
		if s.ended = s.line(); s.ended == nil {
			s.take(start)
		}
	}
	records := make([]enrich.Input, len(s.found))
	for i, f := range s.found {
		records[i] = f.input
		records[i].Value = s.buffer[f.start:f.end:f.end]
	}
	return records
}

// take finds the records that the line in the buffer from start on holds or ends.
func (s *FileSession) take(start int) {
	line := s.buffer[start:]
	switch {
	case s.open.sensor != nil:
		s.open.sensor.Line(line, s.sensorRecord)
	case len(bytes.TrimSpace(line)) == 0:
		s.buffer = s.buffer[:start]
	default:
		s.found = append(s.found, found{start, len(s.buffer), enrich.Input{Position: s.place(s.open.line)}})
	}
}

// sensorRecord puts a record behind the lines it was made of.
func (s *FileSession) sensorRecord(r event.SensorRecord) {
	start := len(s.buffer)
	s.buffer = append(s.buffer, r.JSON...)
	s.found = append(s.found, found{start, len(s.buffer), enrich.Input{Position: s.place(r.Line), Sensor: true, Broken: r.Err}})
}

func (s *FileSession) place(line int64) enrich.Position {
	return enrich.Position{File: s.open.name, Line: line}
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
		if s.open.sensor != nil {
			s.open.sensor.End(s.sensorRecord)
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
	if len(s.files) == 0 {
		return io.EOF
	}
	name, sensor := s.files[0].name, s.files[0].sensor
	s.files = s.files[1:]
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
	if sensor {
		s.open.sensor = new(event.SensorLog)
	}
	return nil
}

// State returns states in memory: they end with the scan.
func (s *FileSession) State(Partition) func(operator string) enrich.State {
	return func(operator string) enrich.State {
		if s.states[operator] == nil {
			s.states[operator] = state.NewMemory()
		}
		return s.states[operator]
	}
}

// Reading does nothing: lines have no keys.
func (s *FileSession) Reading(Partition, []byte) {}

// Reread shows nothing: a scan does not begin in the middle.
func (s *FileSession) Reread(context.Context, Partition, string, int64, func(enrich.Input) error) error {
	return nil
}

// Again shows nothing: the feeds of a scan do not learn.
func (s *FileSession) Again(context.Context, Partition, enrich.Range, func(enrich.Input) error) error {
	return nil
}

// Abort ends the scan: its input is not read twice.
func (s *FileSession) Abort(_ context.Context, cause error) error { return cause }

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
