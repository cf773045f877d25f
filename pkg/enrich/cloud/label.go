package cloud

import (
	"net/netip"
	"slices"
)

// LabelKind says what a label is of.
type LabelKind string

// What can be labelled.
const (
	LabelAccount LabelKind = "account"
	LabelImage   LabelKind = "image"
	LabelBucket  LabelKind = "bucket"
	LabelAddress LabelKind = "address" // an address or prefix
)

// The words that have a meaning of their own; any others are shown.
const (
	Trusted   = "trusted"   // of an address: a call from there is no sign of theft
	Sensitive = "sensitive" // what touches it matters one step more
)

// Labelled is something of the cloud's and what its owner calls it.
type Labelled struct {
	Kind   LabelKind `json:"kind"`
	ID     string    `json:"id"`
	Labels []string  `json:"labels,omitempty"`
	Owner  string    `json:"owner,omitempty"`
}

// Has tells whether it bears that word.
func (l *Labelled) Has(word string) bool { return slices.Contains(l.Labels, word) }

// Labels are all that are known. It is immutable and safe for concurrent use; a nil one
// knows none.
type Labels struct {
	exact    map[LabelKind]map[string]*Labelled
	prefixes []prefix // the longest first
}

type prefix struct {
	prefix netip.Prefix
	label  *Labelled
}

// NewLabels returns Labels of all. An address that cannot be read is of nothing; of two
// for one thing the last counts.
func NewLabels(all []Labelled) *Labels {
	l := &Labels{exact: map[LabelKind]map[string]*Labelled{}}
	for i := range all {
		one := all[i]
		if one.Kind == LabelAddress {
			if p, ok := prefixOf(one.ID); ok {
				l.prefixes = append(l.prefixes, prefix{p, &one})
			}
			continue
		}
		if l.exact[one.Kind] == nil {
			l.exact[one.Kind] = map[string]*Labelled{}
		}
		l.exact[one.Kind][one.ID] = &one
	}
	slices.Reverse(l.prefixes) // of two for one prefix the last counts
	slices.SortStableFunc(l.prefixes, func(a, b prefix) int { return b.prefix.Bits() - a.prefix.Bits() })
	return l
}

func prefixOf(text string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), true
}

// Of returns what is known of one thing, nil for nothing. Of an address that is what
// the longest prefix says.
func (l *Labels) Of(kind LabelKind, id string) *Labelled {
	if l == nil || id == "" {
		return nil
	}
	if kind != LabelAddress {
		return l.exact[kind][id]
	}
	if len(l.prefixes) == 0 {
		return nil
	}
	a, err := netip.ParseAddr(id)
	if err != nil {
		return nil
	}
	for _, p := range l.prefixes {
		if p.prefix.Contains(a.Unmap()) {
			return p.label
		}
	}
	return nil
}

// add appends what is known of one thing, under the id that was asked for.
func (l *Labels) add(all []Labelled, kind LabelKind, id string) []Labelled {
	known := l.Of(kind, id)
	if known == nil || slices.ContainsFunc(all, func(o Labelled) bool { return o.Kind == kind && o.ID == id }) {
		return all
	}
	one := *known
	one.ID = id
	return append(all, one)
}

// AppendLabels implements cloudtrail.Labels.
func (l *Labels) AppendLabels(dst []byte, account, image, bucket string, addresses ...string) []byte {
	all := l.add(nil, LabelAccount, account)
	all = l.add(all, LabelImage, image)
	all = l.add(all, LabelBucket, bucket)
	for _, a := range addresses {
		all = l.add(all, LabelAddress, a)
	}
	if len(all) == 0 {
		return dst
	}
	return append(dst, encode(all)...)
}
