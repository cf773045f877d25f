package reputation

import (
	"bytes"
	"errors"
	"time"
)

// feodo are the columns of the Feodo Tracker's CSV by number, -1 for one that is
// not there.
type feodo struct {
	first, address, port, last, malware, count int
}

// decodeFeodo reads the CSV of Feodo Tracker. Columns are found by the header's
// names. An indicator is an address with a port.
func decodeFeodo(lines *lineReader, b *builder) error {
	var f feodo
	var cells [][]byte
	for {
		line, tooLong, ok, err := lines.next()
		if err != nil {
			return err
		}
		if !ok {
			return f.complete()
		}
		line = bytes.TrimSpace(line)
		comment := len(line) > 0 && line[0] == '#'
		switch cells, ok = splitCSV(cells[:0], bytes.TrimLeft(line, "# ")); {
		case len(line) == 0:
		case tooLong:
			b.refuse(lines.n, line, isTooLong)
		case f.count == 0 && f.header(cells):
		case comment:
			b.feodoEnd(line)
		case f.count == 0:
			return errNoHeader
		case !ok:
			b.refuse(lines.n, line, isUnclosed)
		default:
			b.feodoRow(lines.n, line, f, cells)
		}
	}
}

var errNoHeader = errors.New("has no header line that names first_seen_utc, dst_ip and dst_port before its first row")

func (f *feodo) complete() error {
	if f.count == 0 {
		return errNoHeader
	}
	return nil
}

// header takes cells for the header if they name the columns that must be there.
func (f *feodo) header(cells [][]byte) bool {
	at := func(name string) int {
		for i, c := range cells {
			if string(c) == name {
				return i
			}
		}
		return -1
	}
	found := feodo{at("first_seen_utc"), at("dst_ip"), at("dst_port"), at("last_online"), at("malware"), len(cells)}
	if found.first < 0 || found.address < 0 || found.port < 0 {
		return false
	}
	*f = found
	return true
}

func (b *builder) feodoRow(n int, line []byte, f feodo, cells [][]byte) {
	if len(cells) != f.count {
		b.refuse(n, line, isColumns)
		return
	}
	port, ok := parsePort(cells[f.port])
	if !ok {
		b.refuse(n, line, isBadPort)
		return
	}
	d := detail{port: port}
	if d.first, ok = seconds(cells[f.first]); ok && f.last >= 0 {
		d.last, ok = seconds(cells[f.last])
	}
	if !ok {
		b.refuse(n, line, isBadTime)
		return
	}
	if f.malware >= 0 {
		d.name = string(cells[f.malware])
	}
	if _, isAddress := parseAddr(cells[f.address]); !isAddress && !defanged(cells[f.address]) {
		b.refuse(n, line, notAddress)
		return
	}
	b.add(n, line, cells[f.address], d)
}

// seconds reads a time or a day in UTC; the empty one is 0.
func seconds(text []byte) (int64, bool) {
	if len(text) == 0 {
		return 0, true
	}
	at, err := time.Parse(time.DateTime, string(text))
	if err != nil {
		at, err = time.Parse(time.DateOnly, string(text))
	}
	return at.Unix(), err == nil
}

// feodoEnd notes "# END 28 entries".
func (b *builder) feodoEnd(line []byte) {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(line, "# "), []byte("END "))
	if n, isNumber := leadingNumber(rest); ok && isNumber {
		b.declare(n)
	}
}

// splitCSV appends the cells of one line of CSV. ok is false where a quote is
// open at the end or stands where none may.
func splitCSV(cells [][]byte, line []byte) (_ [][]byte, ok bool) {
	for {
		cell, rest, more, ok := csvCell(line)
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

func csvCell(line []byte) (cell, rest []byte, more, ok bool) {
	if len(line) == 0 || line[0] != '"' {
		cell, rest, more = bytes.Cut(line, []byte{','})
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
		if more && rest[0] != ',' {
			return nil, nil, false, false
		}
		return cell, bytes.TrimPrefix(rest, []byte{','}), more, true
	}
}
