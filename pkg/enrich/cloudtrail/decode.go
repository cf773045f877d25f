package cloudtrail

import (
	"bufio"
	"errors"
	"io"
)

// Limits keep a hostile message from costing more than it is worth. Zero members
// stand for the defaults.
type Limits struct {
	// Value is the largest JSON value that is taken, in bytes: a record, or an
	// envelope with all that is in it. Lists of records are read one by one and
	// may be of any size. The default is 16 MiB; CloudTrail's own limit for a
	// record is 256 KiB.
	Value int
	// Inflated is how much one message or file may decompress to in all. The
	// default is 256 MiB for a message and 16 GiB for a file.
	Inflated int64
}

const (
	defaultValue   = 16 << 20
	defaultMessage = 256 << 20
	defaultFile    = 16 << 30
	// maxDepth bounds envelopes within envelopes. The longest real chain is SQS
	// around SNS around an S3 notification.
	maxDepth = 8
	// keptOriginal is how much of what was refused is handed on.
	keptOriginal = 64 << 10
)

// Found is one thing that a message held: exactly one of Record, Object, Skipped and
// Refused is set. It is valid until the function it was given to returns.
type Found struct {
	Record *Record
	Object *Object
	// Skipped says in a fixed word what was left out although nothing is wrong
	// with it: control_message, test_event, subscription, digest, other_event,
	// other_row.
	Skipped string
	Refused *Refused
	// Line is where it begins in the outermost text, Number which thing of that
	// text it is, both from 1.
	Line, Number int64
	// Rebuilt tells that Record.Raw was put together from the columns of a row.
	Rebuilt bool
}

// Refused is what could not be read. It is refused alone: what stands beside it is
// found.
type Refused struct {
	// Reason is a fixed word: malformed or oversized.
	Reason string
	// Message says it in a sentence.
	Message string
	// Original is the beginning of the text, up to 64 KiB, with secrets masked;
	// Size is that of the whole text.
	Original []byte
	Size     int64
}

// Object names a file of records in S3, which others fetch.
type Object struct {
	Bucket, Key string
	// Size is 0 where the notification does not tell it.
	Size int64
}

// Decode finds what a message holds, in whatever shape: a bare record, {"Records"},
// a list, lines, a CloudWatch Logs payload, an EventBridge event, an answer of
// LookupEvents, a notification about files in S3, a row of cloudquery's, with gzip,
// base64 and JSON within text at any level. It calls each in the order of the text,
// and returns only the errors of each.
func Decode(message []byte, limits Limits, each func(Found) error) error {
	return new(decoder).decode(message, limits, each)
}

// Decoder decodes one message after another in the same memory. It is for one goroutine,
// and its zero value is ready.
type Decoder struct{ d decoder }

// Decode is the function of that name.
func (d *Decoder) Decode(message []byte, limits Limits, each func(Found) error) error {
	if d.d.look.known.texts == nil {
		d.d.look.known = newKnown()
	}
	return d.d.decode(message, limits, each)
}

// Read is Decode for a file or a stream: it holds one value at a time. Its error is
// that of r or of each; text that is cut or damaged is Refused instead.
func Read(r io.Reader, limits Limits, each func(Found) error) error {
	var d decoder
	d.begin(limits, defaultFile, each)
	plain, err := inflate(bufio.NewReaderSize(r, firstRead), &d.budget)
	if err == nil {
		return d.text(newWindow(plain, d.maxValue), 0)
	}
	return d.ended(err)
}

// decoder is one message's or file's dealings.
type decoder struct {
	maxValue int
	budget   int64
	each     func(Found) error
	line     int64
	number   int64
	look     look // at the object looked at last
	record   Record
}

func (d *decoder) decode(message []byte, limits Limits, each func(Found) error) error {
	d.begin(limits, defaultMessage, each)
	return d.message(message, 0)
}

func (d *decoder) begin(l Limits, inflated int64, each func(Found) error) {
	d.maxValue, d.budget, d.each, d.line, d.number = l.Value, l.Inflated, each, 1, 0
	if d.maxValue <= 0 {
		d.maxValue = defaultValue
	}
	if d.budget <= 0 {
		d.budget = inflated
	}
}

func (d *decoder) found(f Found) error {
	d.number++
	f.Line, f.Number = d.line, d.number
	return d.each(f)
}

func (d *decoder) skipped(word string) error { return d.found(Found{Skipped: word}) }

func (d *decoder) refuse(reason string, why error, head []byte, size int64) error {
	head = head[:min(len(head), keptOriginal)]
	return d.found(Found{Refused: &Refused{Reason: reason, Message: why.Error(), Original: AppendScrubbed(nil, head), Size: size}})
}

// ended tells what ended the reading early: damage is refused, anything else is the
// reader's own error.
func (d *decoder) ended(err error) error {
	var hurt *damage
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errBomb):
		return d.refuse("oversized", err, nil, 0)
	case errors.As(err, &hurt):
		return d.refuse("malformed", err, nil, 0)
	}
	return err
}

// message reads the text of an envelope's member.
func (d *decoder) message(text []byte, depth int) error {
	if !gzipped(text) {
		return d.text(windowOn(text, d.maxValue), depth)
	}
	plain, err := inflate(bufio.NewReaderSize(bytesReader(text), firstRead), &d.budget)
	if err != nil {
		return d.ended(err)
	}
	return d.text(newWindow(plain, d.maxValue), depth)
}

// text reads values that follow one another, with or without white space between.
func (d *decoder) text(w *window, depth int) error {
	d.bom(w)
	for {
		c, ok := w.next()
		if depth == 0 {
			d.line = w.line
		}
		if !ok {
			return d.ended(w.err)
		}
		var err error
		switch {
		case c == ',': // between values that somebody joined
			w.pass(1)
		case c == '[':
			w.pass(1)
			err = d.list(w, depth)
		case c == '{' && recordsAhead(w):
			err = d.records(w, depth)
		default:
			err = d.value(w, depth, false)
		}
		if err != nil {
			return err
		}
	}
}

// bom steps over a byte order mark.
func (d *decoder) bom(w *window) {
	for i, want := range []byte("\xef\xbb\xbf") {
		if c, ok := w.byte(i); !ok || c != want {
			return
		}
	}
	w.pass(3)
}

// list reads the elements of a list whose bracket has been passed.
func (d *decoder) list(w *window, depth int) error {
	for {
		c, ok := w.next()
		if depth == 0 {
			d.line = w.line
		}
		var err error
		switch {
		case !ok:
			if w.err == nil {
				err = d.refuse("malformed", errCut, nil, 0)
			}
			return err
		case c == ']':
			w.pass(1)
			return nil
		case c == ',':
			w.pass(1)
		default:
			err = d.value(w, depth, true)
		}
		if err != nil {
			return err
		}
	}
}

// value reads one value and finds what is in it.
func (d *decoder) value(w *window, depth int, inList bool) error {
	if d.ahead(w) {
		size := len(d.look.raw)
		err := d.unwrapLook(depth)
		w.pass(size)
		return err
	}
	text, err := w.value()
	switch {
	case err == nil:
		err = d.unwrap(text, depth)
		w.pass(len(text))
		return err
	case errors.Is(err, errTooLarge):
		head, size := w.skip(inList)
		return d.refuse("oversized", err, head, size)
	}
	head, size := w.skip(inList)
	return d.refuse("malformed", err, head, size)
}

// ahead looks at the object that comes next where all of the text is there, so that it
// is stepped through once; false where there is none, or anything is wrong with it.
func (d *decoder) ahead(w *window) bool {
	text := w.buf[w.at:]
	return w.ended && len(text) > 0 && text[0] == '{' && d.look.at(text) == nil && len(d.look.raw) <= d.maxValue
}

// recordsAhead tells {"Records":[ at the beginning of a value, as all files that
// CloudTrail delivers begin.
func recordsAhead(w *window) bool {
	rest := `{"Records":[`
	for i := 0; rest != ""; i++ {
		c, ok := w.byte(i)
		switch {
		case !ok || i > 64:
			return false
		case c == rest[0]:
			rest = rest[1:]
		case c != ' ' && c != '\n' && c != '\r' && c != '\t':
			return false
		}
	}
	return true
}

// records reads {"Records":[…]} without holding all of it.
func (d *decoder) records(w *window, depth int) error {
	for c, ok := byte(0), true; ok && c != '['; w.pass(1) {
		c, ok = w.byte(0)
	}
	if err := d.list(w, depth); err != nil {
		return err
	}
	for { // the members after it say nothing of records
		c, ok := w.next()
		switch {
		case !ok:
			return nil
		case c == '}':
			w.pass(1)
			return nil
		case c == ',' || c == ':':
			w.pass(1)
			continue
		}
		text, err := w.value()
		if err != nil {
			head, size := w.skip(true)
			return d.refuse("malformed", err, head, size)
		}
		w.pass(len(text))
	}
}
