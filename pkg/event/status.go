package event

import "unicode/utf8"

// StatusRows are the lines of one status call, as places in its payload.
type StatusRows struct {
	lines []statusLine
	// dirty is set where strings hold bytes that JSON does not allow.
	dirty bool
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
	rows.dirty = s.control || !utf8.Valid(payload)
	return rows, nil
}

func readStatusLine(s *scanner) (l statusLine, err error) {
	err = s.object(func(key []byte) error {
		value, err := s.value()
		if field := l.field(key); field != nil {
			*field = value
		}
		return err
	})
	return l, err
}

func (l *statusLine) field(key []byte) *[]byte {
	switch string(key) {
	case "s":
		return &l.severity
	case "f":
		return &l.file
	case "i":
		return &l.line
	case "m":
		return &l.message
	case "h":
		return &l.host
	case "c":
		return &l.calendar
	case "u":
		return &l.unix
	}
	return nil
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
	dst = append(AppendString(append(dst, `"version":`...), version), '}')
	if !r.dirty {
		return dst
	}
	return mend(dst, start)
}
