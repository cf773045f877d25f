package feed

import "bytes"

// joined is how many lines one record may span.
const joined = 16

// records hands out the records of a text: lines, but for those that a quoted
// cell goes on over.
type records struct {
	text   *Text
	quotes bool
	ahead  []ahead // lines that were read in search of a closing quote
}

// ahead is a line that was read before its turn.
type ahead struct {
	row     Row
	tooLong bool
}

func (r *records) next() (row Row, tooLong, ok bool, err error) {
	a, ok, err := r.line()
	if err != nil || !ok || a.tooLong || !r.quotes || !open(a.row.Text) {
		return a.row, a.tooLong, ok, err
	}
	a.row.Text = bytes.Clone(a.row.Text)
	if err := r.close(&a.row); err != nil {
		return row, false, false, err
	}
	return a.row, false, true, nil
}

// open tells whether a line ends within quotes. In a comment they mean nothing.
func open(line []byte) bool {
	return bytes.Count(line, []byte{'"'})%2 == 1 && !bytes.HasPrefix(bytes.TrimSpace(line), []byte{'#'})
}

// close adds lines up to the closing quote, or leaves them to be read again.
func (r *records) close(row *Row) error {
	text := row.Text
	for i := range joined {
		if i >= len(r.ahead) {
			line, tooLong, ok, err := r.text.next()
			if err != nil || !ok {
				return err
			}
			r.ahead = append(r.ahead, ahead{r.text.row(bytes.Clone(line)), tooLong})
		}
		if r.ahead[i].tooLong || len(text) > maxLine {
			return nil
		}
		text = append(append(bytes.Clone(text), '\n'), r.ahead[i].row.Text...)
		if bytes.Count(text, []byte{'"'})%2 == 0 {
			row.Text, r.ahead = text, r.ahead[i+1:]
			return nil
		}
	}
	return nil
}

func (r *records) line() (a ahead, ok bool, err error) {
	if len(r.ahead) > 0 {
		a, r.ahead = r.ahead[0], r.ahead[1:]
		return a, true, nil
	}
	line, tooLong, ok, err := r.text.next()
	return ahead{r.text.row(line), tooLong}, ok, err
}

// splitCSV appends the cells of one record of CSV, without the spaces they begin
// with. ok is false where a quote is open at the end or stands where none may.
func splitCSV(cells [][]byte, line []byte, comma byte) (_ [][]byte, ok bool) {
	for {
		cell, rest, more, ok := csvCell(bytes.TrimLeft(line, " "), comma)
		if !ok {
			return cells, false
		}
		cells = append(cells, cell)
		if !more {
			return cells, true
		}
		line = rest
	}
}

func csvCell(line []byte, comma byte) (cell, rest []byte, more, ok bool) {
	if len(line) == 0 || line[0] != '"' {
		cell, rest, more = bytes.Cut(line, []byte{comma})
		return cell, rest, more, bytes.IndexByte(cell, '"') < 0
	}
	line = line[1:]
	for doubled := false; ; {
		at := bytes.IndexByte(line[len(cell):], '"') + len(cell)
		switch {
		case at < len(cell):
			return nil, nil, false, false
		case at+1 < len(line) && line[at+1] == '"':
			cell, doubled = line[:at+2], true
			continue
		}
		cell, rest = line[:at], line[at+1:]
		if doubled {
			cell = bytes.ReplaceAll(cell, []byte(`""`), []byte(`"`))
		}
		more = len(rest) > 0
		if more && rest[0] != comma {
			return nil, nil, false, false
		}
		return cell, bytes.TrimPrefix(rest, []byte{comma}), more, true
	}
}

// splitPlain appends the cells of a record that knows no quotes.
func splitPlain(cells [][]byte, line []byte, comma byte) [][]byte {
	for {
		cell, rest, more := bytes.Cut(line, []byte{comma})
		cells = append(cells, cell)
		if !more {
			return cells
		}
		line = rest
	}
}
