package reputation

import (
	"cmp"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// hit is an entry that answers a lookup. rank is higher for the narrower one.
type hit struct {
	table  *table
	prefix netip.Prefix // of an address
	text   []byte       // of anything else
	row    row
	how    string
	rank   int
}

// appendThreats writes hits out, the narrowest first, and of those the one that its list
// is surest of. Hits of lists that only
// suppress, downgrade or label act on the others, and are not written themselves
// unless all are asked for.
func appendThreats(dst []enrich.Threat, hits []hit, all bool, at time.Time) []enrich.Threat {
	if len(hits) == 0 {
		return dst
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(b.confidence(), a.confidence()))
	})
	for i := range hits {
		if role := hits[i].table.feed.Role; role != "block" && !all {
			continue
		}
		t := hits[i].threat(at)
		if t.Role == "block" {
			hits[i].judge(&t, hits)
		}
		dst = append(dst, t)
	}
	return dst
}

// confidence is the row's own, else its feed's.
func (h *hit) confidence() int {
	return cmp.Or(int(h.table.details[h.row.detail].confidence), h.table.feed.Confidence)
}

// lowered is the most confidence that a downgraded match keeps: low.
const lowered = 25

// judge lets the other lists have their say. A list clears or lowers what is the
// same as its own entry or broader; it never speaks for a longer name or a
// narrower prefix, which may be the one bad thing below a good one. A label only
// tells, so it may be broader.
func (h *hit) judge(t *enrich.Threat, hits []hit) {
	for i := range hits {
		o := &hits[i]
		switch role := o.table.feed.Role; {
		case role == "label" && len(t.Labels) < maxWords:
			t.Labels = append(t.Labels, o.label())
		case role == "suppress" && o.rank >= h.rank && t.SuppressedBy == "":
			t.SuppressedBy = o.source()
		case role == "downgrade" && o.rank >= h.rank && t.DowngradedBy == "":
			t.DowngradedBy = o.source()
			t.Confidence = min(t.Confidence, lowered)
		}
	}
}

// source names an entry as "feed: indicator".
func (h *hit) source() string {
	indicator, _ := h.name()
	return h.table.feed.Name + ": " + indicator
}

// label is what an entry of a list that labels says.
func (h *hit) label() string {
	if name := h.table.more(h.row).name; name != "" {
		return h.table.feed.Name + ": " + name
	}
	return h.source()
}

// more reads what else is said about a row.
func (t *table) more(r row) (m more) {
	if at := t.details[r.detail].more; at > 0 {
		m = unpackMore(t.words[at:])
	}
	return m
}

// threat writes the hit out.
func (h *hit) threat(at time.Time) enrich.Threat {
	t, d, m := h.table, &h.table.details[h.row.detail], h.table.more(h.row)
	out := enrich.Threat{
		How: h.how, Feed: t.feed.Name, Generation: cmp.Or(m.generation, t.generation), Role: t.feed.Role, Confidence: h.confidence(),
		Name: m.name, ID: m.id, Event: m.event, Reference: m.reference, Techniques: splitWords(m.attack),
		Tags: t.feed.Tags, TLP: cmp.Or(m.tlp, t.feed.TLP), Port: d.port, Reports: d.reports,
		FirstSeen: timeOf(d.first), LastSeen: timeOf(d.last), ValidFrom: timeOf(m.from), ValidUntil: timeOf(d.until),
		Provenance: cmp.Or(m.document, filepath.Base(t.feed.where())) + ":" + strconv.FormatUint(uint64(h.row.line), 10),
	}
	out.Delisted = timeOf(d.gone)
	if len(t.idents) > 0 {
		out.Since = timeOf(t.seen(h.ident()))
	}
	if t.told {
		out.FirstSeenHere = out.Since
	}
	out.BeforeValidFrom = m.from != 0 && !at.IsZero() && at.Unix() < m.from
	if m.tags != "" || m.name != "" {
		out.Tags = append(slices.Clip(t.feed.Tags), splitWords(m.tags)...)
	}
	if m.name != "" && !slices.Contains(out.Tags, m.name) {
		out.Tags = append(out.Tags, m.name)
	}
	out.Indicator, out.Type = h.name()
	return out
}

// name returns the indicator as it is listed, and the type ECS has for it.
func (h *hit) name() (indicator, ecsType string) {
	if h.prefix.IsValid() {
		indicator, ecsType = h.prefix.String(), "ipv6-addr"
		if h.prefix.IsSingleIP() {
			indicator = h.prefix.Addr().String()
		}
		if h.prefix.Addr().Is4() {
			ecsType = "ipv4-addr"
		}
		return indicator, ecsType
	}
	switch h.table.details[h.row.detail].kind {
	case feed.URL:
		return string(h.text), "url"
	case feed.Hash, feed.Path:
		return string(h.text), "file"
	case feed.Domain:
		return string(h.text), "domain-name"
	case feed.Cert:
		return string(h.text), "x509-certificate"
	}
	return string(h.text), "artifact" // ECS has no type for fingerprints
}

func timeOf(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
