package reputation

import (
	"cmp"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// asking is a value to look up, plain, with what else the event says.
type asking struct {
	kind  feed.Kind
	plain string
	addr  netip.Addr
	port  uint16
	at    time.Time
}

func (w *world) question() asking {
	i := w.indicator()
	q := asking{kind: i.kind, plain: i.plain, port: pick[uint16](w.r, 0, 80, 443, 8443)}
	if i.kind == feed.IP {
		q.addr = w.address()
	}
	if w.r.IntN(2) == 0 {
		q.at = w.now.Add(time.Duration(w.r.IntN(5)-2) * time.Hour)
	}
	return q
}

// ask puts the question to the Index, in another spelling.
func (w *world) ask(x *Index, dst []enrich.Threat, q asking) []enrich.Threat {
	switch q.kind {
	case feed.IP:
		a := q.addr
		if a.Is4() && w.r.IntN(4) == 0 {
			a = netip.AddrFrom16(a.As16())
		}
		return x.Address(dst, a, q.port, q.at)
	case feed.Domain:
		return x.Host(dst, []byte(w.spelled(q.kind, q.plain)), q.port, q.at)
	case feed.URL:
		return x.URL(dst, []byte(w.spelled(q.kind, q.plain)), q.at)
	case feed.Hash:
		return x.Hash(dst, []byte(w.spelled(q.kind, q.plain)), q.at)
	}
	return x.Fingerprint(dst, q.kind, []byte(w.spelled(q.kind, q.plain)), q.at)
}

// meets tells whether an indicator answers a question of its kind, and how narrow
// it is.
func (i *listed) meets(q *asking) (rank int, ok bool) {
	if i.until > 0 && !q.at.IsZero() && q.at.Unix() >= i.until || i.port > 0 && q.port > 0 && i.port != q.port {
		return 0, false
	}
	switch i.kind {
	case feed.IP:
		return i.prefix.Bits(), i.prefix.Contains(q.addr)
	case feed.Domain:
		return len(i.plain), i.plain == q.plain || !i.exact && strings.HasSuffix(q.plain, "."+i.plain)
	}
	return len(i.plain), i.plain == q.plain
}

// verdict is what is compared of a match.
type verdict struct {
	rank, feed, labels     int
	port                   uint16
	until                  int64
	suppressed, downgraded bool
}

func compareVerdicts(a, b verdict) int {
	return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.feed, b.feed), cmp.Compare(a.port, b.port), cmp.Compare(a.until, b.until))
}

// answer is the reference's.
func (w *world) answer(q asking) (found []verdict) {
	var met []verdict
	all := w.all[q.kind]
	for n := range all {
		if rank, ok := all[n].meets(&q); ok {
			met = append(met, verdict{rank: rank, feed: all[n].feed, port: all[n].port, until: all[n].until})
		}
	}
	for _, v := range met {
		if w.feeds[v.feed].Role != "block" {
			continue
		}
		for _, o := range met {
			switch w.feeds[o.feed].Role {
			case "suppress":
				v.suppressed = v.suppressed || o.rank >= v.rank
			case "downgrade":
				v.downgraded = v.downgraded || o.rank >= v.rank
			case "label":
				v.labels++
			}
		}
		found = append(found, v)
	}
	slices.SortFunc(found, compareVerdicts)
	return found
}

// said turns the Index's answer into verdicts, in its own order.
func (w *world) said(q asking, threats []enrich.Threat) (all []verdict) {
	for _, t := range threats {
		n, _ := strconv.Atoi(strings.TrimPrefix(t.Feed, "feed"))
		v := verdict{rank: len(q.plain), feed: n, labels: len(t.Labels), port: t.Port, suppressed: t.SuppressedBy != "", downgraded: t.DowngradedBy != ""}
		if !t.ValidUntil.IsZero() {
			v.until = t.ValidUntil.Unix()
		}
		switch q.kind {
		case feed.IP:
			v.rank = q.addr.BitLen()
			if p, err := netip.ParsePrefix(t.Indicator); err == nil {
				v.rank = p.Bits()
			}
		case feed.Domain:
			plain := strings.ToLower(strings.TrimSuffix(t.Indicator, "."))
			v.rank = len(strings.ReplaceAll(plain, "bücher", "xn--bcher-kva"))
		}
		all = append(all, v)
	}
	return all
}

// agree puts n questions to both, and wants the same matches, the narrowest first.
func (w *world) agree(t *testing.T, x *Index, n int) (hits int) {
	t.Helper()
	var threats []enrich.Threat
	for range n {
		q := w.question()
		threats = w.ask(x, threats[:0], q)
		want := w.answer(q)
		if len(want) == 0 && len(threats) == 0 {
			continue
		}
		got := w.said(q, threats)
		if !slices.IsSortedFunc(got, func(a, b verdict) int { return cmp.Compare(b.rank, a.rank) }) {
			t.Fatalf("REPUTATION_SEED=%d: %+v: not the narrowest first: %+v", w.seed, q, got)
		}
		slices.SortFunc(got, compareVerdicts)
		if !slices.Equal(got, want) {
			t.Fatalf("REPUTATION_SEED=%d: %+v:\n got %+v\nwant %+v", w.seed, q, got, want)
		}
		hits++
	}
	return hits
}

// number is an environment variable, or what it is by default.
func number(t testing.TB, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestIndexAgreesWithTheReference asks both about the same mixed feeds.
// REPUTATION_LOOKUPS is how often, REPUTATION_SEED where the feeds begin.
func TestIndexAgreesWithTheReference(t *testing.T) {
	const each = 10_000
	seed := number(t, "REPUTATION_SEED", 1)
	hits, asked := 0, 0
	for ; asked < number(t, "REPUTATION_LOOKUPS", 200_000); asked += each {
		w := newWorld(t, uint64(seed))
		x, _ := load(t, w.feeds...)
		hits += w.agree(t, x, each)
		seed++
	}
	t.Logf("%d look-ups agree, of which %d met something", asked, hits)
	if hits < asked/10 {
		t.Errorf("only %d of %d look-ups met anything", hits, asked)
	}
}

// TestCollidingHashesAreConfirmed leaves so few bits of the hashes that many keys
// share one, or all do: the answers stay the same.
func TestCollidingHashesAreConfirmed(t *testing.T) {
	for _, kept := range []uint64{0, 1, 7 << 61} {
		for seed := range uint64(5) {
			w := newWorld(t, 1000+seed)
			x, _ := load(t, w.feeds...)
			shared := weaken(x, kept)
			if shared == 0 {
				t.Fatalf("bits %x: no two keys share a hash", kept)
			}
			w.agree(t, x, 500)
		}
	}
}

// weaken leaves only these bits of an Index's hashes, and returns how many keys
// share one with another.
func weaken(x *Index, bits uint64) (shared int) {
	x.weak = ^bits
	for _, t := range x.tables {
		raw, seen := []rawKey(nil), map[uint64]bool{}
		for i, h := range t.keys.hashes {
			h &= bits
			if seen[h] {
				shared++
			}
			seen[h] = true
			size := uint32(len(t.keys.text(uint32(i))))
			raw = append(raw, rawKey{h, t.keys.ends[i] - size, size, t.keys.rows[i]})
		}
		t.keys = packKeys(raw, t.keys.texts, func(r row) feed.Kind { return t.details[r.detail].kind })
	}
	return shared
}
