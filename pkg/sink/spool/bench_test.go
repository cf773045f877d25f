package spool

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// batchCall is a call of 100 rows of 300 bytes.
func batchCall() Call { return Call{Stream: "results", Type: 'S', Payload: make([]byte, 100*300)} }

// BenchmarkAppend is one caller, as osqueryd is: each call is synced before the
// next. BenchmarkWriteAndSync is the same bytes written and synced by hand.
func BenchmarkAppend(b *testing.B) {
	s := openDir(b, b.TempDir(), func(c *Config) { c.MaxBytes = 1 << 40 })
	defer s.Close()
	c := batchCall()
	b.SetBytes(int64(len(c.Payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Append(context.Background(), c); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.Stats().Bytes)/float64(len(c.Payload)*b.N), "disk/payload")
}

func BenchmarkWriteAndSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	must(b, err)
	defer f.Close()
	synced := dataSynced{f}
	c := batchCall()
	b.SetBytes(int64(len(c.Payload)))
	for b.Loop() {
		if _, err := f.Write(c.Payload); err != nil {
			b.Fatal(err)
		}
		must(b, synced.Sync())
	}
}

func BenchmarkAppendFromEightGoroutines(b *testing.B) {
	s := openDir(b, b.TempDir(), func(c *Config) { c.MaxBytes = 1 << 40 })
	defer s.Close()
	c := batchCall()
	b.SetBytes(int64(len(c.Payload)))
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Append(context.Background(), c); err != nil {
				b.Error(err)
			}
		}
	})
}
