package shipper

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// call is one spooled call taken apart. Its records are made one by one, since a
// snapshot may have a million of them, and are the same each time: that is what
// lets a record be named by its number.
type call struct {
	stream string
	schema string
	// records is how many are sent, rows how many rows the call has: an empty
	// result has none and is sent as one record.
	records, rows int
	// letter says why the call could not be taken apart; a marker then is its
	// one record.
	letter *event.DeadLetter
	// verbatim records get no delivery.
	verbatim  bool
	appendRow func(dst []byte, i int) []byte
	query     func(i int) string
	kind      func(i int) string
}

var errUnknown = errors.New("osqueryd sent a request of a form that no osquery before 5.24 has")

// open takes a spooled call apart. What cannot be becomes a dead letter with the
// call's bytes.
func (s *Source) open(f *spool.Frame) *call {
	c, err := s.parts(f)
	if err == nil {
		return c
	}
	reason := malformed
	if errors.Is(err, errUnknown) {
		reason = unknownCall
	}
	letter := &event.DeadLetter{
		Reason: reason, Message: err.Error(), Source: event.AppendName(nil, s.delivery(f, -1, 0)),
		Time: time.Now(), Original: f.Payload, Whole: s.wholeLetter(),
	}
	s.keepWhole(letter, f, -1)
	return &call{stream: f.Stream, schema: event.SchemaDeadLetter, records: 1, rows: 1, letter: letter}
}

func (s *Source) parts(f *spool.Frame) (*call, error) {
	if s.cfg.BuiltInNames {
		if c := builtIn(f); c != nil {
			return c, nil
		}
	}
	switch f.Type {
	case extension.TypeString, extension.TypeSnapshot:
		return one(f)
	case extension.TypeStringBatch:
		return many(f)
	case extension.TypeStatus:
		return s.status(f)
	case TypeOwn:
		return own(f)
	}
	return nil, errUnknown
}

// builtIn takes a call as osquery's own kafka_producer would send it: each line as
// it is. It returns nil for calls that are sent as always: status lines, whose
// usual shape is that of the built-in loggers already, and what is no line.
func builtIn(f *spool.Frame) *call {
	lines := [][]byte{f.Payload}
	switch f.Type {
	case extension.TypeString, extension.TypeSnapshot:
	case extension.TypeStringBatch:
		var err error
		if lines, err = event.SplitLines(f.Payload); err != nil || len(lines) == 0 {
			return nil
		}
	default:
		return nil
	}
	kind := "result"
	if f.Type == extension.TypeSnapshot {
		kind = "snapshot"
	}
	return &call{
		stream: f.Stream, schema: "", records: len(lines), rows: len(lines), verbatim: true,
		appendRow: func(dst []byte, i int) []byte { return append(dst, lines[i]...) },
		query:     func(i int) string { return queryOf(lines[i]) },
		kind:      func(int) string { return kind },
	}
}

// queryOf is the query's name in a line, empty where it cannot be read.
func queryOf(line []byte) string {
	rows, err := event.SplitResult(line)
	if err != nil {
		return ""
	}
	return rows.Query()
}

// one takes a call of one result apart.
func one(f *spool.Frame) (*call, error) {
	rows, err := event.SplitResult(f.Payload)
	if err != nil {
		return nil, err
	}
	return results(f.Stream, []*event.Rows{rows}), nil
}

// many takes a call of several results apart. Their rows are numbered through.
func many(f *spool.Frame) (*call, error) {
	lines, err := event.SplitLines(f.Payload)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, errors.New("a batch of no lines")
	}
	all := make([]*event.Rows, len(lines))
	for i, line := range lines {
		if all[i], err = event.SplitResult(line); err != nil {
			return nil, fmt.Errorf("line %d of the batch: %w", i, err)
		}
	}
	return results(f.Stream, all), nil
}

func results(stream string, all []*event.Rows) *call {
	ends, queries := make([]int, len(all)), make([]string, len(all))
	total := 0
	for i, rows := range all {
		total += rows.Records()
		ends[i], queries[i] = total, rows.Query()
	}
	rows := total
	if len(all) == 1 {
		rows = all[0].Len()
	}
	find := func(i int) (result, row int) {
		if len(all) > 1 {
			result = sort.SearchInts(ends, i+1)
		}
		return result, i - (ends[result] - all[result].Records())
	}
	return &call{
		stream: stream, schema: event.SchemaRow, records: total, rows: rows,
		appendRow: func(dst []byte, i int) []byte {
			result, row := find(i)
			return all[result].AppendRow(dst, row)
		},
		query: func(i int) string {
			result, _ := find(i)
			return queries[result]
		},
		kind: func(i int) string {
			if result, _ := find(i); all[result].Snapshot() {
				return "snapshot"
			}
			return "result"
		},
	}
}

func (s *Source) status(f *spool.Frame) (*call, error) {
	lines, err := event.SplitStatus(f.Payload)
	if err != nil {
		return nil, err
	}
	return &call{
		stream: f.Stream, schema: event.SchemaStatus, records: lines.Len(), rows: lines.Len(),
		verbatim:  s.cfg.BuiltInNames,
		appendRow: func(dst []byte, i int) []byte { return lines.AppendRow(dst, i, s.cfg.OsqueryVersion()) },
		query:     func(int) string { return "" },
		kind:      func(int) string { return "status" },
	}, nil
}
