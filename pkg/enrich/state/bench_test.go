package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// changesOf is n records of the size that a process has in the state.
func changesOf(n int) []Change {
	changes := make([]Change, n)
	for i := range changes {
		key := AppendKey(nil, "process", enrich.Host("0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0001"), binary.BigEndian.AppendUint64([]byte{'v'}, uint64(i*7919)))
		changes[i] = Change{key, append([]byte{Format}, make([]byte, 180)...)}
	}
	return changes
}

// What restoring costs for one record, the local store's own work in the
// background included.
func BenchmarkRestoreRecord(b *testing.B) {
	for name, dir := range map[string]string{"memory": "", "disk": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			changes := changesOf(b.N)
			s := opened(b, dir)
			b.ResetTimer()
			for at := 0; at < len(changes); at += 2000 {
				end := min(at+2000, len(changes))
				if err := s.Restore(changes[at:end], int64(end)); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// What a new process pays for a record of the changelog of 500 hosts, whose keys come in
// no order and mostly twice.
func BenchmarkBulk(b *testing.B) {
	const n, keys, hosts = 400_000, 200_000, 500
	changes := make([]Change, n)
	for i := range changes {
		k := i * 7919 % keys
		host := enrich.Host(fmt.Sprintf("0f9a6c1e-7d2b-4c1f-9a55-2f4f6f%06d", k%hosts))
		value := append([]byte{Format}, make([]byte, 90)...)
		for j := range uint64(12) {
			value = binary.BigEndian.AppendUint64(value, (uint64(i)+j)*0x9e3779b97f4a7c15)
		}
		changes[i] = Change{AppendKey(nil, "process", host, binary.BigEndian.AppendUint64([]byte{'v'}, uint64(k))), value}
	}
	for b.Loop() {
		s := opened(b, b.TempDir())
		bulk := s.Bulk()
		for at := 0; at < n; at += 10_000 {
			if err := bulk.Add(changes[at:at+10_000], int64(at+10_000)); err != nil {
				b.Fatal(err)
			}
		}
		if err := errors.Join(bulk.Close(), s.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
}

// What a write costs from Put to the local store, in transactions of 3,000 keys:
// about what 10,000 events make.
func BenchmarkPutAndCommit(b *testing.B) {
	s := opened(b, b.TempDir())
	defer s.Close()
	st, value, key := s.State("process"), make([]byte, 180), make([]byte, 9)
	b.ReportAllocs()
	for i := range b.N {
		binary.BigEndian.PutUint64(key[1:], uint64(i*7919%1_000_000))
		if err := st.Put("0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0001", key, value); err != nil {
			b.Fatal(err)
		}
		if i%3000 == 2999 || i == b.N-1 {
			s.Changes()
			if err := s.Committed(int64(i)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkGetLocal(b *testing.B) {
	s := opened(b, b.TempDir())
	defer s.Close()
	if err := s.Restore(changesOf(200_000), 200_000); err != nil {
		b.Fatal(err)
	}
	st, key := s.State("process"), []byte{'v', 0, 0, 0, 0, 0, 0, 0, 0}
	b.ReportAllocs()
	for i := range b.N {
		binary.BigEndian.PutUint64(key[1:], uint64(i*31%200_000*7919))
		if v, err := st.Get("0f9a6c1e-7d2b-4c1f-9a55-2f4f6f7c0001", key); err != nil || v == nil {
			b.Fatal(v, err)
		}
	}
}
