package sinktest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

const largest = 100_000

// server is a destination in memory that can go away.
type server struct {
	mu     sync.Mutex
	away   bool
	topics int
	fake   sinktest.Fake
}

// newServer refuses what is too large: by name, or with the whole batch.
func newServer(precise bool) *server {
	s := &server{}
	s.fake.Answer = func(ctx context.Context, _ int, batch []sink.Record) sinktest.Outcome {
		if s.isAway() {
			<-ctx.Done()
			return sinktest.Outcome{Err: ctx.Err()}
		}
		return refuseLarge(batch, precise)
	}
	return s
}

func refuseLarge(batch []sink.Record, precise bool) sinktest.Outcome {
	at := slices.IndexFunc(batch, func(r sink.Record) bool { return len(r.Value) > largest })
	if at < 0 {
		return sinktest.Outcome{}
	}
	why := sink.Permanent(errors.New("too large"))
	if !precise {
		return sinktest.Outcome{Err: why}
	}
	failed := map[int]error{at: why}
	for i := at + 1; i < len(batch); i++ {
		failed[i] = errors.New("not sent")
	}
	return sinktest.Outcome{Err: &sink.BatchError{Failed: failed}}
}

func (s *server) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

func (s *server) setAway(away bool) func(testing.TB) {
	return func(testing.TB) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.away = away
	}
}

func (s *server) read(_ testing.TB, topic string) []sink.Record {
	return slices.DeleteFunc(s.fake.Landed(), func(r sink.Record) bool { return r.Topic != topic })
}

func (s *server) harness(client func(sink.Sink) sink.Sink) sinktest.Harness {
	return sinktest.Harness{
		Open: func(testing.TB) sink.Sink { return client(&s.fake) },
		Topic: func(testing.TB) string {
			s.topics++
			return fmt.Sprintf("topic-%d", s.topics)
		},
		Read:     s.read,
		Oversize: 2 * largest,
		Stop:     s.setAway(true),
		Start:    s.setAway(false),
	}
}

func TestTheFakeConforms(t *testing.T) {
	for name, precise := range map[string]bool{"names the record": true, "refuses the batch": false} {
		t.Run(name, func(t *testing.T) {
			s := newServer(precise)
			sinktest.Run(t, s.harness(func(next sink.Sink) sink.Sink { return next }))
			if s.fake.Overlapped() {
				t.Error("the suite broke the contract itself: two writes at once")
			}
		})
	}
}

// fault is a way to break the contract, and the test of the suite that must
// see it.
type fault struct {
	seen   string
	client func(sink.Sink) sink.Sink
}

// twisted changes what goes into a sink and what comes out.
type twisted struct {
	sink.Sink
	write  func(ctx context.Context, next sink.Sink, batch []sink.Record) error
	closes int
	err    error // of every Close but the first
}

func (s *twisted) Write(ctx context.Context, batch []sink.Record) error {
	if s.write == nil {
		return s.Sink.Write(ctx, batch)
	}
	return s.write(ctx, s.Sink, batch)
}

func (s *twisted) Close(ctx context.Context) error {
	if s.closes++; s.closes > 1 && s.err != nil {
		return s.err
	}
	return s.Sink.Close(ctx)
}

func writing(write func(context.Context, sink.Sink, []sink.Record) error) func(sink.Sink) sink.Sink {
	return func(next sink.Sink) sink.Sink { return &twisted{Sink: next, write: write} }
}

func faults() map[string]fault {
	leak := make(chan struct{})
	return map[string]fault{
		"loses the last of many": {"nil_means_durable", writing(func(ctx context.Context, next sink.Sink, b []sink.Record) error {
			return next.Write(ctx, b[:len(b)-len(b)/15])
		})},
		"reverses": {"order_per_key", writing(func(ctx context.Context, next sink.Sink, b []sink.Record) error {
			b = slices.Clone(b)
			slices.Reverse(b)
			return next.Write(ctx, b)
		})},
		"drops headers": {"bytes_are_kept", writing(func(ctx context.Context, next sink.Sink, b []sink.Record) error {
			b = slices.Clone(b)
			for i := range b {
				b[i].Headers = nil
			}
			return next.Write(ctx, b)
		})},
		"calls it transient": {"oversized_record_alone", writing(func(ctx context.Context, next sink.Sink, b []sink.Record) error {
			if err := next.Write(ctx, b); err != nil {
				return fmt.Errorf("words alone: %s", err) //nolint:errorlint // to lose the mark is the fault
			}
			return nil
		})},
		"calls all of it permanent": {"oversized_record", writing(func(ctx context.Context, next sink.Sink, b []sink.Record) error {
			err := next.Write(ctx, b)
			var partial *sink.BatchError
			if errors.As(err, &partial) {
				for i := range partial.Failed {
					partial.Failed[i] = sink.Permanent(errors.New("so is this"))
				}
			}
			return err
		})},
		"says yes while away": {"context_ends_while_away", writing(func(ctx context.Context, next sink.Sink, b []sink.Record) error {
			if err := next.Write(ctx, b); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil
		})},
		"closes once only": {"close", func(next sink.Sink) sink.Sink {
			return &twisted{Sink: next, err: errors.New("closed already")}
		}},
		"leaves a goroutine": {"no_goroutine_is_left", writing(func(ctx context.Context, next sink.Sink, b []sink.Record) error {
			go func() { <-leak }()
			return next.Write(ctx, b)
		})},
	}
}

const faultEnv = "SINKTEST_FAULT"

// TestFault is the suite on a broken sink, which TestTheSuiteSeesFaults runs in
// a process of its own and expects to fail.
func TestFault(t *testing.T) {
	f, ok := faults()[os.Getenv(faultEnv)]
	if !ok {
		t.Skip("run by TestTheSuiteSeesFaults")
	}
	sinktest.Run(t, newServer(true).harness(f.client))
}

func TestTheSuiteSeesFaults(t *testing.T) {
	for name, f := range faults() {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFault$/^"+f.seen+"$", "-rapid.nofailfile")
			cmd.Env = append(os.Environ(), faultEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestFault/"+f.seen) {
				t.Errorf("the suite passed it: %v\n%s", err, out)
			}
		})
	}
}
