package feed

import (
	"strings"
)

// tokenKind is what a piece of a pattern is.
type tokenKind uint8

const (
	endToken tokenKind = iota
	wordToken
	signToken
	valueToken // a string or a number
)

// patternToken is one piece of a pattern, a string without its quotes.
type patternToken struct {
	kind tokenKind
	text string
}

// patternLexer cuts a pattern into tokens. broken tells that it met what no
// pattern has.
type patternLexer struct {
	rest   string
	broken bool
}

func (l *patternLexer) next() patternToken {
	l.rest = strings.TrimLeft(l.rest, " \t\r\n")
	if l.rest == "" {
		return patternToken{}
	}
	switch c := l.rest[0]; {
	case c == '\'':
		return patternToken{valueToken, l.quoted()}
	case c >= '0' && c <= '9' || c == '-' || c == '+':
		return patternToken{valueToken, l.run(numberByte)}
	case wordByte(c):
		return patternToken{wordToken, l.path()}
	case strings.IndexByte("[](),", c) >= 0:
		return l.sign(1)
	case strings.IndexByte("=!<>", c) >= 0:
		if len(l.rest) > 1 && strings.IndexByte("=>", l.rest[1]) >= 0 {
			return l.sign(2)
		}
		return l.sign(1)
	}
	l.broken, l.rest = true, ""
	return patternToken{}
}

func (l *patternLexer) sign(n int) patternToken {
	text := l.rest[:n]
	l.rest = l.rest[n:]
	return patternToken{signToken, text}
}

// quoted reads a string; a backslash keeps the byte after it.
func (l *patternLexer) quoted() string {
	var b strings.Builder
	for i := 1; i < len(l.rest); i++ {
		switch c := l.rest[i]; {
		case c == '\'':
			l.rest = l.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(l.rest):
			i++
			b.WriteByte(l.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	l.broken, l.rest = true, ""
	return ""
}

func (l *patternLexer) run(of func(byte) bool) string {
	n := 0
	for n < len(l.rest) && of(l.rest[n]) {
		n++
	}
	text := l.rest[:n]
	l.rest = l.rest[n:]
	return text
}

// path reads a word, or an object path: names parted by dots, some quoted, with an
// index in brackets ("file:hashes.'SHA-256'", "x:values[0].name").
func (l *patternLexer) path() string {
	var b strings.Builder
	b.WriteString(l.run(wordByte))
	for l.rest != "" && strings.Contains(b.String(), ":") {
		switch {
		case strings.HasPrefix(l.rest, ".'"):
			l.rest = l.rest[1:]
			b.WriteString("." + l.quoted())
		case l.rest[0] == '[':
			end := strings.IndexByte(l.rest, ']')
			if end < 0 {
				l.broken = true
				return b.String()
			}
			b.WriteString(l.rest[:end+1])
			l.rest = l.rest[end+1:]
		case l.rest[0] == '.' || wordByte(l.rest[0]):
			b.WriteByte('.')
			l.rest = strings.TrimPrefix(l.rest, ".")
			b.WriteString(l.run(wordByte))
		default:
			return b.String()
		}
	}
	return b.String()
}

func wordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == ':'
}

func numberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'
}

// atomOf says what kind of indicator an equality is.
func atomOf(path, value string) atom {
	a := atom{path: path, value: value}
	object, property, _ := strings.Cut(path, ":")
	hash, isHash := strings.CutPrefix(property, "hashes.")
	hash = strings.ToLower(strings.ReplaceAll(hash, "-", ""))
	switch {
	case property == "value" && (object == "ipv4-addr" || object == "ipv6-addr"):
		a.kind, a.known = IP, true
	case property == "value" && object == "domain-name":
		a.kind, a.known = Domain, true
	case property == "value" && object == "url":
		a.kind, a.known = URL, true
	case object == "network-traffic" && (property == "dst_ref.value" || property == "src_ref.value"):
		a.kind, a.known = Any, true
		if looksLikeAddress(value) {
			a.kind = IP
		}
	case object == "network-traffic" && (property == "dst_port" || property == "src_port"):
		a.port, _ = parsePort([]byte(value))
	case object == "file" && isHash && (hash == "md5" || hash == "sha1" || hash == "sha256"):
		a.kind, a.known = Hash, true
	case object == "file" && property == "name":
		a.kind, a.known = Path, true
	case object == "x509-certificate" && isHash && hash == "sha1":
		a.kind, a.known = Cert, true
	}
	return a
}

func looksLikeAddress(value string) bool {
	return strings.Contains(value, ":") || value != "" && strings.Trim(value, "0123456789./") == ""
}
