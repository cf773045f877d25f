package sinktest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// patience is how long the suite waits for what must happen before it calls it
// stuck. It is no measure of speed.
const patience = 60 * time.Second

// Harness says how to reach one destination. The suite calls its functions from
// the test's goroutine.
type Harness struct {
	// Open returns a new sink on the destination; the suite closes it.
	Open func(t testing.TB) sink.Sink
	// Topic makes an empty topic, best with several partitions or shards, and
	// returns its name.
	Topic func(t testing.TB) string
	// Read returns what is durable in a topic, in order among equal keys.
	Read func(t testing.TB, topic string) []sink.Record
	// Oversize is the length of a value that the destination never takes,
	// while it takes values of a hundredth of it. Zero skips the test.
	Oversize int
	// Stop takes the destination away and Start brings it back with its data.
	// Nil skips the tests of that.
	Stop, Start func(t testing.TB)
	// NoHeaders is for destinations that have no room for headers.
	NoHeaders bool
}

// Run checks that the destination's sink keeps the contract of sink.Sink.
func Run(t *testing.T, h Harness) {
	t.Helper()
	tests := []struct {
		name string
		run  func(*testing.T, Harness)
		skip bool
	}{
		{"nil means durable", testDurable, false},
		{"nothing to write", testNothing, false},
		{"bytes are kept", testBytes, false},
		{"order per key", testOrder, false},
		{"big batch", testBigBatch, false},
		{"oversized record", testOversize, h.Oversize == 0},
		{"oversized record alone", testOversizeAlone, h.Oversize == 0},
		{"ended context", testEndedContext, false},
		{"context ends while away", testCancelWhileAway, h.Stop == nil},
		{"caller's bytes after a failure", testBytesAfterFailure, h.Stop == nil},
		{"bounce between writes", testBounceBetween, h.Stop == nil},
		{"bounce within a write", testBounceWithin, h.Stop == nil},
		{"close", testClose, false},
		{"no goroutine is left", testNoLeak, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.skip {
				t.Skip("the harness leaves this out")
			}
			tt.run(t, h)
		})
	}
}

// open returns a sink that is closed with the test.
func (h Harness) open(t *testing.T) sink.Sink {
	t.Helper()
	s := h.Open(t)
	t.Cleanup(func() { closeSink(t, s) })
	return s
}

func closeSink(t testing.TB, s sink.Sink) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// write writes and fails the test when that fails or is stuck.
func write(t *testing.T, s sink.Sink, batch []sink.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Write(ctx, batch); err != nil {
		t.Fatalf("write %d records: %v", len(batch), err)
	}
}

// batch makes n records with values from..from+n-1, over a few keys.
func batch(topic string, from, n int) []sink.Record {
	out := make([]sink.Record, n)
	for i := range out {
		id := from + i
		out[i] = sink.Record{
			Topic: topic,
			Key:   fmt.Appendf(nil, "host-%d", id%7),
			Value: fmt.Appendf(nil, `{"id":%d}`, id),
		}
	}
	return out
}

// byKey tells the values of each key, in order.
func byKey(records []sink.Record) map[string][]string {
	out := map[string][]string{}
	for _, r := range records {
		out[string(r.Key)] = append(out[string(r.Key)], string(r.Value))
	}
	return out
}

// firsts drops every repeat of a value.
func firsts(records []sink.Record) []sink.Record {
	seen := map[string]bool{}
	var out []sink.Record
	for _, r := range records {
		if !seen[string(r.Value)] {
			seen[string(r.Value)] = true
			out = append(out, r)
		}
	}
	return out
}

// sameOrder checks that each key has exactly the wanted values in order.
func sameOrder(t *testing.T, got, want []sink.Record) {
	t.Helper()
	g, w := byKey(got), byKey(want)
	if len(g) != len(w) {
		t.Errorf("%d keys, want %d", len(g), len(w))
	}
	for key, values := range w {
		if diff := firstDifference(g[key], values); diff != "" {
			t.Errorf("key %q: %s", key, diff)
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("at %d: %.80q, want %.80q", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d records, want %d", len(got), len(want))
	}
	return ""
}

// within runs do beside the test and fails the test when it does not return.
func within(t *testing.T, what string, do func() error) error { //nolint:unparam // what the message says
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatalf("%s does not return", what)
		return nil
	}
}

// permanent tells whether Write's err says that the batch's one record will
// never be taken.
func permanent(err error) bool {
	var partial *sink.BatchError
	if errors.As(err, &partial) {
		return sink.IsPermanent(partial.Failed[0])
	}
	return sink.IsPermanent(err)
}

func testClose(t *testing.T, h Harness) {
	unused := h.Open(t)
	closeSink(t, unused)
	closeSink(t, unused)
	used := h.Open(t)
	write(t, used, batch(h.Topic(t), 0, 1))
	closeSink(t, used)
	closeSink(t, used)
}

func testNoLeak(t *testing.T, h Harness) {
	topic := h.Topic(t)
	before := goleak.IgnoreCurrent()
	s := h.Open(t)
	write(t, s, batch(topic, 0, 10))
	closeSink(t, s)
	goleak.VerifyNone(t, before)
}
