package shipper

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// batch100 is a call of 100 rows of about 860 bytes.
func batch100() string {
	row := fmt.Sprintf(`{"auid":"1000","cmdline":"/usr/bin/python3 /opt/app/worker.py --queue q1 --token 0123456789abcdef","path":"/usr/bin/python3.11","pid":"4242","pad":"%s"}`, strings.Repeat("x", 560))
	return `{"diffResults":{"removed":[],"added":[` + strings.TrimPrefix(strings.Repeat(","+row, 100), ",") +
		`]},"name":"pack_linux_process_events","hostIdentifier":"ip-10-0-3-17","calendarTime":"Mon Nov 23 10:11:20 2026 UTC","unixTime":1795428680,"epoch":0,"counter":57,"numerics":false}`
}

// BenchmarkRecords makes records of spooled calls: what shipping costs before the
// destination.
func BenchmarkRecords(b *testing.B) {
	s, err := spool.Open(context.Background(), spool.Config{Dir: b.TempDir(), MinFree: -1})
	must(b, err)
	defer s.Close()
	c := spool.Call{Stream: "results", Type: extension.TypeString, Payload: []byte(batch100())}
	for range 100 {
		_, err := s.Append(context.Background(), c)
		must(b, err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	rows := 0
	for rows < b.N {
		must(b, s.Rewind())
		source := New(s, config(b.TempDir()))
		for s.Ready() && rows < b.N {
			batch, err := source.Next(context.Background())
			must(b, err)
			rows += len(batch.Records)
		}
	}
}
