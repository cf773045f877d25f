package process_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// deep takes a tree of n processes below pid 1, each the child of the one before.
func deep(b *testing.B, op *process.Operator, n int) {
	b.Helper()
	for i := range n {
		e := newEvent(b, exec("h", t0+i, i+1, i, fmt.Sprint("/usr/bin/program-", i), "execve"))
		if err := op.OnEvent(e, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// The cost of the process join for one event: found with eight ancestors, not found,
// and a process row.
func BenchmarkJoin(b *testing.B) {
	for name, row := range map[string]string{
		"hit":  connect("h", t0+50, 9, "/usr/bin/program-8"),
		"miss": connect("h", t0+50, 4711, "/usr/bin/program-8"),
		"exec": exec("h", t0+60, 10, 9, "/usr/bin/curl", "execve"),
	} {
		b.Run(name, func(b *testing.B) {
			op := process.New(process.Config{}, state.NewMemory())
			deep(b, op, 9)
			e := newEvent(b, row)
			b.ReportAllocs()
			for b.Loop() {
				e.Process, e.Session, e.Gaps, e.Evidence = nil, nil, e.Gaps[:0], e.Evidence[:0]
				if err := op.OnEvent(e, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The cost of processes that start, one after the other.
func BenchmarkStart(b *testing.B) {
	op := process.New(process.Config{MaxPerHost: 1 << 30, MaxPerPartition: 1 << 30, MaxCached: 1 << 30}, state.NewMemory())
	events := make([]*enrich.Event, 4096)
	for i := range events {
		events[i] = newEvent(b, exec("h", t0+i, i+2, 1, fmt.Sprint("/usr/bin/program-", i%50), "execve"))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e := events[i%len(events)]
		e.Process, e.Session, e.Gaps, e.Evidence = nil, nil, e.Gaps[:0], e.Evidence[:0]
		if err := op.OnEvent(e, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// What one live process weighs in memory, decoded, with a command line of its own of
// a hundred bytes. The bar is 600.
func BenchmarkMemory(b *testing.B) {
	const hosts, each = 100, 300
	for b.Loop() {
		op := process.New(process.Config{}, nowhere{})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for h := range hosts {
			for i := range each {
				row := fmt.Sprintf(`{"name":"process_events","hostIdentifier":"host-%d","columns":{"pid":"%d","parent":"1","path":"/usr/lib/some-package/bin/program-%d",`+
					`"cmdline":"%0100d","cwd":"/var/lib/x","uid":"33","auid":"4294967295","syscall":"execve","time":"%d"}}`, h, i+2, i%60, h*each+i, t0+i)
				if err := op.OnEvent(newEvent(b, row), nil); err != nil {
					b.Fatal(err)
				}
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(hosts*each), "B/process")
		runtime.KeepAlive(op)
	}
}

// nowhere is a State that keeps nothing, so that what an Operator holds can be
// weighed alone.
type nowhere struct{}

func (nowhere) Get(enrich.Host, []byte) ([]byte, error)                       { return nil, nil }
func (nowhere) Put(enrich.Host, []byte, []byte) error                         { return nil }
func (nowhere) Delete(enrich.Host, []byte) error                              { return nil }
func (nowhere) Scan(enrich.Host, []byte, func(key, value []byte) error) error { return nil }
func (nowhere) Hosts(func(enrich.Host) error) error                           { return nil }
