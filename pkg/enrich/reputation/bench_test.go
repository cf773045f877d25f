package reputation

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gaissmai/bart"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

const million = 1_000_000

// manyAddresses writes n distinct IPv4 addresses and prefixes, one in eight a
// prefix of /17 to /31.
func manyAddresses(n int) string {
	var b strings.Builder
	for _, p := range manyPrefixes(n) {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

func manyPrefixes(n int) []netip.Prefix {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[netip.Prefix]bool{}
	list := make([]netip.Prefix, 0, n)
	for len(list) < n {
		bits := 32
		if r.IntN(8) == 0 {
			bits = 17 + r.IntN(15)
		}
		p := netip.PrefixFrom(addr4(r.Uint32()), bits).Masked()
		if !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	return list
}

// manyKeys writes n distinct keys, half of them names and half hashes.
func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		if i%2 == 0 {
			fmt.Fprintf(&b, "host-%d.bad-%d.example.com\n", i, i%977)
		} else {
			fmt.Fprintf(&b, "%x\n", sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))
		}
	}
	return b.String()
}

// asked are addresses of which few are listed.
func asked() []netip.Addr {
	r := rand.New(rand.NewPCG(3, 4))
	list := make([]netip.Addr, 1<<16)
	for i := range list {
		list[i] = addr4(r.Uint32())
	}
	return list
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkAddress looks random addresses up among a million; a hundredth hit.
func BenchmarkAddress(b *testing.B) {
	before := heap()
	x, _ := load(b, feedOf(b, "a", manyAddresses(million)))
	used, size, list := heap()-before, x.Size(), asked()
	var threats []enrich.Threat
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		threats = x.Address(threats[:0], list[i&(len(list)-1)], 443, time.Time{})
	}
	b.ReportMetric(float64(size.AddressBytes)/million, "B/entry")
	b.ReportMetric(float64(used)/million, "heapB/entry")
}

// BenchmarkAddressMiss asks only for addresses that are not listed.
func BenchmarkAddressMiss(b *testing.B) {
	x, _ := load(b, feedOf(b, "a", manyAddresses(million)))
	var list []netip.Addr
	for _, a := range asked() {
		if x.Address(nil, a, 0, time.Time{}) == nil && len(list) < 1<<15 {
			list = append(list, a)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if x.Address(nil, list[i&(1<<15-1)], 443, time.Time{}) != nil {
			b.Fatal("hit")
		}
	}
}

// BenchmarkBart is the yardstick: the same prefixes and questions, each answered
// by all prefixes that hold the address.
func BenchmarkBart(b *testing.B) {
	prefixes, list := manyPrefixes(million), asked()
	before := heap()
	var table bart.Table[row]
	for i, p := range prefixes {
		table.Insert(p, row{line: uint32(i)})
	}
	used, n := heap()-before, 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		for range table.Supernets(netip.PrefixFrom(list[i&(len(list)-1)], 32)) {
			n++
		}
	}
	b.ReportMetric(float64(used)/million, "heapB/entry")
	runtime.KeepAlive(prefixes)
}

// BenchmarkBartLookup is bart's answer to the narrowest prefix alone.
func BenchmarkBartLookup(b *testing.B) {
	prefixes, list := manyPrefixes(million), asked()
	var table bart.Table[row]
	for i, p := range prefixes {
		table.Insert(p, row{line: uint32(i)})
	}
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		table.Lookup(list[i&(len(list)-1)])
	}
}

// BenchmarkDomainMiss asks for names of four labels among a million keys.
func BenchmarkDomainMiss(b *testing.B) {
	x, _ := load(b, feedOf(b, "a", manyKeys(million)))
	names := make([][]byte, 1<<12)
	for i := range names {
		names[i] = fmt.Appendf(nil, "www%d.shop-%d.example.net", i, i)
	}
	size := x.Size()
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if x.Domain(nil, names[i&(len(names)-1)], time.Time{}) != nil {
			b.Fatal("hit")
		}
	}
	b.ReportMetric(float64(size.KeyBytes)/million, "B/key")
}

// BenchmarkLoad reads a million addresses from a file.
func BenchmarkLoad(b *testing.B) {
	f := feedOf(b, "a", manyAddresses(million))
	b.ReportAllocs()
	for b.Loop() {
		if _, report := Load(context.Background(), []Feed{f}, nil); report.Err() != nil {
			b.Fatal(report.Err())
		}
	}
}
