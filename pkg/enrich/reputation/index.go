package reputation

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/feed"
)

// Index holds the indicators of all feeds. It does not change, so any number of
// goroutines may ask it at once. The zero Index has no feeds.
//
// What only hits read may lie in a file that is read as memory, which ends with the
// Index: methods hold on to it until they are done.
//
// Lookups append what they find to dst, without Field and Atomic, and leave it
// alone when they find nothing; then they allocate nothing. Matches of narrower
// indicators come first, of equal ones those of most confidence, before other lists
// lowered it, then in the order of the feeds. at is the
// time of the event, which decides whether an indicator's lifetime was over; the
// zero time asks nothing of the kind. Tags of a match may be shared and must not
// be changed.
type Index struct {
	tables  []*table
	missing []string
	columns []string
	seed    maphash.Seed
	// weak are bits that hashes are looked up without: none, but in the test of
	// keys that share a hash.
	weak uint64
}

// Missing names the configured feeds that were never loaded: what they would say
// is unknown.
func (x *Index) Missing() []string { return x.missing }

// Entries is the number of indicators.
func (x *Index) Entries() (n int) {
	for _, t := range x.tables {
		n += t.entries()
	}
	return n
}

// table returns the feed's last good data, nil where there is none.
func (x *Index) table(feed string) *table {
	if x == nil {
		return nil
	}
	for _, t := range x.tables {
		if t.feed.Name == feed {
			return t
		}
	}
	return nil
}

// Address looks up an address: every listed prefix that holds it. An indicator
// that has a port meets the same port, and port 0, which means unknown.
func (x *Index) Address(dst []enrich.Threat, a netip.Addr, port uint16, at time.Time) []enrich.Threat {
	return x.address(dst, a, port, at, nil)
}

func (x *Index) address(dst []enrich.Threat, a netip.Addr, port uint16, at time.Time, sought *Sought) []enrich.Threat {
	if !a.IsValid() {
		return dst
	}
	var buf [8]hit
	hits := buf[:0]
	a = a.Unmap()
	sought.address(a)
	for _, t := range x.tables {
		hits = t.address(hits, a, port, at)
	}
	dst = appendThreats(dst, hits, false, at)
	runtime.KeepAlive(x)
	return dst
}

// Domain looks up a name and the names above it, as far as names of two labels.
// Case, a root dot and the alphabet do not matter. Text that is no name is not
// found.
func (x *Index) Domain(dst []enrich.Threat, name []byte, at time.Time) []enrich.Threat {
	return x.Host(dst, name, 0, at)
}

// Host is Domain with the port that the name was used with, 0 for unknown: an
// indicator that has a port is not met with another.
func (x *Index) Host(dst []enrich.Threat, name []byte, port uint16, at time.Time) []enrich.Threat {
	return x.host(dst, name, port, at, nil)
}

func (x *Index) host(dst []enrich.Threat, name []byte, port uint16, at time.Time, sought *Sought) []enrich.Threat {
	var buf [256]byte
	key, ok := appendDomain(buf[:0], name)
	if !ok {
		return dst
	}
	var hitBuf [8]hit
	hits := hitBuf[:0]
	for how := howExact; bytes.IndexByte(key, '.') >= 0; how = howSubdomain {
		sought.key(key)
		hits = x.key(hits, key, how, port, at)
		key = key[bytes.IndexByte(key, '.')+1:]
	}
	dst = appendThreats(dst, hits, false, at)
	runtime.KeepAlive(x)
	return dst
}

// URL looks up a URL with a scheme, as a whole; its host is another question.
// Scheme, user, fragment and the spelling of escapes do not matter.
func (x *Index) URL(dst []enrich.Threat, text []byte, at time.Time) []enrich.Threat {
	return x.url(dst, text, at, nil)
}

func (x *Index) url(dst []enrich.Threat, text []byte, at time.Time, sought *Sought) []enrich.Threat {
	var buf [512]byte
	l, ok := parseURL(buf[:0], text)
	if !ok {
		return dst
	}
	return x.whole(dst, l.key, at, sought)
}

// Hash looks up an MD5, SHA-1 or SHA-256 in hexadecimal. Case does not matter.
func (x *Index) Hash(dst []enrich.Threat, text []byte, at time.Time) []enrich.Threat {
	return x.hash(dst, text, at, nil)
}

func (x *Index) hash(dst []enrich.Threat, text []byte, at time.Time, sought *Sought) []enrich.Threat {
	var buf [64]byte
	key, ok := appendHash(buf[:0], text)
	if !ok {
		return dst
	}
	return x.whole(dst, key, at, sought)
}

func (x *Index) whole(dst []enrich.Threat, key []byte, at time.Time, sought *Sought) []enrich.Threat {
	sought.key(key)
	var buf [8]hit
	dst = appendThreats(dst, x.key(buf[:0], key, howExact, 0, at), false, at)
	runtime.KeepAlive(x)
	return dst
}

func (x *Index) key(hits []hit, key []byte, how string, port uint16, at time.Time) []hit {
	if len(x.tables) == 0 {
		return hits
	}
	hash := hashOf(x.seed, key) &^ x.weak
	for _, t := range x.tables {
		hits = t.key(hits, hash, key, how, port, at)
	}
	return hits
}

// Fingerprint looks up a JA3, JA3S, JA4, JARM or the SHA-1 of a certificate.
func (x *Index) Fingerprint(dst []enrich.Threat, k feed.Kind, text []byte, at time.Time) []enrich.Threat {
	return x.fingerprint(dst, k, text, at, nil)
}

func (x *Index) fingerprint(dst []enrich.Threat, k feed.Kind, text []byte, at time.Time, sought *Sought) []enrich.Threat {
	var buf [64]byte
	key, ok := appendKey(buf[:0], k, text)
	if !ok || k < feed.JA3 || k > feed.Cert {
		return dst
	}
	return x.whole(dst, key, at, sought)
}

// Path looks up the path of a file: as a whole, by its last part, and among the
// patterns.
func (x *Index) Path(dst []enrich.Threat, path []byte, at time.Time) []enrich.Threat {
	return x.file(dst, path, at, nil)
}

func (x *Index) file(dst []enrich.Threat, path []byte, at time.Time, sought *Sought) []enrich.Threat {
	var buf [8]hit
	dst = appendThreats(dst, x.path(buf[:0], path, at, sought), false, at)
	runtime.KeepAlive(x)
	return dst
}

func (x *Index) path(hits []hit, path []byte, at time.Time, sought *Sought) []hit {
	var buf [512]byte
	key, ok := appendKey(buf[:0], feed.Path, path)
	if !ok || !x.paths() && sought == nil {
		return hits
	}
	sought.key(key)
	hits = x.key(hits, key, howExact, 0, at)
	folded := key[1:]
	base := folded[bytes.LastIndexAny(folded, `/\`)+1:]
	sought.parts(folded)
	if len(base) < len(folded) && len(base) > 0 {
		var name [256]byte
		key, _ := appendKey(name[:0], feed.Path, base)
		sought.key(key)
		hits = x.key(hits, key, howName, 0, at)
	}
	for _, t := range x.tables {
		hits = t.pattern(hits, folded, base, at)
	}
	return hits
}

// paths tells whether any feed names paths: most do not, and every process has
// one.
func (x *Index) paths() bool {
	return slices.ContainsFunc(x.tables, func(t *table) bool { return t.paths })
}

// Value looks up a value of one of osquery's columns in the feeds that are about
// it.
func (x *Index) Value(dst []enrich.Threat, column string, text []byte, at time.Time) []enrich.Threat {
	return x.value(dst, column, text, at, nil)
}

func (x *Index) value(dst []enrich.Threat, column string, text []byte, at time.Time, sought *Sought) []enrich.Threat {
	var buf [256]byte
	key, ok := appendKey(buf[:0], feed.Value, text)
	if !ok {
		return dst
	}
	var hitBuf [8]hit
	hits := hitBuf[:0]
	sought.key(key)
	hash := hashOf(x.seed, key) &^ x.weak
	for _, t := range x.tables {
		if slices.Contains(t.feed.Columns, column) {
			hits = t.key(hits, hash, key, howExact, 0, at)
		}
	}
	dst = appendThreats(dst, hits, false, at)
	runtime.KeepAlive(x)
	return dst
}

// Columns are those that a feed's values are compared with, each once.
func (x *Index) Columns() []string { return x.columns }

// Size tells what the memory of an Index is used for, in bytes.
type Size struct {
	// Addresses and Keys count entries, the bytes are what finds them.
	Addresses, Keys            int
	AddressBytes, KeyBytes     int
	TextBytes, ProvenanceBytes int
	// OnDisk is what of the last two is in files, not in memory.
	OnDisk int
}

// Size measures the Index.
func (x *Index) Size() (s Size) {
	for _, t := range x.tables {
		s.Addresses += len(t.v4.starts) + len(t.v6.starts)
		s.AddressBytes += 4*cap(t.v4.root) + 12*cap(t.v4.starts) + 24*cap(t.v6.starts)
		s.Keys += len(t.keys.hashes)
		s.KeyBytes += 4*cap(t.keys.root) + 12*cap(t.keys.hashes)
		s.TextBytes += cap(t.keys.texts)
		if t.disk != nil {
			s.OnDisk += len(t.disk.data)
		}
		s.ProvenanceBytes += 8*t.all() + identBytes*cap(t.idents) + detailBytes*cap(t.details) + cap(t.words)
	}
	return s
}
