package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// The index of indicators: its size and misses at 10 million of each sort.
const (
	indexEntries    = 10_000_000
	barAddressBytes = 24
	barKeyBytes     = 16
	batchLookups    = 1000
	missesCounted   = 1_000_000
)

// index measures the index of reputation feeds.
func (b *bench) index(ctx context.Context) error {
	if err := b.indexSize(ctx, "address", writeAddresses); err != nil {
		return err
	}
	if err := b.indexSize(ctx, "key", writeKeys); err != nil {
		return err
	}
	return b.indexSwap(ctx)
}

// indexSize loads a feed of one sort and judges its bytes for each entry, and
// what a miss allocates.
func (b *bench) indexSize(ctx context.Context, sort string, fill func(*bufio.Writer, int, uint64)) error {
	f, err := b.bigFeed(sort, indexEntries, 1, fill)
	if err != nil {
		return err
	}
	before := liveHeap()
	started := time.Now()
	x, err := b.loadFeed(ctx, f, nil)
	if err = errors.Join(err, os.Remove(f.Path)); err != nil {
		return err
	}
	took, heap := time.Since(started), liveHeap()-before
	s := x.Size()
	n, size, bar := s.Addresses, s.AddressBytes, float64(barAddressBytes)
	if sort == "key" {
		n, size, bar = s.Keys, s.KeyBytes, barKeyBytes
	}
	each := float64(size) / float64(n)
	b.table.atMost("index: bytes per "+sort, fmt.Sprintf("%.1f B to find one of %.1f M", each, float64(n)/1e6), each, bar)
	b.table.note("index: all of the heap per "+sort, fmt.Sprintf("%.1f B; %.1f B more on disk, with texts, provenance and history; loaded in %.1f s",
		float64(heap)/float64(n), float64(s.OnDisk)/float64(n), took.Seconds()))
	misses, each := missCost(x)
	b.table.atMost("index: allocations of a miss among them", fmt.Sprintf("%d in %d misses, %.0f ns each", misses, missesCounted, each), float64(misses), 0)
	runtime.KeepAlive(x)
	return nil
}

// bigFeed writes a feed to a file.
func (b *bench) bigFeed(name string, n int, seed uint64, fill func(*bufio.Writer, int, uint64)) (reputation.Feed, error) {
	f := reputation.NewFeed(name, filepath.Join(b.dir, name+".txt"))
	f.MaxMiB = 4096
	fresh := f.Path + ".new"
	file, err := os.Create(fresh)
	if err != nil {
		return f, fmt.Errorf("a feed to load: %w", err)
	}
	w := bufio.NewWriterSize(file, 1<<20)
	fill(w, n, seed)
	if err := errors.Join(w.Flush(), file.Close(), os.Rename(fresh, f.Path)); err != nil {
		return f, fmt.Errorf("a feed to load: %w", err)
	}
	return f, nil
}

// writeAddresses writes IPv4 addresses, one in eight a prefix, and one in sixteen
// an IPv6 address. All are in 11.0.0.0 to 99.255.255.255,
// which are public, so that misses are easily told.
func writeAddresses(w *bufio.Writer, n int, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // data to measure with
	for i := range n {
		if i%16 == 1 {
			raw := [16]byte{0x2a, byte(seed)}
			binary.BigEndian.PutUint64(raw[8:], r.Uint64())
			fmt.Fprintln(w, netip.AddrFrom16(raw))
			continue
		}
		var raw [4]byte
		binary.BigEndian.PutUint32(raw[:], 11<<24+r.Uint32N(89<<24))
		if i%8 == 0 {
			fmt.Fprintln(w, netip.PrefixFrom(netip.AddrFrom4(raw), 17+r.IntN(15)).Masked())
			continue
		}
		fmt.Fprintln(w, netip.AddrFrom4(raw))
	}
}

// writeKeys writes names and SHA-256 hashes in turns.
func writeKeys(w *bufio.Writer, n int, seed uint64) {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], seed)
	for i := range n {
		if i%2 == 0 {
			fmt.Fprintf(w, "host-%d.bad-%d.example.com\n", i, uint64(i)%977+seed)
			continue
		}
		binary.BigEndian.PutUint64(raw[8:], uint64(i))
		sum := sha256.Sum256(raw[:])
		fmt.Fprintln(w, hex.EncodeToString(sum[:]))
	}
}

func writeBoth(w *bufio.Writer, n int, seed uint64) {
	writeAddresses(w, n/2, seed)
	writeKeys(w, n/2, seed)
}

// loadFeed loads a feed as enricher run does, with its history and what only hits read
// on disk.
func (b *bench) loadFeed(ctx context.Context, f reputation.Feed, prev *reputation.Index) (*reputation.Index, error) {
	l := reputation.Loader{Dir: filepath.Join(b.dir, "state"), Keep: 24 * time.Hour}
	x, report := l.Load(ctx, []reputation.Feed{f}, prev)
	if err := report.Err(); err != nil {
		return nil, err
	}
	return x, nil
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// missCost counts what misses of all sorts allocate, and their nanoseconds.
func missCost(x *reputation.Index) (allocations uint64, nanoseconds float64) {
	var before, after runtime.MemStats
	q := newQuestions(7, 0)
	runtime.ReadMemStats(&before)
	started := time.Now()
	for range missesCounted / batchLookups {
		q.batch(x)
	}
	took := time.Since(started)
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs, float64(took.Nanoseconds()) / missesCounted
}

// questions are what one goroutine looks up, over and over: addresses, names and
// hashes. One in every hit is listed; 0 for none.
type questions struct {
	addresses []netip.Addr
	names     [][]byte
	hashes    [][]byte
	threats   []enrich.Threat
	at        int
}

func newQuestions(seed uint64, hit int) *questions {
	r := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // data to measure with
	q := &questions{}
	for i := range 1 << 14 {
		raw := [4]byte{byte(224 + r.IntN(31)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}
		name := fmt.Appendf(nil, "www%d.shop-%d.example.net", i, r.IntN(1<<20))
		if hit > 0 && i%hit == 0 {
			raw[0], name = byte(11+r.IntN(88)), fmt.Appendf(nil, "host-%d.bad-%d.example.com", i*2, uint64(i*2)%977+1)
		}
		sum := sha256.Sum256(name)
		q.addresses, q.names = append(q.addresses, netip.AddrFrom4(raw)), append(q.names, name)
		q.hashes = append(q.hashes, []byte(hex.EncodeToString(sum[:])))
	}
	return q
}

// batch looks up one batch, which is timed as a whole.
func (q *questions) batch(x *reputation.Index) {
	for range batchLookups {
		q.at = (q.at + 1) & (len(q.addresses) - 1)
		q.threats = q.threats[:0]
		switch q.at % 3 {
		case 0:
			q.threats = x.Address(q.threats, q.addresses[q.at], 443, time.Time{})
		case 1:
			q.threats = x.Domain(q.threats, q.names[q.at], time.Time{})
		default:
			q.threats = x.Hash(q.threats, q.hashes[q.at], time.Time{})
		}
	}
}
