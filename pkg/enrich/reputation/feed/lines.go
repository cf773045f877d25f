package feed

import (
	"bytes"
	"net/netip"
)

// lines reads one indicator a line. What stands after a TAB are columns of the
// feed's own, of which the first may be a number of reports; what stands after a
// comment sign is a comment, where the sign begins the line or follows a space.
// A number of entries that a comment declares is noted.
type lines struct {
	kind Kind
	// confidence makes one of the number of reports, nil for none.
	confidence func(reports uint32) uint8
	// next is used again for each row: there may be millions.
	next Indicator
}

func (d *lines) Finish(Sink) error { return nil }

func (d *lines) Read(t *Text, to Sink) error {
	if err := t.list(); err != nil {
		return err
	}
	for {
		line, tooLong, ok, err := t.next()
		if err != nil || !ok {
			return err
		}
		switch text := bytes.TrimSpace(uncomment(line)); {
		case tooLong:
			to.Leave(t.row(line), TooLong, true)
		case len(text) > 0:
			d.line(t.row(text), to)
		default:
			declared(line, to)
		}
	}
}

// line takes a line that is not only a comment.
func (d *lines) line(row Row, to Sink) {
	first, rest, _ := bytes.Cut(row.Text, []byte{'\t'})
	first = bytes.TrimSpace(first)
	if bytes.ContainsAny(first, " \v\f") {
		to.Leave(row, Words, true)
		return
	}
	second, _, _ := bytes.Cut(rest, []byte{'\t'})
	i := &d.next
	*i = Indicator{Kind: d.kind, Value: first}
	i.Reports = reports(bytes.TrimSpace(second))
	if d.confidence != nil && i.Reports > 0 {
		i.Confidence = d.confidence(i.Reports)
	}
	if d.kind == Any || d.kind == IP {
		i.addPort()
	}
	to.Add(row, i)
}

// reports reads a column that is a number, and is 0 for one of another meaning.
func reports(column []byte) (n uint32) {
	for _, c := range column {
		if c < '0' || c > '9' || n > 1<<24 {
			return 0
		}
		n = n*10 + uint32(c-'0')
	}
	return n
}

// byLists is how sure IPsum makes one: its number is that of the lists an address
// is on, and its owner says to block from three on.
func byLists(reports uint32) uint8 { return uint8(min(95, 5+15*min(reports, 6))) }

// uncomment returns line without its comment.
func uncomment(line []byte) []byte {
	for i, c := range line {
		if i > 0 && line[i-1] != ' ' && line[i-1] != '\t' {
			continue
		}
		if c == '#' || c == ';' || c == '/' && i+1 < len(line) && line[i+1] == '/' {
			return line[:i]
		}
	}
	return line
}

// declared notes "# Entries : 2892 subnets, 619304666 unique IPs", of which the
// first number is that of the lines, and "# END 28 entries".
func declared(line []byte, to Sink) {
	text := bytes.ToLower(bytes.TrimLeft(line, "#;/ \t"))
	if rest, ok := bytes.CutPrefix(text, []byte("end ")); ok && bytes.Contains(rest, []byte("entr")) {
		if n, ok := leadingNumber(rest); ok {
			to.Declare(n)
		}
		return
	}
	key, value, ok := bytes.Cut(text, []byte{':'})
	if !ok || string(bytes.TrimSpace(key)) != "entries" {
		return
	}
	if n, ok := leadingNumber(bytes.TrimSpace(value)); ok {
		to.Declare(n)
	}
}

// leadingNumber reads the digits that text starts with; commas may part them.
func leadingNumber(text []byte) (n int, ok bool) {
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9' && n < 1<<40:
			n, ok = n*10+int(c-'0'), true
		case c != ',':
			return n, ok
		}
	}
	return n, ok
}

// splitPort splits an address from the port after it; v6 must be in brackets.
func splitPort(text []byte) (host []byte, port uint16, ok bool) {
	at := bytes.LastIndexByte(text, ':')
	if at < 3 || text[0] != '[' && bytes.IndexByte(text, ':') != at {
		return nil, 0, false
	}
	ap, err := netip.ParseAddrPort(string(text))
	if err != nil || ap.Port() == 0 || ap.Addr().Zone() != "" {
		return nil, 0, false
	}
	return bytes.Trim(text[:at], "[]"), ap.Port(), true
}

// hosts reads a hosts file: an address that stands for nowhere, then names.
// Names of one label (localhost) are the machine's own.
type hosts struct{}

func (hosts) Finish(Sink) error { return nil }

func (hosts) Read(t *Text, to Sink) error {
	if err := t.list(); err != nil {
		return err
	}
	for {
		line, tooLong, ok, err := t.next()
		if err != nil || !ok {
			return err
		}
		if tooLong {
			to.Leave(t.row(line), TooLong, true)
			continue
		}
		for i, word := range bytes.Fields(uncomment(line)) {
			row := t.row(line)
			_, err := netip.ParseAddr(string(word))
			switch {
			case i == 0 && err != nil:
				to.Leave(row, "line that does not begin with an address", true)
			case i > 0 && bytes.IndexByte(bytes.TrimSuffix(word, []byte{'.'}), '.') < 0:
				to.Leave(row, OneLabel, false)
			case i > 0:
				to.Add(row, &Indicator{Kind: Domain, Value: word, Exact: true})
			default:
				continue
			}
			if i == 0 {
				break
			}
		}
	}
}
