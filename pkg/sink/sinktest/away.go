package sinktest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

func testEndedContext(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := within(t, "write", func() error { return s.Write(ctx, batch(topic, 0, 5)) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an error that wraps ctx's", err)
	}
	write(t, s, batch(topic, 0, 5))
	sameOrder(t, firsts(h.Read(t, topic)), batch(topic, 0, 5))
}

// testCancelWhileAway ends contexts while the destination is away. Once it is
// back the same batch goes, and what follows it stays behind it.
func testCancelWhileAway(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	write(t, s, batch(topic, 0, 20))
	h.Stop(t)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := within(t, "write", func() error { return s.Write(ctx, batch(topic, 20, 20)) })
		cancel()
		if err == nil {
			t.Error("a write succeeded with the destination away")
		}
	}
	h.Start(t)
	write(t, s, batch(topic, 20, 20))
	write(t, s, batch(topic, 40, 20))
	sameOrder(t, firsts(h.Read(t, topic)), batch(topic, 0, 60))
}

// testBytesAfterFailure changes the bytes of a batch after its Write failed:
// they must not turn up, changed, once the destination is back.
func testBytesAfterFailure(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	write(t, s, batch(topic, 0, 5))
	h.Stop(t)
	lost := batch(topic, 5, 20)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := within(t, "write", func() error { return s.Write(ctx, lost) }); err == nil {
		t.Error("a write succeeded with the destination away")
	}
	for _, r := range lost {
		scribble(r)
	}
	h.Start(t)
	write(t, s, batch(topic, 5, 20))
	sameOrder(t, firsts(h.Read(t, topic)), batch(topic, 0, 25))
}

func testBounceBetween(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	retry := sink.Retry(s, sink.RetryConfig{Initial: 50 * time.Millisecond, Max: time.Second})
	for from := 0; from < 60; from += 20 {
		write(t, retry, batch(topic, from, 20))
		h.Stop(t)
		h.Start(t)
	}
	write(t, retry, batch(topic, 60, 20))
	sameOrder(t, firsts(h.Read(t, topic)), batch(topic, 0, 80))
}

// testBounceWithin takes the destination away under a stream of writes, with a
// limit on each attempt, so that both the sink's own retries and Retry's are in
// play.
func testBounceWithin(t *testing.T, h Harness) {
	s, topic := h.open(t), h.Topic(t)
	retry := sink.Retry(sink.Timeout(s, 2*time.Second), sink.RetryConfig{Initial: 50 * time.Millisecond, Max: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	flow := &stream{sink: retry, topic: topic, began: make(chan struct{}), enough: make(chan struct{}), done: make(chan error, 1)}
	go flow.run(ctx)
	<-flow.began
	h.Stop(t)
	h.Start(t)
	close(flow.enough)
	if err := <-flow.done; err != nil {
		t.Fatal(err)
	}
	sameOrder(t, firsts(h.Read(t, topic)), batch(topic, 0, flow.sent))
}

// stream writes batch after batch until it is told that it is enough.
type stream struct {
	sink   sink.Sink
	topic  string
	began  chan struct{} // closed after the first batch, whatever came of it
	enough chan struct{} // closed by the test
	done   chan error
	sent   int // to be read once done has told
}

func (s *stream) run(ctx context.Context) {
	const size = 20
	for last := false; ; {
		err := s.sink.Write(ctx, batch(s.topic, s.sent, size))
		if s.sent == 0 {
			close(s.began)
		}
		s.sent += size
		if err != nil || last {
			s.done <- err
			return
		}
		select {
		case <-s.enough:
			last = true // one more, with the destination back
		default:
		}
	}
}
