package reputation

import "bytes"

// decodeLines reads one indicator a line. What stands after a TAB are columns of
// the feed's own, of which the first may be a number of reports; what stands
// after a comment sign is a comment, where the sign begins the line or follows a
// space. A number of entries that a comment declares is noted.
func decodeLines(lines *lineReader, b *builder) error {
	for {
		line, tooLong, ok, err := lines.next()
		if err != nil || !ok {
			return err
		}
		switch text := bytes.TrimSpace(uncomment(line)); {
		case tooLong:
			b.refuse(lines.n, line, isTooLong)
		case len(text) > 0:
			b.line(lines.n, text)
		default:
			b.comment(line)
		}
	}
}

// line takes a line that is not only a comment.
func (b *builder) line(n int, text []byte) {
	first, rest, _ := bytes.Cut(text, []byte{'\t'})
	first = bytes.TrimSpace(first)
	if bytes.ContainsAny(first, " \v\f") {
		b.refuse(n, text, isWords)
		return
	}
	second, _, _ := bytes.Cut(rest, []byte{'\t'})
	b.add(n, text, first, detail{reports: reports(bytes.TrimSpace(second))})
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

// comment notes "# Entries : 2892 subnets, 619304666 unique IPs", of which the
// first number is that of the lines.
func (b *builder) comment(line []byte) {
	text := bytes.ToLower(bytes.TrimLeft(line, "#;/ \t"))
	key, value, ok := bytes.Cut(text, []byte{':'})
	if !ok || string(bytes.TrimSpace(key)) != "entries" {
		return
	}
	if n, ok := leadingNumber(bytes.TrimSpace(value)); ok {
		b.declare(n)
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
