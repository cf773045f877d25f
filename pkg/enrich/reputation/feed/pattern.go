package feed

import (
	"errors"
	"strings"
)

// Patterns are read by the grammar of STIX Patterning (STIX 2.1, part 9). Kept is
// what can be matched one value at a time: a choice (OR) of equalities, IN and
// ISSUBSET, and an address together with its port. A member of any other AND,
// NOT or FOLLOWEDBY says nothing by itself, so such a pattern is not split.

var errPattern = errors.New("no STIX pattern")

// maxPattern bounds the nesting and the members of a pattern.
const (
	maxPatternDepth = 64
	maxPatternAtoms = 10_000
)

// atom is one comparison: an object's property and the value it must have.
type atom struct {
	path, value string
	// known tells an atom that is one of ours to match; others make their
	// branch unsupported.
	known bool
	kind  Kind
	port  uint16
}

// choice is a pattern as alternatives. unsupported counts those that were left
// out: what stands beside an OR can be, what stands in an AND cannot.
type choice struct {
	atoms       []atom
	unsupported int
}

func (c choice) or(other choice) choice {
	return choice{append(c.atoms, other.atoms...), c.unsupported + other.unsupported}
}

// none is a branch that cannot be matched.
func none() choice { return choice{unsupported: 1} }

// parsePattern reads a pattern. The error says that it is none.
func parsePattern(text string) (choice, error) {
	p := patternParser{lex: patternLexer{rest: text}}
	p.advance()
	c, err := p.observations(0)
	if err == nil && p.token.kind != endToken {
		err = errPattern
	}
	if err != nil || p.lex.broken {
		return choice{}, errPattern
	}
	return c, nil
}

type patternParser struct {
	lex   patternLexer
	token patternToken
	atoms int
}

func (p *patternParser) advance() { p.token = p.lex.next() }

// take steps over a token if it is the given word or sign.
func (p *patternParser) take(word string) bool {
	if p.token.kind != wordToken && p.token.kind != signToken || p.token.text != word {
		return false
	}
	p.advance()
	return true
}

// observations reads observation expressions and what joins them. FOLLOWEDBY binds
// least, then OR, then AND; none of ours survives an AND or a FOLLOWEDBY.
func (p *patternParser) observations(depth int) (c choice, err error) {
	if depth > maxPatternDepth {
		return c, errPattern
	}
	if c, err = p.observation(depth); err != nil {
		return c, err
	}
	split := false
	for {
		or := p.take("OR")
		if !or && !p.take("AND") && !p.take("FOLLOWEDBY") {
			break
		}
		split = split || !or
		next, err := p.observation(depth)
		if err != nil {
			return c, err
		}
		c = c.or(next)
	}
	if split {
		return none(), nil
	}
	return c, nil
}

// observation reads [ … ] or ( … ) with its qualifiers, which ask for more than
// one look at one event.
func (p *patternParser) observation(depth int) (c choice, err error) {
	switch {
	case p.take("["):
		if c, err = p.comparisons(depth + 1); err == nil && !p.take("]") {
			err = errPattern
		}
	case p.take("("):
		if c, err = p.observations(depth + 1); err == nil && !p.take(")") {
			err = errPattern
		}
	default:
		err = errPattern
	}
	if err != nil {
		return c, err
	}
	for p.token.kind == wordToken && strings.Contains("|WITHIN|REPEATS|START|STOP|", "|"+p.token.text+"|") {
		c = none()
		for p.advance(); p.token.kind == valueToken || p.token.kind == wordToken && strings.Contains("|SECONDS|TIMES|t|", "|"+p.token.text+"|"); {
			p.advance()
		}
	}
	return c, nil
}

// comparisons reads comparison expressions: OR binds less than AND.
func (p *patternParser) comparisons(depth int) (c choice, err error) {
	if depth > maxPatternDepth {
		return c, errPattern
	}
	for {
		term, err := p.conjunction(depth)
		if err != nil {
			return c, err
		}
		if c = c.or(term); !p.take("OR") {
			return c, nil
		}
	}
}

func (p *patternParser) conjunction(depth int) (choice, error) {
	var all []choice
	for {
		c, err := p.comparison(depth)
		if err != nil {
			return c, err
		}
		if all = append(all, c); !p.take("AND") {
			return both(all), nil
		}
	}
}

// both joins what must hold at once: one alternative alone, or an address and its
// port.
func both(all []choice) choice {
	if len(all) == 1 {
		return all[0]
	}
	var host, port *atom
	for i := range all {
		c := &all[i]
		if len(c.atoms) != 1 || c.unsupported > 0 {
			return none()
		}
		switch a := &c.atoms[0]; {
		case a.port > 0 && port == nil:
			port = a
		case a.known && a.kind == IP && host == nil:
			host = a
		case strings.HasSuffix(a.path, "_ref.type"): // what the address says anyway
		default:
			return none()
		}
	}
	if host == nil {
		return none()
	}
	joined := *host
	if port != nil {
		side := strings.TrimSuffix(port.path, "_port") // network-traffic:dst
		if strings.HasPrefix(host.path, "network-traffic:") && !strings.HasPrefix(host.path, side) {
			return none()
		}
		joined.port = port.port
	}
	return choice{atoms: []atom{joined}}
}

// comparison reads one comparison, or a group of them.
func (p *patternParser) comparison(depth int) (c choice, err error) {
	if p.take("(") {
		if c, err = p.comparisons(depth + 1); err == nil && !p.take(")") {
			err = errPattern
		}
		return c, err
	}
	if p.take("EXISTS") {
		if p.token.kind != wordToken {
			return c, errPattern
		}
		p.advance()
		return none(), nil
	}
	if p.token.kind != wordToken || !strings.Contains(p.token.text, ":") {
		return c, errPattern
	}
	path := p.token.text
	p.advance()
	not := p.take("NOT")
	operator := p.token.text
	values, err := p.operand()
	switch {
	case err != nil:
		return c, err
	case not || operator != "=" && operator != "IN" && operator != "ISSUBSET":
		return none(), nil
	}
	for _, v := range values {
		c.add(path, v)
	}
	return c, nil
}

// add adds one atom to the alternatives.
func (c *choice) add(path, value string) {
	a := atomOf(path, value)
	if !a.known && a.port == 0 && !strings.HasSuffix(path, "_ref.type") {
		c.unsupported++
		return
	}
	c.atoms = append(c.atoms, a)
}

// operand reads an operator and what follows it.
func (p *patternParser) operand() (values []string, err error) {
	operator := p.token.text
	if !strings.Contains("|=|==|!=|<>|>|<|>=|<=|IN|LIKE|MATCHES|ISSUBSET|ISSUPERSET|", "|"+operator+"|") || operator == "" {
		return nil, errPattern
	}
	p.advance()
	if operator != "IN" {
		value, err := p.value()
		return []string{value}, err
	}
	if !p.take("(") {
		return nil, errPattern
	}
	for {
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		if p.take(")") {
			return values, nil
		}
		if !p.take(",") {
			return nil, errPattern
		}
	}
}

func (p *patternParser) value() (string, error) {
	if p.atoms++; p.atoms > maxPatternAtoms {
		return "", errPattern
	}
	// A literal may have a type before it: t'…', b'…', h'…'.
	if p.token.kind == wordToken && strings.Contains("|t|b|h|true|false|", "|"+p.token.text+"|") {
		word := p.token.text
		p.advance()
		if len(word) > 1 {
			return word, nil
		}
	}
	if p.token.kind != valueToken {
		return "", errPattern
	}
	text := p.token.text
	p.advance()
	return text, nil
}
