package sink_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

// slowly answers after d, or when ctx ends.
func slowly(d time.Duration) *sinktest.Fake {
	return &sinktest.Fake{Answer: func(ctx context.Context, _ int, _ []sink.Record) sinktest.Outcome {
		select {
		case <-time.After(d):
			return sinktest.Outcome{}
		case <-ctx.Done():
			return sinktest.Outcome{Err: ctx.Err()}
		}
	}}
}

func TestTimeoutEndsASlowWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := sink.Timeout(slowly(time.Hour), time.Minute).Write(t.Context(), records(1))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if err := sink.Timeout(slowly(time.Second), time.Minute).Write(t.Context(), records(1)); err != nil {
			t.Errorf("a quick write: %v", err)
		}
		if err := sink.Timeout(slowly(time.Hour), 0).Write(t.Context(), records(1)); err != nil {
			t.Errorf("no limit: %v", err)
		}
	})
}

func TestTimeoutPassesOnWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &sinktest.Fake{Answer: func(ctx context.Context, _ int, _ []sink.Record) sinktest.Outcome {
			<-ctx.Done()
			return failed(map[int]error{1: ctx.Err()})
		}}
		err := sink.Timeout(fake, time.Minute).Write(t.Context(), records(2))
		var partial *sink.BatchError
		if !errors.As(err, &partial) || len(partial.Failed) != 1 {
			t.Errorf("got %v, want the one record", err)
		}
	})
}

func TestObserveSeesEachWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []sink.Observation
		fake := &sinktest.Fake{Answer: sinktest.Script(
			sinktest.Outcome{Err: errAway},
			failed(map[int]error{1: errAway}),
		)}
		s := sink.Timeout(sink.Observe(fake, func(o sink.Observation) { seen = append(seen, o) }), time.Hour)
		for range 3 {
			_ = s.Write(t.Context(), records(3))
		}
		if len(seen) != 3 {
			t.Fatalf("saw %d writes", len(seen))
		}
		for i, want := range []int{3, 1, 0} {
			if o := seen[i]; o.Failed != want || o.Records != 3 || o.Bytes != 6 || (o.Err != nil) != (want > 0) {
				t.Errorf("write %d: %+v, want %d failed", i, o, want)
			}
		}
		if err := s.Close(t.Context()); err != nil || fake.Closes() != 1 {
			t.Errorf("close: %v, reached the sink %d times", err, fake.Closes())
		}
	})
}

func TestBatchErrorHasNoVerdictOnTheBatch(t *testing.T) {
	err := error(&sink.BatchError{Failed: map[int]error{7: errAway, 2: sink.Permanent(errors.New("too large"))}})
	if sink.IsPermanent(err) || errors.Is(err, errAway) {
		t.Error("one record's error answers for the batch")
	}
	if got, want := err.Error(), "2 records failed, first at index 2: too large"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (&sink.BatchError{}).Error(); got != "no record failed" {
		t.Errorf("empty: %q", got)
	}
}

func TestMarksOnNilAreNil(t *testing.T) {
	if sink.Permanent(nil) != nil || sink.RetryAfter(nil, time.Second) != nil {
		t.Error("a mark made an error of nothing")
	}
	if err := sink.RetryAfter(sink.Permanent(errAway), time.Second); !sink.IsPermanent(err) || sink.AfterOf(err) != time.Second || !errors.Is(err, errAway) {
		t.Errorf("marks do not combine: %v", err)
	}
}
