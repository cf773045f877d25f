package event

import (
	"strconv"
	"time"
)

// spooledLayout is RFC 3339 in UTC with milliseconds, as the wire writes times.
const spooledLayout = "2006-01-02T15:04:05.000Z"

// Names of the schemas of what this package writes; they travel in the
// `schema` header and are the names of files in the schemas room.
const (
	SchemaRow    = "stackjoin.row/1"
	SchemaStatus = "stackjoin.status/1"
)

// AppendTime appends t as the wire writes times: RFC 3339, UTC, milliseconds.
func AppendTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, spooledLayout)
}

// AppendDelivery appends d as the last member of the JSON object that ends dst.
func AppendDelivery(dst []byte, d *Delivery) []byte {
	dst = dst[:len(dst)-1]
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(append(dst, `"delivery":{"agent":"`...), d.Agent...)
	dst = append(append(dst, `","run":"`...), d.Run...)
	dst = strconv.AppendUint(append(dst, `","seq":`...), d.Seq, 10)
	dst = strconv.AppendInt(append(dst, `,"row":`...), int64(d.Row), 10)
	dst = strconv.AppendInt(append(dst, `,"rows":`...), int64(d.Rows), 10)
	if d.Prev == "" {
		dst = append(dst, `,"prev":null`...)
	} else {
		dst = append(append(append(dst, `,"prev":"`...), d.Prev...), '"')
	}
	dst = AppendTime(append(dst, `,"spooled":"`...), d.Spooled)
	return append(dst, `"}}`...)
}

// StatusRows are the lines of one status call, as places in its payload.
type StatusRows struct {
	lines []statusLine
}

// statusLine holds one line's values as raw JSON, by the letters osquery uses.
type statusLine struct {
	severity, file, line, message, host, calendar, unix []byte
}

// SplitStatus reads the payload of a status call: a JSON array of
// {"s","f","i","m","h","c","u"}. Lines that are no object are an error, members
// that are missing are not.
func SplitStatus(payload []byte) (*StatusRows, error) {
	s := scanner{b: payload}
	rows := &StatusRows{}
	err := s.array(func() error {
		line, err := readStatusLine(&s)
		rows.lines = append(rows.lines, line)
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func readStatusLine(s *scanner) (l statusLine, err error) {
	err = s.object(func(key []byte) error {
		value, err := s.value()
		switch string(key) {
		case "s":
			l.severity = value
		case "f":
			l.file = value
		case "i":
			l.line = value
		case "m":
			l.message = value
		case "h":
			l.host = value
		case "c":
			l.calendar = value
		case "u":
			l.unix = value
		}
		return err
	})
	return l, err
}

// Len is the number of lines.
func (r *StatusRows) Len() int { return len(r.lines) }

// AppendRow appends line i with the member names that osquery's own loggers
// use: hostIdentifier, calendarTime, unixTime, severity, filename, line,
// message, version. The values are the payload's bytes; version is osquery's,
// which the call does not carry. Bytes that JSON does not allow are mended as
// in Rows.AppendRow.
func (r *StatusRows) AppendRow(dst []byte, i int, version string) []byte {
	l := &r.lines[i]
	start := len(dst)
	dst = append(dst, '{')
	for _, m := range [...]struct {
		name  string
		value []byte
	}{
		{"hostIdentifier", l.host}, {"calendarTime", l.calendar}, {"unixTime", l.unix}, {"severity", l.severity},
		{"filename", l.file}, {"line", l.line}, {"message", l.message},
	} {
		if m.value == nil {
			continue
		}
		dst = append(append(append(dst, '"'), m.name...), '"', ':')
		dst = append(append(dst, m.value...), ',')
	}
	dst = AppendString(append(dst, `"version":`...), version)
	return mend(append(dst, '}'), start)
}
