package sinktest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

func testDurable(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	want := batch(topic, 0, 20)
	write(t, s, want)
	sameOrder(t, h.Read(t, topic), want)
}

func testNothing(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	write(t, s, nil)
	write(t, s, []sink.Record{})
	if got := h.Read(t, topic); len(got) != 0 {
		t.Errorf("%d records came of nothing", len(got))
	}
}

// testBytes writes records of any bytes, and scribbles over them afterwards:
// they are the caller's again.
func testBytes(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	var want []sink.Record
	rapid.Check(t, func(rt *rapid.T) {
		drawn := rapid.SliceOfN(rapid.Custom(drawRecord), 1, 5).Draw(rt, "records")
		for i := range drawn {
			drawn[i].Topic = topic
		}
		want = append(want, cloneAll(drawn)...)
		write(t, s, drawn)
		for _, r := range drawn {
			scribble(r)
		}
	})
	got := h.Read(t, topic)
	sameOrder(t, got, want)
	if !h.NoHeaders {
		sameHeaders(t, got, want)
	}
}

func drawRecord(t *rapid.T) sink.Record {
	r := sink.Record{
		Key:   rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "key"),
		Value: rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "value"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		r.Headers = append(r.Headers, sink.Header{
			Key:   rapid.StringN(1, 10, 40).Draw(t, "name"),
			Value: rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "header"),
		})
	}
	return r
}

func scribble(r sink.Record) {
	for _, b := range [][]byte{r.Key, r.Value} {
		for i := range b {
			b[i] ^= 0xff
		}
	}
}

func sameHeaders(t *testing.T, got, want []sink.Record) {
	t.Helper()
	g, w := headersByKey(got), headersByKey(want)
	for key, records := range w {
		if !slices.EqualFunc(g[key], records, equalHeaders) {
			t.Errorf("key %q: headers %q, want %q", key, g[key], records)
		}
	}
}

func headersByKey(records []sink.Record) map[string][][]sink.Header {
	out := map[string][][]sink.Header{}
	for _, r := range records {
		out[string(r.Key)] = append(out[string(r.Key)], r.Headers)
	}
	return out
}

func equalHeaders(a, b []sink.Header) bool {
	return slices.EqualFunc(a, b, func(x, y sink.Header) bool {
		return x.Key == y.Key && bytes.Equal(x.Value, y.Value)
	})
}

func testOrder(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	var want []sink.Record
	for from := 0; from < 1000; from += 50 {
		b := batch(topic, from, 50)
		write(t, s, b)
		want = append(want, b...)
	}
	sameOrder(t, h.Read(t, topic), want)
}

// testBigBatch writes more in one batch than a destination takes in one
// request.
func testBigBatch(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	want := batch(topic, 0, 12_000)
	pad := bytes.Repeat([]byte(" "), 500)
	for i := range want {
		want[i].Value = append(want[i].Value, pad...)
	}
	write(t, s, want)
	sameOrder(t, h.Read(t, topic), want)
}

func oversized(topic string, length int) sink.Record {
	return sink.Record{Topic: topic, Key: []byte("host-0"), Value: incompressible(length)}
}

// incompressible is the same for equal lengths.
func incompressible(length int) []byte {
	out := make([]byte, length)
	state := uint64(length) | 1
	for i := range out {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		out[i] = byte(state)
	}
	return out
}

func testOversizeAlone(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	err := within(t, "write", func() error { return s.Write(t.Context(), []sink.Record{oversized(topic, h.Oversize)}) })
	if !permanent(err) {
		t.Errorf("got %v, want a permanent error", err)
	}
	if got := h.Read(t, topic); len(got) != 0 {
		t.Errorf("%d records are in the topic", len(got))
	}
}

// testOversize puts one record among others that no destination takes. With
// Retry before it, that one alone must end as a dead letter.
func testOversize(t *testing.T, h Harness) {
	s, topic, dead := h.open(t), h.Topic(t), h.Topic(t)
	small := batch(topic, 0, 40)
	for i := range small {
		small[i].Value = append(small[i].Value, incompressible(h.Oversize/100)...)
	}
	all := slices.Insert(slices.Clone(small), 17, oversized(topic, h.Oversize))
	var refused []sink.Record
	retry := sink.Retry(s, sink.RetryConfig{DeadLetter: func(r sink.Record, why error) (letter sink.Record, inPlace []sink.Record) {
		refused = append(refused, r)
		return sink.Record{Topic: dead, Key: r.Key, Value: fmt.Appendf(nil, "%d bytes: %v", len(r.Value), why)}, nil
	}})
	if err := within(t, "write", func() error { return retry.Write(t.Context(), all) }); err != nil {
		t.Fatal(err)
	}
	sameOrder(t, firsts(h.Read(t, topic)), small)
	if len(refused) != 1 || len(refused[0].Value) != h.Oversize {
		t.Errorf("%d records were refused for good, want the large one", len(refused))
	}
	if got := h.Read(t, dead); len(got) != 1 {
		t.Errorf("%d dead letters, want 1", len(got))
	}
	checkWord(t, h, s)
}

// checkWord checks that what a failed Write does not name is durable, and that
// nothing was passed over.
func checkWord(t *testing.T, h Harness, s sink.Sink) {
	t.Helper()
	topic := h.Topic(t)
	all := slices.Insert(batch(topic, 0, 20), 11, oversized(topic, h.Oversize))
	err := within(t, "write", func() error { return s.Write(t.Context(), all) })
	var partial *sink.BatchError
	if err == nil || !errors.As(err, &partial) {
		if err == nil {
			t.Error("a batch with a record that was not taken gave no error")
		}
		return // the fate of all is unknown
	}
	var durable []sink.Record
	held := map[string]bool{}
	for i, r := range all {
		_, failed := partial.Failed[i]
		if failed {
			held[string(r.Key)] = true
			continue
		}
		if held[string(r.Key)] {
			t.Errorf("record %d passed over an earlier one of its key", i)
		}
		durable = append(durable, r)
	}
	sameOrder(t, h.Read(t, topic), durable)
}
