package redact

import (
	"bytes"
	"regexp"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// passwordFlags finds passwords that stand on command lines and in environments:
// flags, variables, and members of JSON and of connection strings.
func passwordFlags() finder {
	member := regexp.MustCompile(`(?i)"[a-z0-9_.-]*(?:password|passwd|passphrase)\\?"\s*:\s*\\?"([^"\\]+)|'[a-z0-9_.-]*(?:password|passwd|passphrase)'\s*:\s*'([^'\\]+)`)
	return func(dst []span, text []byte) []span {
		s := flagScan{text: text, dst: dst}
		if !s.list() {
			s = flagScan{text: text, dst: dst}
			s.shell(0, len(text))
		}
		if indexFold(text, "passw") >= 0 || indexFold(text, "passp") >= 0 {
			return byExpression(member)(s.dst, text)
		}
		return s.dst
	}
}

// flagScan goes through the words of a command line. A flag means what the program
// before it makes of it.
type flagScan struct {
	text []byte
	dst  []span
	tool tool
	next form // what the next word is
	// logs tells that the tool was asked to log in, where only that takes -p.
	logs bool
	// script tells that the argument before was a flag such as -c.
	script bool
}

// list goes through a JSON list of arguments, and is false for anything else.
func (s *flagScan) list() bool {
	c := event.NewCursor(s.text)
	if c.Peek() != '[' {
		return false
	}
	err := c.Array(func() error {
		v, err := c.Value()
		if err != nil || !v.String {
			return err
		}
		end := c.Offset() - 1
		s.argument(end-len(v.Raw), end)
		return nil
	})
	return err == nil && c.End() == nil
}

// argument takes one argument of a list. One with blanks is a script behind a flag
// such as -c, and elsewhere unless it is a flag, a variable or awaited.
func (s *flagScan) argument(start, end int) {
	text := s.text[start:end]
	script := s.script
	s.script = len(text) > 1 && text[0] == '-' && text[len(text)-1] == 'c'
	switch name := nameEnd(text, 0); {
	case bytes.IndexByte(text, ' ') < 0, text[0] == '-', s.next != none:
	case !script && name > 0 && text[name] == '=':
	default:
		s.shell(start, end)
		return
	}
	s.word(start, end, true)
}

// shell goes through words that blanks divide.
func (s *flagScan) shell(at, limit int) {
	for at < limit {
		if isBlank(s.text[at]) {
			at++
			continue
		}
		end := at
		for end < limit && !isBlank(s.text[end]) {
			end++
		}
		at = s.word(at, end, false)
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0 }

// word takes one word, and returns where the next may begin: behind the word, or
// behind a quoted secret with blanks that begins in it. whole tells that the word is
// an argument as it was passed.
func (s *flagScan) word(start, end int, whole bool) int {
	if f := s.next; f != none {
		s.next = none
		switch {
		case s.tool.login && isPorts(s.text[start:end]): // a container called login
			return end
		case s.text[start] != '-':
			return s.secret(f, start, end, whole)
		}
	}
	bare := start
	for !whole && bare < end && isQuote(s.text[bare]) {
		bare++
	}
	word := s.text[bare:end]
	switch {
	case len(word) == 0:
		return end
	case isSeparator(word):
		s.tool, s.logs = tool{}, false
		return end
	case word[0] == '-':
		return s.flag(bare, end, whole)
	case word[0] == '/' && s.slash(bare, end):
		return end
	}
	if next := s.short(word, bare, end, whole); next > 0 {
		return next
	}
	if next := s.assigned(bare, end, whole); next > 0 {
		return next
	}
	s.plain(word)
	return end
}

// plain takes a word that is no flag: a program, or what one is asked to do.
func (s *flagScan) plain(word []byte) {
	name := programName(word)
	if t, ok := toolOf(string(bytes.TrimSuffix(name, []byte(".exe")))); ok {
		s.tool, s.logs = t, false
	} else if s.tool.wraps {
		s.tool = tool{}
	}
	s.logs = s.logs || string(name) == "login"
	if s.tool.word != "" && string(name) == s.tool.word {
		s.next = password
	}
	if c := word[len(word)-1]; c == ';' || c == '|' || c == '&' {
		s.tool, s.logs = tool{}, false
	}
}

// programName is the last part of a path, without what a shell writes around it.
func programName(word []byte) []byte {
	start, end := 0, len(word)
	for start < end && isShell(word[start]) {
		start++
	}
	for end > start && isShell(word[end-1]) {
		end--
	}
	for i := end - 1; i >= start; i-- {
		if word[i] == '/' || word[i] == '\\' {
			start = i + 1
			break
		}
	}
	return word[start:end]
}

func isShell(c byte) bool {
	switch c {
	case '"', '\'', '`', '(', ')', ';', '&', '|':
		return true
	}
	return false
}

func isSeparator(word []byte) bool {
	return isShell(word[0]) && len(bytes.Trim(word, "|&;")) == 0
}

func isQuote(c byte) bool { return c == '"' || c == '\'' }

// flag takes a word that begins with a hyphen.
func (s *flagScan) flag(start, end int, whole bool) int {
	word := s.text[start:end]
	name := word
	value := bytes.IndexByte(word, '=')
	if value >= 0 {
		name = word[:value]
	}
	long := bytes.TrimLeft(name, "-")
	switch f := formOf(long); {
	case f != none && len(long) > 1 && value >= 0:
		return s.secret(f, start+value+1, end, whole)
	case f != none && len(long) > 1 && !s.tool.asks:
		s.next = f
		return end
	}
	if next := s.short(word, start, end, whole); next > 0 {
		return next
	}
	if next := s.assigned(start, end, whole); next > 0 {
		return next
	}
	return end
}

// short takes a flag that only some tools have; 0 means that it is none of them.
func (s *flagScan) short(word []byte, start, end int, whole bool) int {
	for _, f := range s.tool.flags {
		if f.name == "" || s.tool.login && !s.logs || !bytes.HasPrefix(word, []byte(f.name)) {
			continue
		}
		switch attached := word[len(f.name):]; {
		case len(attached) == 0 && f.apart:
			s.next = f.form
			return end
		case len(attached) > 0 && f.joined && !isPorts(attached):
			return s.secret(f.form, start+len(f.name), end, whole)
		}
	}
	return 0
}

// isPorts tells whether a text is a mapping of ports such as 8080:80, which a
// container's -p takes.
func isPorts(text []byte) bool {
	return bytes.IndexByte(text, ':') > 0 && len(bytes.Trim(text, "0123456789.:/tcpud")) == 0
}

// slash takes a flag of Windows' kind, /password:SECRET.
func (s *flagScan) slash(start, end int) bool {
	word := s.text[start+1 : end]
	colon := bytes.IndexByte(word, ':')
	if colon < 0 || formOf(word[:colon]) == none {
		return false
	}
	s.add(start+1+colon+1, end)
	return true
}

// secret takes a secret of a form that begins at start, in a word that ends at end,
// and returns where the next word may begin.
func (s *flagScan) secret(f form, start, end int, whole bool) (next int) {
	next = end
	if start < end && !whole && isQuote(s.text[start]) {
		if n := bytes.IndexByte(s.text[start+1:], s.text[start]); n >= 0 { // it may hold blanks
			start, end = start+1, start+1+n
			next = max(next, end+1)
		}
	} else if start < end && !whole && isQuote(s.text[end-1]) && bytes.Count(s.text[start:end], s.text[end-1:end])%2 == 1 {
		end-- // the quote belongs to the words around
	}
	s.add(start+inForm(f, s.text[start:end]), end)
	return next
}

// inForm is the index of the secret in a text of a form, the text's length where it
// holds none.
func inForm(f form, text []byte) int {
	var at int
	switch f {
	case pair:
		at = 1 + bytes.IndexByte(text, ':')
	case percent:
		at = 1 + bytes.IndexByte(text, '%')
	case source:
		return inSource(text)
	default:
		return 0
	}
	if at == 0 {
		return len(text)
	}
	return at
}

func inSource(text []byte) int {
	for _, place := range [...]string{"env:", "file:", "fd:", "stdin"} {
		if bytes.HasPrefix(text, []byte(place)) {
			return len(text)
		}
	}
	if bytes.HasPrefix(text, []byte("pass:")) {
		return len("pass:")
	}
	return 0
}

func (s *flagScan) add(start, end int) {
	if start < end && isSecret(s.text[start:end]) {
		s.dst = append(s.dst, span{start: start, end: end})
	}
}
