package reputation

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// The reference matcher knows each indicator in one plain form and walks over all
// of them. It shares no code with the Index: feeds and questions are written in
// other spellings than the plain one, and the Index has to see through them.

// listed is an indicator of the reference.
type listed struct {
	feed   int
	kind   feed.Kind
	plain  string       // of anything but an address
	prefix netip.Prefix // of an address
	port   uint16
	until  int64
	exact  bool
}

// world is some feeds and what they list.
type world struct {
	seed  uint64
	r     *rand.Rand
	feeds []Feed
	all   map[feed.Kind][]listed
	now   time.Time
}

const feedsOfWorld, rowsOfFeed = 5, 40

// newWorld makes feeds of all roles, with indicators that are near each other, so
// that they nest, repeat and hit.
func newWorld(t testing.TB, seed uint64) *world {
	t.Helper()
	w := &world{seed: seed, r: rand.New(rand.NewPCG(seed, 6)), all: map[feed.Kind][]listed{}, now: time.Unix(1_780_000_000, 0)}
	for n, role := range []string{"block", "suppress", "block", "downgrade", "label"}[:feedsOfWorld] {
		text := strings.Builder{}
		text.WriteString("v,t,p,u\n")
		exact := w.r.IntN(3) == 0
		for range 1 + w.r.IntN(rowsOfFeed) {
			i := w.indicator()
			i.feed = n
			i.exact = i.kind == feed.Domain && (exact || role == "block" && slices.Contains(suffixes(), i.plain))
			fmt.Fprintln(&text, w.line(i))
			if !slices.Contains(w.all[i.kind], i) {
				w.all[i.kind] = append(w.all[i.kind], i)
			}
		}
		f := feedOf(t, fmt.Sprint("feed", n), text.String())
		f.Preset, f.Role = "csv", role
		f.Fields = map[string]string{"value": "v", "type": "t", "port": "p", "valid_until": "u"}
		if exact {
			f.Match = "exact"
		}
		w.feeds = append(w.feeds, f)
	}
	return w
}

func suffixes() []string { return []string{"co.uk", "github.io"} }

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func (w *world) indicator() listed {
	i := listed{kind: pick(w.r, feed.IP, feed.IP, feed.Domain, feed.Domain, feed.URL, feed.Hash, feed.JA3)}
	switch i.kind {
	case feed.IP:
		a := w.address()
		least := 8
		if a.Is6() {
			least = 24
		}
		i.prefix = netip.PrefixFrom(a, least+w.r.IntN(a.BitLen()-least+1)).Masked()
		i.port = pick[uint16](w.r, 0, 0, 80, 443)
	case feed.Domain:
		i.plain = pick(w.r, w.name(), w.name(), w.name(), pick(w.r, suffixes()...))
		i.port = pick[uint16](w.r, 0, 0, 0, 443)
	case feed.URL:
		i.plain = w.url()
	default:
		i.plain = w.hex(i.kind)
	}
	if w.r.IntN(4) == 0 {
		i.until = w.now.Unix() + int64(w.r.IntN(3)-1)*3600
	}
	return i
}

func (w *world) address() netip.Addr {
	tail := [4]byte{8, pick[byte](w.r, 0, 1, 128, 255), pick[byte](w.r, 0, 127, 255), pick[byte](w.r, 0, 1, 2, 3)}
	if w.r.IntN(3) > 0 {
		return netip.AddrFrom4(tail)
	}
	return netip.AddrFrom16([16]byte{0x2a, 1, 2, pick[byte](w.r, 0, 128), 0, 0, 0, pick[byte](w.r, 0, 1), 8: pick[byte](w.r, 0, 255), 15: tail[3]})
}

func (w *world) name() string {
	name := pick(w.r, "org", "example", "co.uk", "github.io", "xn--p1ai")
	for range 1 + w.r.IntN(3) {
		name = pick(w.r, "a", "b", "bad", "ab", "xn--bcher-kva") + "." + name
	}
	return name
}

// url is a URL without its scheme: host, a port that is no scheme's own, path.
func (w *world) url() string {
	host := w.name()
	if w.r.IntN(4) == 0 {
		host = netip.AddrFrom4([4]byte{8, 8, 8, byte(w.r.IntN(3))}).String()
	}
	return host + pick(w.r, "", ":8080") + "/" + pick(w.r, "", "a", "a/b", "B") + pick(w.r, "", "?q=1")
}

func (w *world) hex(k feed.Kind) string {
	size := 32
	if k == feed.Hash {
		size = pick(w.r, 32, 40, 64)
	}
	return strings.Repeat(pick(w.r, "0a", "1b", "ff"), size/2-1) + pick(w.r, "00", "01", "ab")
}

// line writes an indicator as a feed may.
func (w *world) line(i listed) string {
	value, kind := i.prefix.String(), i.kind.String()
	switch {
	case i.kind != feed.IP:
		value = w.spelled(i.kind, i.plain)
	case i.prefix.IsSingleIP():
		value = i.prefix.Addr().String()
	}
	port, until := "", ""
	if i.port > 0 {
		port = strconv.Itoa(int(i.port))
	}
	if i.until > 0 {
		until = time.Unix(i.until, 0).UTC().Format(time.DateTime)
	}
	return strings.Join([]string{value, kind, port, until}, ",")
}

// spelled writes a plain form in another way.
func (w *world) spelled(k feed.Kind, plain string) string {
	if k != feed.URL {
		if w.r.IntN(2) == 0 {
			plain = strings.ToUpper(plain)
		}
		if k == feed.Domain && w.r.IntN(3) == 0 {
			plain = pick(w.r, plain+".", strings.ReplaceAll(strings.ToLower(plain), "xn--bcher-kva", "bücher"))
		}
		return plain
	}
	host, path, _ := strings.Cut(plain, "/")
	if w.r.IntN(2) == 0 {
		host = strings.ToUpper(host)
	}
	scheme := pick(w.r, "http://", "https://", "HTTP://", "http://user:pw@")
	return scheme + host + "/" + strings.ReplaceAll(path, "b", pick(w.r, "b", "%62")) + pick(w.r, "", "#top")
}
