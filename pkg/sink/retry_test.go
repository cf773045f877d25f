package sink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

var errAway = errors.New("broker away")

func record(key string, n int) sink.Record {
	return sink.Record{Topic: "t", Key: []byte(key), Value: fmt.Appendf(nil, "%d", n)}
}

func records(n int) []sink.Record {
	batch := make([]sink.Record, n)
	for i := range batch {
		batch[i] = record("k", i)
	}
	return batch
}

func values(batch []sink.Record) string {
	var b strings.Builder
	for i, r := range batch {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.Write(r.Value)
	}
	return b.String()
}

func deadLetter(r sink.Record, _ error) (letter sink.Record, inPlace []sink.Record) {
	return sink.Record{Topic: "dead", Key: r.Key, Value: append([]byte("dead:"), r.Value...)}, nil
}

func failed(failures map[int]error) sinktest.Outcome {
	return sinktest.Outcome{Err: &sink.BatchError{Failed: failures}}
}

func TestRetrySendsAgainWhatFailed(t *testing.T) {
	perm := sink.Permanent(errors.New("too large"))
	tests := map[string]struct {
		outcomes []sinktest.Outcome
		want     string // all that landed, in order
		writes   []string
	}{
		"at once":       {nil, "0 1 2 3", []string{"0 1 2 3"}},
		"whole failure": {[]sinktest.Outcome{{Err: errAway}}, "0 1 2 3", []string{"0 1 2 3", "0 1 2 3"}},
		"answer lost":   {[]sinktest.Outcome{{Err: errAway, Landed: true}}, "0 1 2 3 0 1 2 3", []string{"0 1 2 3", "0 1 2 3"}},
		"some failed": {
			[]sinktest.Outcome{failed(map[int]error{1: errAway, 3: errAway})},
			"0 2 1 3", []string{"0 1 2 3", "1 3"},
		},
		"one refused": {
			[]sinktest.Outcome{failed(map[int]error{1: perm, 2: errAway, 3: errAway})},
			"0 dead:1 2 3", []string{"0 1 2 3", "dead:1", "2 3"},
		},
		"batch refused": {
			[]sinktest.Outcome{{Err: perm}, {Err: perm}, {}, {Err: perm}},
			"0 dead:1 2 3", []string{"0 1 2 3", "0 1", "0", "1", "dead:1", "2 3"},
		},
		"dead letter held up": {
			[]sinktest.Outcome{failed(map[int]error{0: perm}), {Err: errAway}, {Err: perm}},
			"1 2 3 dead:0", []string{"0 1 2 3", "dead:0", "dead:0", "dead:0"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &sinktest.Fake{Answer: sinktest.Script(tt.outcomes...)}
				s := sink.Retry(fake, sink.RetryConfig{DeadLetter: deadLetter})
				if err := s.Write(t.Context(), records(4)); err != nil {
					t.Fatal(err)
				}
				if got := values(fake.Landed()); got != tt.want {
					t.Errorf("landed %q, want %q", got, tt.want)
				}
				var writes []string
				for _, w := range fake.Writes() {
					writes = append(writes, values(w))
				}
				if !slices.Equal(writes, tt.writes) {
					t.Errorf("writes %q, want %q", writes, tt.writes)
				}
			})
		})
	}
}

// What stands in place of a refused record comes after its dead letter; refused
// as well, it is passed over and holds nothing up.
func TestWhatStandsInPlaceOfARefusedRecord(t *testing.T) {
	perm := sink.Permanent(errors.New("too large"))
	for name, tt := range map[string]struct {
		outcomes []sinktest.Outcome
		want     string
	}{
		"taken":   {[]sinktest.Outcome{failed(map[int]error{1: perm, 2: errAway})}, "0 dead:1 gap 2"},
		"refused": {[]sinktest.Outcome{failed(map[int]error{1: perm, 2: errAway}), {}, {Err: perm}}, "0 dead:1 2"},
		"away":    {[]sinktest.Outcome{failed(map[int]error{1: perm, 2: errAway}), {}, {Err: errAway}}, "0 dead:1 gap 2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &sinktest.Fake{Answer: sinktest.Script(tt.outcomes...)}
				s := sink.Retry(fake, sink.RetryConfig{DeadLetter: func(r sink.Record, why error) (sink.Record, []sink.Record) {
					letter, _ := deadLetter(r, why)
					return letter, []sink.Record{{Topic: r.Topic, Key: r.Key, Value: []byte("gap")}}
				}})
				if err := s.Write(t.Context(), records(3)); err != nil {
					t.Fatal(err)
				}
				if got := values(fake.Landed()); got != tt.want {
					t.Errorf("landed %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// The end of a time of failures is told with its length, and each failure.
func TestRetryTellsOfFailuresAndTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &sinktest.Fake{Answer: sinktest.Script(sinktest.Outcome{Err: errAway}, sinktest.Outcome{Err: errAway})}
		failures, outages := 0, []time.Duration{}
		s := sink.Retry(fake, sink.RetryConfig{
			OnFailure: func(error) { failures++ },
			OnOver:    func(d time.Duration) { outages = append(outages, d) },
		})
		began := time.Now()
		for range 2 {
			if err := s.Write(t.Context(), records(1)); err != nil {
				t.Fatal(err)
			}
		}
		if failures != 2 || len(outages) != 1 || outages[0] > time.Since(began) {
			t.Errorf("%d failures, outages %v", failures, outages)
		}
	})
}

// always answers every Write with err.
func always(err error) *sinktest.Fake {
	return &sinktest.Fake{Answer: func(context.Context, int, []sink.Record) sinktest.Outcome {
		return sinktest.Outcome{Err: err}
	}}
}

func TestRetryHoldsTheLineWithoutDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		fake := always(sink.Permanent(errors.New("too large")))
		err := sink.Retry(fake, sink.RetryConfig{}).Write(ctx, records(2))
		if !errors.Is(err, context.DeadlineExceeded) || sink.IsPermanent(err) {
			t.Errorf("got %v, want ctx's end, and not permanent", err)
		}
		for _, w := range fake.Writes() {
			if values(w) != "0 1" {
				t.Fatalf("sent %q, want the whole batch each time", values(w))
			}
		}
	})
}

func TestRetryWaitsLongerEachTimeUpToTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		var at []time.Time
		fake := always(errAway)
		answer := fake.Answer
		fake.Answer = func(ctx context.Context, call int, b []sink.Record) sinktest.Outcome {
			at = append(at, time.Now())
			return answer(ctx, call, b)
		}
		s := sink.Retry(fake, sink.RetryConfig{Initial: time.Second, Max: time.Hour})
		if err := s.Write(ctx, records(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		bound, longest := time.Second, time.Duration(0)
		for i := 1; i < len(at); i++ {
			wait := at[i].Sub(at[i-1])
			if wait > bound+time.Microsecond {
				t.Fatalf("wait %d was %v, bound %v", i, wait, bound)
			}
			longest = max(longest, wait)
			bound = min(2*bound, time.Minute)
		}
		// Over 1,440 draws fall evenly in a minute: that none is in its
		// upper half, or most are short, cannot happen by chance.
		if longest < 30*time.Second || len(at) > 4*24*60 {
			t.Errorf("longest wait %v in %d attempts a day", longest, len(at))
		}
	})
}

func TestRetryHonoursRetryAfter(t *testing.T) {
	slow := sink.RetryAfter(errAway, 5*time.Minute)
	for name, outcome := range map[string]sinktest.Outcome{
		"whole batch": {Err: slow},
		"one record":  failed(map[int]error{0: slow}),
		"beside a refusal": failed(map[int]error{
			0: slow, 1: sink.Permanent(errAway),
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				fake := &sinktest.Fake{Answer: sinktest.Script(outcome)}
				s := sink.Retry(fake, sink.RetryConfig{DeadLetter: deadLetter})
				if err := s.Write(t.Context(), records(2)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < 5*time.Minute {
					t.Errorf("sent again after %v", took)
				}
			})
		})
	}
}

func TestRetryTellsOnceAMinuteAndWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		fake := &sinktest.Fake{}
		away := time.Now().Add(10 * time.Minute)
		fake.Answer = func(context.Context, int, []sink.Record) sinktest.Outcome {
			if time.Now().Before(away) {
				return sinktest.Outcome{Err: errAway}
			}
			return sinktest.Outcome{}
		}
		s := sink.Retry(fake, sink.RetryConfig{
			Max: time.Second, // many more attempts than minutes
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		for range 2 {
			if err := s.Write(t.Context(), records(1)); err != nil {
				t.Fatal(err)
			}
		}
		held := strings.Count(log.String(), "held up")
		over := strings.Count(log.String(), "delivering again")
		if held < 9 || held > 10 || over != 1 {
			t.Errorf("told %d times in ten minutes, and %d times of the end:\n%s", held, over, &log)
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fake := &sinktest.Fake{}
	fake.Answer = func(context.Context, int, []sink.Record) sinktest.Outcome {
		cancel()
		return sinktest.Outcome{Err: errAway}
	}
	s := sink.Retry(fake, sink.RetryConfig{Initial: time.Hour})
	if err := s.Write(ctx, records(1)); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), errAway.Error()) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(t.Context()); err != nil || fake.Closes() != 1 {
		t.Errorf("close: %v, reached next %d times", err, fake.Closes())
	}
}

// TestRetryHurriesWhileThereIsProgress delivers one record at a time: that is
// a slow destination, not one that is away.
func TestRetryHurriesWhileThereIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &sinktest.Fake{Answer: func(_ context.Context, _ int, batch []sink.Record) sinktest.Outcome {
			rest := map[int]error{}
			for i := 1; i < len(batch); i++ {
				rest[i] = errAway
			}
			return failed(rest)
		}}
		began := time.Now()
		if err := sink.Retry(fake, sink.RetryConfig{}).Write(t.Context(), records(100)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Second {
			t.Errorf("took %v, with waits of at most a second", took)
		}
	})
}
