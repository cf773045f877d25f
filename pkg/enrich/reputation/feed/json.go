package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// members says where in JSON the records are and what their members mean.
type members struct {
	kind   Kind
	fields mapping
	// rows is the way to the records, step by step: a member's name, or * for
	// all members or items. Empty takes each value as a record, or its items.
	rows []string
	// footer tells a record that is about the document, and reads it.
	footer func(record any, to Sink) bool
}

// jsonValue reads one JSON document, or one after the other.
type jsonValue struct{ members }

func (d *jsonValue) Finish(Sink) error { return nil }

func (d *jsonValue) Read(t *Text, to Sink) error {
	if err := t.json(); err != nil {
		return err
	}
	w := walker{members: &d.members, in: json.NewDecoder(t), to: to, row: Row{Document: t.Name}}
	w.in.UseNumber()
	for {
		err := w.walk(d.rows, "")
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("is broken JSON after entry %d: %w", w.row.Line, err)
		}
	}
}

// walker goes through JSON without holding more of it than a record.
type walker struct {
	*members
	in  *json.Decoder
	to  Sink
	row Row
}

// walk reads one value. key is the name of the member it was reached by.
func (w *walker) walk(rows []string, key string) error {
	if len(rows) == 0 {
		var record any
		if err := w.in.Decode(&record); err != nil {
			return err //nolint:wrapcheck // io.EOF is the end, and Read says what happened
		}
		w.record(record, key)
		return nil
	}
	token, err := w.in.Token()
	if err != nil {
		return err //nolint:wrapcheck // as above
	}
	switch token {
	case json.Delim('{'):
		err = w.object(rows, key)
	case json.Delim('['):
		err = w.array(rows, key)
	}
	return inside(err)
}

// inside makes an end of the text an error, where a value has begun.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (w *walker) object(rows []string, key string) error {
	for w.in.More() {
		token, err := w.in.Token()
		if err != nil {
			return fmt.Errorf("member: %w", err)
		}
		name, _ := token.(string)
		// The first name that a * stands for is the record's id, as abuse.ch writes.
		id := key
		if id == "" && rows[0] == "*" {
			id = name
		}
		if err := w.step(rows, name, id); err != nil {
			return err
		}
	}
	return w.end()
}

func (w *walker) array(rows []string, key string) error {
	for w.in.More() {
		if err := w.step(rows, "*", key); err != nil {
			return err
		}
	}
	return w.end()
}

// step goes on to one member or item, or passes it over.
func (w *walker) step(rows []string, name, key string) error {
	if rows[0] == "*" || rows[0] == name {
		return inside(w.walk(rows[1:], key))
	}
	var passed json.RawMessage
	return inside(w.in.Decode(&passed))
}

func (w *walker) end() error {
	_, err := w.in.Token()
	return inside(err)
}

func (w *walker) record(record any, key string) {
	if items, ok := record.([]any); ok && len(w.rows) == 0 {
		for _, item := range items {
			w.record(item, key)
		}
		return
	}
	w.row.Line++
	w.take(record, key, w.row, w.to)
}

// take makes an indicator of a record.
func (m *members) take(record any, key string, row Row, to Sink) {
	if m.footer != nil && m.footer(record, to) {
		return
	}
	var c cells
	for f := range m.fields {
		c[f] = m.cell(record, key, m.fields[f])
	}
	row.Text = c[fValue]
	i, reason, broken := c.indicator(m.kind)
	if reason != "" {
		to.Leave(row, reason, broken)
		return
	}
	to.Add(row, &i)
}

// cell is the text of the first path that leads to one.
func (m *members) cell(record any, key string, paths []string) []byte {
	for _, path := range paths {
		if path == "@key" {
			return []byte(key)
		}
		if text := textAt(record, path); len(text) > 0 {
			return text
		}
	}
	return nil
}

// textAt follows the names of a path, parted by dots; "@" is the record itself.
func textAt(record any, path string) []byte {
	if path == "@" {
		return jsonText(record)
	}
	for name := range strings.SplitSeq(path, ".") {
		object, ok := record.(map[string]any)
		if !ok {
			return nil
		}
		record = object[name]
	}
	return jsonText(record)
}

// jsonText writes a scalar as it is, and a list of them between commas.
func jsonText(value any) []byte {
	switch v := value.(type) {
	case string:
		return []byte(v)
	case json.Number:
		return []byte(v)
	case bool:
		return fmt.Append(nil, v)
	case []any:
		var parts [][]byte
		for _, item := range v {
			if text := jsonText(item); len(text) > 0 {
				parts = append(parts, text)
			}
		}
		return bytes.Join(parts, []byte{','})
	}
	return nil
}

// ndjson reads one JSON value a line.
type ndjson struct{ members }

func (d *ndjson) Finish(Sink) error { return nil }

func (d *ndjson) Read(t *Text, to Sink) error {
	if err := t.json(); err != nil {
		return err
	}
	for {
		line, tooLong, ok, err := t.next()
		if err != nil || !ok {
			return err
		}
		row := t.row(bytes.TrimSpace(line))
		var record any
		in := json.NewDecoder(bytes.NewReader(row.Text))
		in.UseNumber()
		switch {
		case tooLong:
			to.Leave(row, TooLong, true)
		case len(row.Text) == 0:
		case in.Decode(&record) != nil || in.More():
			to.Leave(row, BadJSON, true)
		default:
			d.take(record, "", row, to)
		}
	}
}

// spamhausFooter reads the last line of Spamhaus's lists, which counts the others.
func spamhausFooter(record any, to Sink) bool {
	if string(textAt(record, "type")) != "metadata" {
		return false
	}
	if n, ok := leadingNumber(textAt(record, "records")); ok {
		to.Declare(n)
	}
	return true
}

// byLook reads a document as JSON or as CSV, whichever it is: some owners publish
// the same feed in both forms.
type byLook struct{ json, csv, text Decoder }

func (d *byLook) Finish(Sink) error { return nil }

func (d *byLook) Read(t *Text, to Sink) error {
	switch {
	case t.isJSON():
		return d.json.Read(t, to)
	case d.text != nil && !bytes.HasPrefix(t.head, []byte{'"'}) && !bytes.HasPrefix(t.head, []byte{'#'}):
		return d.text.Read(t, to)
	}
	return d.csv.Read(t, to)
}
