// Package redact takes secrets out of calls before they are written to disk. A secret
// becomes [redacted:<rule>:<digest>]; every other byte of a call stays as it was.
//
// It must never fail on a call, never hold one back, and never write a secret or
// the key anywhere.
package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"

	"github.com/stackjoin/stackjoin/internal/glob"
)

// generation counts the changes of what presets and forms mean, for ID.
const generation = 1

// rule is a Rule made ready.
type rule struct {
	name string
	find finder
	// whole tells that find may look at a text that is no column's.
	whole   bool
	globs   []string
	queries []string
}

// Rules are a list of rules. They do not change, and may be used by several
// goroutines at once.
type Rules struct {
	rules []rule
	// byColumn are the rules that name a column as it is, globbed the others.
	byColumn map[string][]int
	globbed  []int
	named    bool // a rule asks for the query
	all      []int
	nameless []int // the rules that ask for no query
	key      []byte
	id       uint64
	walks    sync.Pool
}

// Compile makes rules ready. The digests in marks are made with key: whoever has it
// can test a guess of a secret, so it is kept as one. An error names the rule,
// counted from 0, and what is wrong with it.
func Compile(rules []Rule, key []byte) (*Rules, error) {
	r := &Rules{byColumn: map[string][]int{}, key: append([]byte{}, key...), id: identity(rules)}
	r.walks.New = func() any { return &walk{r: r} }
	for i := range rules {
		for _, p := range rules[i].Validate() {
			return nil, fmt.Errorf("redact.rules[%d].%s: %s", i, p.Key, p.Message)
		}
		if err := r.add(i, &rules[i]); err != nil {
			return nil, fmt.Errorf("redact.rules[%d]: %w", i, err)
		}
	}
	return r, nil
}

func (r *Rules) add(i int, from *Rule) error {
	ready := rule{name: from.Name, queries: from.Queries}
	columns := from.Columns
	if find, ok := preset(from.Preset); ok {
		ready.find = find
		if ready.name == "" {
			ready.name = from.Preset
		}
		if len(columns) == 0 {
			columns = presetColumns()
		}
	} else {
		expression, err := regexp.Compile(from.Match)
		if err != nil {
			return fmt.Errorf("match: %w", err)
		}
		ready.find, ready.whole = byExpression(expression), true
	}
	r.watch(i, &ready, columns)
	r.rules = append(r.rules, ready)
	r.all = append(r.all, i)
	if len(ready.queries) > 0 {
		r.named = true
	} else {
		r.nameless = append(r.nameless, i)
	}
	return nil
}

// watch notes which columns rule i looks at.
func (r *Rules) watch(i int, ready *rule, columns []string) {
	for _, c := range columns {
		if glob.Literal(c) {
			r.byColumn[c] = append(r.byColumn[c], i)
		} else {
			ready.globs = append(ready.globs, c)
		}
	}
	if len(ready.globs) > 0 {
		r.globbed = append(r.globbed, i)
	}
}

// identity is a hash of what the rules do.
func identity(rules []Rule) uint64 {
	text, err := json.Marshal(rules)
	if err != nil {
		text = fmt.Append(nil, rules) // texts and lists of them always marshal
	}
	sum := sha256.Sum256(fmt.Appendf(text, "/%d", generation))
	return max(1, binary.BigEndian.Uint64(sum[:]))
}

// ID names the rules in the frames that passed them. It is never 0, equal for equal
// rules on every host, and says nothing of the key.
func (r *Rules) ID() uint64 { return r.id }

// Apply returns the call without its secrets, and how many there were: the payload
// itself, neither changed nor copied, where there was none. typ is one of
// extension's types of calls. The result is valid JSON if the payload was. A payload
// that cannot be read is searched as text, by all rules.
func (r *Rules) Apply(typ byte, payload []byte) (out []byte, n int) {
	if len(r.rules) == 0 {
		return payload, 0
	}
	w := r.borrow()
	defer r.giveBack(w)
	w.call(typ, payload)
	if len(w.edits) == 0 {
		return payload, 0
	}
	return splice(payload, w.edits), len(w.edits)
}

func (r *Rules) borrow() *walk {
	w, ok := r.walks.Get().(*walk)
	if !ok {
		return &walk{r: r}
	}
	return w
}

// keepBytes bounds the memory that waits for the next call.
const keepBytes = 1 << 20

func (r *Rules) giveBack(w *walk) {
	w.begin(nil)
	if cap(w.text) > keepBytes || cap(w.edits) > keepBytes/64 || cap(w.spans) > keepBytes/64 {
		return
	}
	r.walks.Put(w)
}

// mark is what stands in a secret's place. It holds nothing that JSON escapes.
func (r *Rules) mark(rule int, secret []byte) string {
	digest := hmac.New(sha256.New, r.key)
	digest.Write(secret)
	return "[redacted:" + r.rules[rule].name + ":" + hex.EncodeToString(digest.Sum(nil)[:6]) + "]"
}

// edit is a piece of a payload and the text that takes its place.
type edit struct {
	start, end int
	with       string
}

// splice returns text with its edits, which are in order, in new memory.
func splice(text []byte, edits []edit) []byte {
	size := len(text)
	for _, e := range edits {
		size += len(e.with) - (e.end - e.start)
	}
	out, copied := make([]byte, 0, size), 0
	for _, e := range edits {
		out = append(append(out, text[copied:e.start]...), e.with...)
		copied = e.end
	}
	return append(out, text[copied:]...)
}
