package reputation

import (
	"bytes"
	"strings"
)

// words hands out what may be an address, a name or a URL in a command line.
// osquery joins arguments with spaces and loses their quotes, so anything that
// ends an argument in a shell ends a word. Words point into the line. It is
// passed by value, so that a line on the stack can stay there.
type words struct {
	line []byte
	// piece is what is left of a word that may hold several hosts, and rest the
	// URL that follows it.
	piece, rest []byte
}

// candidate is a URL with its scheme, or a host without user name, path and
// brackets, and the port after it, 0 for none.
type candidate struct {
	text  []byte
	port  uint16
	isURL bool
}

// next returns the next candidate and what is left after it; ok is false at the
// end.
func (w words) next() (c candidate, _ words, ok bool) {
	for {
		switch {
		case len(w.piece) > 0:
			if c.text, c.port, w.piece = cutHost(w.piece); len(c.text) > 0 {
				return c, w, true
			}
		case len(w.rest) > 0:
			var inner []byte
			c.text, inner = cutURL(w.rest)
			c.isURL = true
			w.piece, w.rest = splitURL(inner)
			return c, w, true
		default:
			var word []byte
			if word, w.line = cutWord(w.line); len(word) == 0 {
				return c, w, false
			}
			w.piece, w.rest = splitURL(word)
		}
	}
}

// cutWord takes the next run of bytes that no shell would split.
func cutWord(line []byte) (word, rest []byte) {
	from := 0
	for from < len(line) && ends(line[from]) {
		from++
	}
	to := from
	for to < len(line) && !ends(line[to]) {
		to++
	}
	return line[from:to], line[to:]
}

func ends(c byte) bool {
	return c <= ' ' || c == 0x7f || strings.IndexByte("'\"`<>|^", c) >= 0
}

// splitURL parts a word before its first URL ("--proxy=http://…").
func splitURL(word []byte) (before, url []byte) {
	for {
		at := bytes.Index(word, []byte("://"))
		if at < 0 {
			return word, nil
		}
		from := at
		for from > 0 && schemeByte(word[from-1]) {
			from--
		}
		for from < at && !letter(word[from]) {
			from++
		}
		if from < at {
			return word[:from], word[from:]
		}
		word = word[at+len("://"):]
	}
}

// cutURL returns a URL without the punctuation after it, and what of it may be
// another URL.
func cutURL(text []byte) (url, inner []byte) {
	inner = text[bytes.Index(text, []byte("://"))+3:]
	if !bytes.Contains(inner, []byte("://")) {
		inner = nil
	}
	text = bytes.TrimRight(text, ".,;:!)}")
	if bytes.IndexByte(text, '[') < 0 {
		text = bytes.TrimRight(text, "]")
	}
	return text, inner
}

// cutHost takes the next host from a word without a scheme. An empty one means
// that there was none where it looked.
func cutHost(word []byte) (host []byte, port uint16, rest []byte) {
	part, rest := cutPart(word)
	part = cutDevice(part)
	if at := bytes.LastIndexByte(part, '@'); at >= 0 {
		part = part[at+1:]
	}
	if _, isAddress := parseAddr(part); isAddress {
		return part, 0, rest
	}
	part, _ = cutAny(part, "/")
	host, digits, ok := splitPort(part)
	if !ok {
		return nil, 0, rest
	}
	if port, ok = parsePort(digits); !ok {
		port = 0 // as in host:path
	}
	return bytes.Trim(host, ".-![]"), port, rest
}

// cutPart takes the next piece between signs that no host has.
func cutPart(word []byte) (part, rest []byte) {
	if at := bytes.IndexAny(word, "=,;(){}&$\\?#*+~"); at >= 0 {
		return word[:at], word[at+1:]
	}
	return word, nil
}

// cutDevice leaves host/port of bash's /dev/tcp/host/port.
func cutDevice(part []byte) []byte {
	if tail, ok := bytes.CutPrefix(part, []byte("/dev/tcp/")); ok {
		return tail
	}
	return bytes.TrimPrefix(part, []byte("/dev/udp/"))
}
