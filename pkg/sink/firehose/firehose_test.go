package firehose_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/firehose"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

func TestConformanceOnFake(t *testing.T) {
	f, front := newFake(t)
	var topics atomic.Int32
	sinktest.Run(t, sinktest.Harness{
		Open: func(t testing.TB) sink.Sink {
			return sinktest.Lines{Sink: open(t, front.Endpoint(), firehose.Config{})}
		},
		Topic: func(testing.TB) string {
			name := fmt.Sprintf("rows-%d", topics.Add(1))
			f.mu.Lock()
			defer f.mu.Unlock()
			f.streams[name] = nil
			return name
		},
		Read: func(t testing.TB, topic string) []sink.Record {
			return sinktest.ReadLines(t, topic, bytes.Join(f.read(topic), nil))
		},
		Oversize: 2 << 20, Stop: front.Stop, Start: front.Start, NoHeaders: true,
	})
}

// Requests keep the service's limits, or lower ones.
func TestRequestsKeepTheLimits(t *testing.T) {
	f, front := newFake(t, "s")
	batch := rows("s", 1200, 1200)
	for i := range batch {
		batch[i].Value = fmt.Appendf(nil, `{"host":%d,"n":0,"pad":%q}`, i, strings.Repeat("x", 20<<10))
	}
	write(t, open(t, front.Endpoint(), firehose.Config{}), batch) // the fake refuses what is over
	inOrder(t, f.read("s"), 1200, 1200)
	low, front := newFake(t, "s")
	write(t, open(t, front.Endpoint(), firehose.Config{RequestRecords: 3, RecordBytes: 1 << 10, AggregateBytes: 1 << 10}), rows("s", 9, 900))
	inOrder(t, low.read("s"), 9, 900)
	for _, n := range low.sizes {
		if n > 3 {
			t.Errorf("a request of %d records", n)
		}
	}
	for _, r := range low.read("s") {
		if len(r) > 1<<10 {
			t.Errorf("a record of %d bytes", len(r))
		}
	}
	for _, cfg := range []firehose.Config{{RequestRecords: 501}, {RequestBytes: 5 << 20}, {RecordBytes: 1 << 20}} {
		if _, err := firehose.New(cfg); err == nil || !strings.Contains(err.Error(), "over the service's") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// A record of exactly the limit is taken, with its line end; one more byte is refused for
// good, alone.
func TestTheLargestRecord(t *testing.T) {
	f, front := newFake(t, "s")
	s := open(t, front.Endpoint(), firehose.Config{})
	batch := []sink.Record{
		{Topic: "s", Key: []byte("a"), Value: bytes.Repeat([]byte("1"), firehose.RecordBytes-1)},
		{Topic: "s", Key: []byte("b"), Value: bytes.Repeat([]byte("2"), firehose.RecordBytes)},
	}
	var partial *sink.BatchError
	if err := s.Write(t.Context(), batch); !errors.As(err, &partial) || len(partial.Failed) != 1 || !sink.IsPermanent(partial.Failed[1]) {
		t.Errorf("%v", err)
	}
	if got := f.read("s"); len(got) != 1 || len(got[0]) != firehose.RecordBytes {
		t.Errorf("%d records", len(got))
	}
}

// After a partial failure only what failed is sent again, and nothing of that host passes
// it.
func TestPartialFailuresKeepOrderAndRepeatNothing(t *testing.T) {
	f, front := newFake(t, "s")
	f.fault = func(request, entry int) (code, message string) {
		if (request*7+entry*3)%5 < 2 {
			return "ServiceUnavailableException", "Slow down."
		}
		return "", ""
	}
	write(t, open(t, front.Endpoint(), firehose.Config{AggregateBytes: 1 << 10}), rows("s", 7, 500))
	inOrder(t, f.read("s"), 7, 500)
}

// What only somebody can mend holds the line, and nothing is called permanent.
func TestWhatAnOperatorMendsHoldsTheLine(t *testing.T) {
	f, front := newFake(t)
	s := open(t, front.Endpoint(), firehose.Config{})
	err := s.Write(t.Context(), rows("s", 2, 4))
	if err == nil || sink.IsPermanent(err) || !firehose.NeedsHand(err) || !strings.HasPrefix(err.Error(), `firehose: stream "s"`) {
		t.Fatalf("%v", err)
	}
	f.mu.Lock()
	f.streams["s"] = nil
	f.mu.Unlock()
	write(t, s, rows("s", 2, 4))
	inOrder(t, f.read("s"), 2, 4)
	name := strings.Repeat("record", 11) // which the service would call a fault of "records"
	if err := s.Write(t.Context(), rows(name, 1, 2)); sink.IsPermanent(err) || !firehose.NeedsHand(err) || !strings.Contains(err.Error(), "1 to 64") {
		t.Errorf("%v", err)
	}
}

// Topics are mapped to streams.
func TestTopicsAreMappedToStreams(t *testing.T) {
	f, front := newFake(t, "lake")
	write(t, open(t, front.Endpoint(), firehose.Config{Streams: map[string]string{"osquery.results": "lake"}}), rows("osquery.results", 1, 3))
	inOrder(t, f.read("lake"), 1, 3)
}
