package event

import (
	"bytes"
	"errors"
)

// MaxSensorRecord bounds a record that is spread over several lines.
const MaxSensorRecord = 8 << 20

// What SensorRecord.Err wraps.
var (
	ErrNoRecord  = errors.New("neither JSON nor a line below a Zeek header")
	ErrTorn      = errors.New("the record does not end")
	ErrZeekLine  = errors.New("the line has not as many values as its #fields has names")
	ErrTooLarge  = errors.New("the record is too large")
	ErrZeekTypes = errors.New("#types has not as many words as #fields")
)

// SensorRecord is one record of a sensor's log.
type SensorRecord struct {
	// JSON is the record as Row.ParseSensor reads it; with Err, what stands in the
	// log instead. It is valid until the decoder is used again.
	JSON []byte
	// Line is the record's first line, from 1.
	Line int64
	Err  error
}

// SensorLog takes a network sensor's log apart, handed in line by line: JSON, one
// record a line, one over many lines, several in one or in one array; and Zeek's
// own format, whose header says what the columns of the lines below are called
// and what types they have. Logs of several forms may follow each other.
//
// A record on one line of JSON is passed on as it is. One over several lines is
// put on one; a line of Zeek's becomes an object with the header's names, its log
// under "_path". Nothing is left out: what is no record comes with an Err. It is
// for one goroutine.
type SensorLog struct {
	header zeekHeader
	json   objects
	line   int64
	out    []byte
}

// SplitSensor takes apart a text that is the whole of a log, such as the value of
// a Kafka record.
func SplitSensor(text []byte, each func(SensorRecord)) {
	var log SensorLog
	for line := range bytes.Lines(text) {
		log.Line(line, each)
	}
	log.End(each)
}

// Line takes the next line, with or without its end, and calls each with every
// record that ends there.
func (l *SensorLog) Line(line []byte, each func(SensorRecord)) {
	l.line++
	line = bytes.TrimRight(line, "\r\n")
	text := bytes.TrimSpace(line)
	switch {
	case l.json.open() && (len(line) == 0 || line[0] != '{' || !whole(line)):
		l.json.line(line, l.line, each)
	case len(text) == 0:
	case text[0] == '#': // of a value Zeek escapes it
		l.directive(line, each)
	case l.header.fits(line):
		l.values(line, each)
	case bytes.IndexByte([]byte("{[],"), text[0]) >= 0:
		l.json.end(ErrTorn, each) // a whole record where another has not ended
		l.json.line(line, l.line, each)
	default:
		l.values(line, each)
	}
}

// End says that no more lines come: what has not ended is torn.
func (l *SensorLog) End(each func(SensorRecord)) {
	l.json.end(ErrTorn, each)
	l.json.array = false
}

func (l *SensorLog) directive(line []byte, each func(SensorRecord)) {
	if err := l.header.directive(line); err != nil {
		each(SensorRecord{JSON: line, Line: l.line, Err: err})
	}
}

func (l *SensorLog) values(line []byte, each func(SensorRecord)) {
	record, err := l.header.appendRecord(l.out[:0], line)
	if err != nil {
		each(SensorRecord{JSON: line, Line: l.line, Err: err})
		return
	}
	l.out = record
	each(SensorRecord{JSON: record, Line: l.line})
}

// whole tells whether the text is one JSON object.
func whole(text []byte) bool {
	s := scanner{b: text}
	_, err := s.value()
	return err == nil && s.end() == nil
}

// objects finds where JSON objects begin and end in lines. It looks at brackets
// and strings alone: whether an object is right is for its reader to say.
type objects struct {
	depth             int
	inString, escaped bool
	// array tells that the objects stand in one.
	array bool
	// begun is the part of an object that earlier lines have, first its line.
	begun []byte
	first int64
}

func (o *objects) open() bool { return o.depth > 0 }

// line takes a line's bytes.
func (o *objects) line(line []byte, number int64, each func(SensorRecord)) {
	start := 0 // of an object that begins in this line
	for i := 0; i < len(line); i++ {
		if o.depth == 0 {
			if !o.between(line[i]) {
				each(SensorRecord{JSON: line[i:], Line: number, Err: ErrNoRecord})
				return
			}
			start = i
			if o.depth == 1 {
				o.first = number
			}
			continue
		}
		if o.step(line[i]); o.depth == 0 {
			o.emit(line[start:i+1], each)
			start = i + 1
		}
	}
	if o.depth > 0 {
		o.carry(line[start:], each)
	}
}

// between takes a byte outside objects; false is one that cannot stand there.
func (o *objects) between(c byte) bool {
	switch {
	case c == '{':
		o.depth = 1
	case c == '[' && !o.array:
		o.array = true
	case c == ']' && o.array:
		o.array = false
	default:
		return isSpace(c) || c == ',' && o.array
	}
	return true
}

// step takes a byte inside an object.
func (o *objects) step(c byte) {
	switch {
	case o.escaped:
		o.escaped = false
	case o.inString:
		o.escaped = c == '\\'
		o.inString = c != '"'
	case c == '"':
		o.inString = true
	case c == '{' || c == '[':
		o.depth++
	case c == '}' || c == ']':
		o.depth--
	}
}

func (o *objects) emit(part []byte, each func(SensorRecord)) {
	if len(o.begun) > 0 {
		o.begun = append(o.begun, bytes.TrimLeft(part, " \t")...)
		part = o.begun
	}
	each(SensorRecord{JSON: part, Line: o.first})
	o.begun = o.begun[:0]
}

// carry keeps the part of an object that this line has. Between lines there is
// only white space, but for a string that was torn there.
func (o *objects) carry(part []byte, each func(SensorRecord)) {
	if len(o.begun)+len(part) > MaxSensorRecord {
		o.begun = append(o.begun, part...)
		o.end(ErrTooLarge, each)
		return
	}
	if !o.inString {
		part = bytes.TrimSpace(part)
	}
	o.begun = append(o.begun, part...)
}

// end gives up an object that has not ended.
func (o *objects) end(why error, each func(SensorRecord)) {
	if o.depth > 0 {
		each(SensorRecord{JSON: o.begun, Line: o.first, Err: why})
		*o = objects{array: o.array, begun: o.begun[:0]}
	}
}
