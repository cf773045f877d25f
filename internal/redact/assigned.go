package redact

import "bytes"

// assigned takes name=value pairs in a word whose name is a password's; 0 means that
// there are none.
func (s *flagScan) assigned(start, end int, whole bool) (next int) {
	for at := start; ; {
		found := bytes.IndexByte(s.text[at:end], '=')
		if found < 0 {
			return next
		}
		equals := at + found
		first := equals
		for first > at && isNameByte(s.text[first-1]) {
			first--
		}
		at = equals + 1
		name := bytes.TrimLeft(s.text[first:equals], "-")
		inside := first > start
		if !isVariable(name, inside) {
			continue
		}
		if !inside && bytes.Equal(name, bytes.ToUpper(name)) {
			return s.secret(password, equals+1, end, whole)
		}
		at = pairEnd(s.text[:end], equals+1)
		next = max(end, s.secret(password, equals+1, at, whole || at < end))
	}
}

// pairEnd is where the value of one of several pairs ends: at ; or &, or at a comma
// that another pair follows.
func pairEnd(text []byte, at int) int {
	for ; at < len(text); at++ {
		switch text[at] {
		case ';', '&':
			return at
		case ',':
			if name := nameEnd(text, at+1); name > at+1 && name < len(text) && text[name] == '=' {
				return at
			}
		}
	}
	return at
}

func isNameByte(c byte) bool {
	return c == '_' || c == '.' || c == '-' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// nameEnd is where a name that begins at at ends.
func nameEnd(text []byte, at int) int {
	for at < len(text) && isNameByte(text[at]) {
		at++
	}
	return at
}
