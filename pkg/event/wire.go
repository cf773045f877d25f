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

// Delivery is what logger-ext says of a row: its name, how many rows its call
// had, the call before it on the same topic, and when it was made durable.
type Delivery struct {
	Agent string
	Run   string
	Seq   uint64
	// Row counts from 0 to Rows-1. Rows is 0 for an empty result, which
	// travels as one record without columns.
	Row, Rows int
	// Prev is "run/seq" of the call sent before to the same topic, or empty.
	Prev    string
	Spooled time.Time
	// RedactedLate says that the row lies in the spool as it came, and was
	// redacted when it was sent.
	RedactedLate bool
}

// Name returns the row's one name, agent/run/seq/row.
func (d *Delivery) Name() string {
	b := make([]byte, 0, 96)
	b = append(append(b, d.Agent...), '/')
	b = append(append(b, d.Run...), '/')
	b = append(strconv.AppendUint(b, d.Seq, 10), '/')
	return string(strconv.AppendInt(b, int64(d.Row), 10))
}

// AppendTime appends t as the wire writes times: RFC 3339, UTC, milliseconds.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, spooledLayout)
	}
	hour, minute, second := t.Clock()
	dst = append(dst, "0000-00-00T00:00:00.000Z"...) // each row has a time: this costs a fifth of the general way
	text := dst[len(dst)-len(spooledLayout):]
	putDigits(text[0:4], year)
	putDigits(text[5:7], int(month))
	putDigits(text[8:10], day)
	putDigits(text[11:13], hour)
	putDigits(text[14:16], minute)
	putDigits(text[17:19], second)
	putDigits(text[20:23], t.Nanosecond()/int(time.Millisecond))
	return dst
}

// putDigits fills text with the last digits of n, which is not negative.
func putDigits(text []byte, n int) {
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = byte('0' + n%10)
		n /= 10
	}
}

// AppendDelivery appends d as the last member of the JSON object that ends dst,
// with nothing after its closing brace. Agent, Run and Prev are written as they
// are: they hold nothing that JSON would escape.
func AppendDelivery(dst []byte, d *Delivery) []byte {
	dst = reopen(dst)
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
	dst = append(AppendTime(append(dst, `,"spooled":"`...), d.Spooled), '"')
	if d.RedactedLate {
		dst = append(dst, `,"redacted_late":true`...)
	}
	return append(dst, `}}`...)
}

// reopen takes the closing brace off the object that ends dst and makes it ready
// for one more member.
func reopen(dst []byte) []byte {
	dst = dst[:len(dst)-1]
	last := len(dst) - 1
	for isSpace(dst[last]) {
		last--
	}
	if dst[last] == '{' {
		return dst
	}
	return append(dst, ',')
}

// delivery reads the member that logger-ext adds. Its strings repeat from row
// to row, so they are kept as long as they stay the same.
func (r *Row) delivery(s *scanner) error {
	r.Delivered, r.Delivery = s.peek() == '{', Delivery{}
	if !r.Delivered {
		_, err := s.value()
		return err
	}
	err := s.object(func(key []byte) error {
		v, err := s.any()
		r.Delivery.set(key, v, &r.last)
		return err
	})
	r.last = r.Delivery
	return err
}

func (d *Delivery) set(key []byte, v Value, last *Delivery) {
	switch string(key) {
	case "agent":
		d.Agent = same(v, last.Agent)
	case "run":
		d.Run = same(v, last.Run)
	case "seq":
		d.Seq, _ = parseUint(v.Raw)
	case "row":
		n, _ := v.Int()
		d.Row = int(n)
	case "rows":
		n, _ := v.Int()
		d.Rows = int(n)
	case "prev":
		d.Prev = same(v, last.Prev)
	case "redacted_late":
		d.RedactedLate = string(v.Raw) == "true"
	case "spooled":
		d.Spooled, _ = time.Parse(time.RFC3339, string(v.Raw))
	}
}

// same returns v's text: old where it is that, which costs no memory.
func same(v Value, old string) string {
	if v.String && !v.Escaped && string(v.Raw) == old {
		return old
	}
	return v.Text()
}
