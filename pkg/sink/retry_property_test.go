package sink_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

// plan is one drawn run of Retry against a destination that keeps the contract
// of sink.Sink and otherwise misbehaves as it likes.
type plan struct {
	batches [][]sink.Record // values are 0, 1, 2 ... over all of them
	poison  map[string]bool // the values that are never taken
	precise bool            // name the poisoned record, or refuse the batch
	moods   []mood          // for the first Writes; then all is well
}

// mood is how the destination feels about one Write.
type mood struct {
	away, landed bool
	fail         []bool // by index: fails though it is not poison
	slow         time.Duration
}

func drawPlan(t *rapid.T) plan {
	p := plan{poison: map[string]bool{}, precise: rapid.Bool().Draw(t, "precise")}
	next := 0
	for range rapid.IntRange(1, 3).Draw(t, "batches") {
		var batch []sink.Record
		for range rapid.IntRange(0, 12).Draw(t, "records") {
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
			batch = append(batch, record(key, next))
			p.poison[strconv.Itoa(next)] = rapid.IntRange(0, 5).Draw(t, "poison") == 0
			next++
		}
		p.batches = append(p.batches, batch)
	}
	p.moods = rapid.SliceOfN(rapid.Custom(drawMood), 0, 12).Draw(t, "moods")
	return p
}

func drawMood(t *rapid.T) mood {
	return mood{
		away:   rapid.Bool().Draw(t, "away"),
		landed: rapid.Bool().Draw(t, "landed"),
		fail:   rapid.SliceOfN(rapid.Bool(), 12, 12).Draw(t, "fail"),
		slow:   time.Duration(rapid.IntRange(0, 2).Draw(t, "slow")) * time.Minute,
	}
}

// answer implements the destination.
func (p plan) answer(_ context.Context, call int, batch []sink.Record) sinktest.Outcome {
	var m mood
	if call < len(p.moods) {
		m = p.moods[call]
	}
	poisoned := false
	for _, r := range batch {
		poisoned = poisoned || p.poison[string(r.Value)]
	}
	switch {
	case m.away:
		return sinktest.Outcome{Err: sink.RetryAfter(errAway, m.slow), Landed: m.landed && !poisoned}
	case poisoned && !p.precise:
		return sinktest.Outcome{Err: fmt.Errorf("refused: %w", sink.Permanent(errAway))}
	}
	if failures := p.failures(m, batch); len(failures) > 0 {
		return failed(failures)
	}
	return sinktest.Outcome{}
}

// failures names what fails, and whatever must not overtake it.
func (p plan) failures(m mood, batch []sink.Record) map[int]error {
	failures := map[int]error{}
	held := map[string]bool{}
	for i, r := range batch {
		switch {
		case p.poison[string(r.Value)]:
			failures[i] = sink.Permanent(errAway)
		case held[string(r.Key)] || i < len(m.fail) && m.fail[i]:
			failures[i] = errAway
		default:
			continue
		}
		held[string(r.Key)] = true
	}
	return failures
}

// run delivers all batches and returns what landed.
func (p plan) run(ctx context.Context) ([]sink.Record, error) {
	fake := &sinktest.Fake{Answer: p.answer}
	s := sink.Retry(fake, sink.RetryConfig{DeadLetter: deadLetter})
	for _, b := range p.batches {
		if err := s.Write(ctx, b); err != nil {
			return nil, err
		}
	}
	if fake.Overlapped() {
		return nil, errors.New("two writes at once")
	}
	return fake.Landed(), nil
}

func TestRetryLosesNothingAndKeepsOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var landed []sink.Record
		var err error
		synctest.Test(t, func(t *testing.T) { landed, err = p.run(t.Context()) })
		if err != nil {
			rt.Fatal(err)
		}
		checkLanded(rt, p, landed)
	})
}

func checkLanded(t *rapid.T, p plan, landed []sink.Record) {
	seen := map[string]bool{}
	last := map[string]int{}
	for _, r := range landed {
		v := string(r.Value)
		if seen[v] {
			continue // a repeat
		}
		seen[v] = true
		if strings.HasPrefix(v, "dead:") {
			continue
		}
		n, _ := strconv.Atoi(v)
		if before, ok := last[string(r.Key)]; ok && before > n {
			t.Fatalf("key %s: %d landed after %d in %q", r.Key, n, before, values(landed))
		}
		last[string(r.Key)] = n
	}
	for _, b := range p.batches {
		for _, r := range b {
			v := string(r.Value)
			if seen[v] == p.poison[v] || seen["dead:"+v] != p.poison[v] {
				t.Fatalf("%s: poison %v, landed %v, dead letter %v", v, p.poison[v], seen[v], seen["dead:"+v])
			}
		}
	}
}
