package cloudtrail

import (
	"bytes"
	"slices"
	"sync"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Redacted stands in the place of a secret.
const Redacted = "[redacted]"

// secretNames are the members whose values are secrets, in lower case without
// hyphens and underscores: what AWS puts into responseElements when it issues
// credentials, and what callers put into requests that AWS does not mask.
func secretNames() []string {
	return []string{
		"accesstoken", "authorizationtoken", "authtoken", "bearertoken", "clientsecret", "clientsecretvalue", "devicecode",
		"idtoken", "keymaterial", "masteruserpassword", "newpassword", "oldpassword", "password", "passworddata", "plaintext",
		"privatekey", "refreshtoken", "samlassertion", "secretaccesskey", "secretbinary", "secretkey", "secretstring",
		"securitytoken", "servicepassword", "sessiontoken", "signintoken", "subjecttoken", "temporarypassword", "tokenvalue",
		"webidentitytoken", "xamzsecuritytoken", "xamzsignature", "streamurl",
	}
}

// isSecret tells the name of a member that holds a secret.
func isSecret(name []byte) bool {
	known := secrets()
	if !known.mayBe(name) {
		return false
	}
	var buf [32]byte
	folded := buf[:0]
	for _, c := range name {
		switch {
		case c == '-' || c == '_':
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		if len(folded) == len(buf) {
			return false
		}
		folded = append(folded, c)
	}
	_, secret := known.names[string(folded)]
	return secret
}

// secretSet is the names of secrets, and by the first byte of each, in either case, a bit
// for its last, which most other names have not together.
type secretSet struct {
	names map[string]struct{}
	ends  [256]uint32
}

// bit is the same for a letter in either case.
func bit(last byte) uint32 { return 1 << (last & 31) }

// mayBe tells whether a name is worth a second look.
func (s *secretSet) mayBe(name []byte) bool {
	if len(name) == 0 {
		return false
	}
	first, last := name[0], name[len(name)-1]
	return first == '-' || first == '_' || last == '-' || last == '_' || s.ends[first]&bit(last) != 0
}

var secrets = sync.OnceValue(func() *secretSet { //nolint:gochecknoglobals // set once, to what never changes
	set := &secretSet{names: map[string]struct{}{}}
	for _, name := range secretNames() {
		set.names[name] = struct{}{}
		for _, first := range []byte{name[0], name[0] - 'a' + 'A'} {
			set.ends[first] |= bit(name[len(name)-1])
		}
	}
	return set
})

// AppendScrubbed appends text that may be no JSON, or JSON within JSON, with the
// values masked of all members that hold secrets. It is for dead letters and for text
// within text.
func AppendScrubbed(dst, text []byte) []byte {
	done := 0
	for at := 0; ; {
		quote := bytes.IndexByte(text[at:], '"')
		if quote < 0 {
			return append(dst, text[done:]...)
		}
		at += quote + 1
		name := nameAt(text, at)
		if !isSecret(name) {
			continue
		}
		from, to := valueAt(text, at+len(name))
		if from == to {
			continue
		}
		dst = append(append(dst, text[done:from]...), Redacted...)
		at, done = to, to
	}
}

// nameAt is the name that begins at i, as far as it may be one of a secret.
func nameAt(text []byte, i int) []byte {
	end := i
	for end < len(text) && text[end] != '"' && text[end] != '\\' && end-i < 40 {
		end++
	}
	return text[i:end]
}

// valueAt finds the inside of the text after a name that ends at i; where a list or an
// object stands there, all that follows. from is to where no value follows.
func valueAt(text []byte, i int) (from, to int) {
	i += backslashes(text[i:])
	if i >= len(text) || text[i] != '"' {
		return i, i
	}
	rest := bytes.TrimLeft(text[i+1:], " \t\r\n")
	if len(rest) == 0 || rest[0] != ':' {
		return i, i
	}
	rest = bytes.TrimLeft(rest[1:], " \t\r\n")
	level := backslashes(rest)
	from = len(text) - len(rest) + level
	switch {
	case from >= len(text):
		return from, from
	case text[from] == '[', text[from] == '{':
		return from, len(text)
	case text[from] != '"':
		return from, from
	}
	return from + 1, textEnd(text, from+1, level)
}

// textEnd finds the quote that ends the text that begins at i. Its opening quote has
// level backslashes before it: 0, and within other text 1, 3, 7. One that belongs to
// the text has more, but for those that the text itself ends with.
func textEnd(text []byte, i, level int) int {
	for i < len(text) {
		run := backslashes(text[i:])
		end := i + run
		if end >= len(text) {
			return len(text)
		}
		if text[end] == '"' && run%(2*(level+1)) == level {
			return end - level
		}
		i = end + 1
	}
	return i
}

// backslashes counts those that text begins with.
func backslashes(text []byte) int { return len(text) - len(bytes.TrimLeft(text, `\`)) }

// redaction copies a record without its secrets.
type redaction struct {
	c     event.Cursor
	raw   []byte
	dst   []byte
	done  int // what of raw is in dst
	path  [][]byte
	paths []string
}

// appendRedacted appends the record raw with each secret replaced by Redacted, and
// returns the paths of those ("responseElements.credentials.sessionToken"). All other
// bytes are as they were.
func appendRedacted(dst, raw []byte) (_ []byte, paths []string, err error) {
	r := redaction{c: event.NewCursor(raw), raw: raw, dst: dst}
	if err := r.value(); err != nil {
		return dst, nil, err
	}
	return append(r.dst, raw[r.done:]...), r.paths, nil
}

func (r *redaction) value() error {
	switch r.c.Peek() {
	case '{':
		return r.c.Object(r.member)
	case '[':
		return r.c.Array(r.value)
	}
	start := r.c.Offset()
	v, err := r.c.Value()
	if err != nil || !v.Escaped {
		return err
	}
	if scrubbed := AppendScrubbed(nil, v.Raw); !bytes.Equal(scrubbed, v.Raw) {
		r.replace(start+1, start+1+len(v.Raw), scrubbed)
	}
	return nil
}

func (r *redaction) member(name []byte) error {
	r.path = append(r.path, name)
	defer func() { r.path = r.path[:len(r.path)-1] }()
	if !isSecret(name) {
		return r.value()
	}
	r.c.Peek()
	start := r.c.Offset()
	v, err := r.c.Value()
	if err == nil && !v.Empty() && v.Text() != Redacted {
		r.replace(start, r.c.Offset(), []byte(`"`+Redacted+`"`))
	}
	return err
}

func (r *redaction) replace(from, to int, with []byte) {
	r.dst = append(append(r.dst, r.raw[r.done:from]...), with...)
	r.done = to
	if path := string(bytes.Join(r.path, []byte("."))); !slices.Contains(r.paths, path) && len(r.paths) < maxPaths {
		r.paths = append(r.paths, path)
	}
}

// maxPaths is how many places of secrets are told.
const maxPaths = 32

// appendLine appends JSON text without the line breaks between its tokens, which is
// without all white space there; text on one line is appended as it is.
func appendLine(dst, text []byte) []byte {
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		return append(dst, text...)
	}
	quoted, escaped := false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// Masked is a record's text with its secrets masked, as output has it; of a text that
// is no record, nothing.
func Masked(raw []byte) []byte {
	masked, _, err := appendRedacted(nil, raw)
	if err != nil {
		return nil
	}
	return masked
}
