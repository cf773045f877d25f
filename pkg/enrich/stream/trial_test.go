package stream

import (
	"math/bits"
	"testing"

	"pgregory.net/rapid"
)

// refusing plays a broker that refuses what holds one of the bad offsets, from
// start up to end, and returns what was given up and how many tries it took.
func refusing(t *rapid.T, start, end int64, bad map[int64]bool, step func(trial, int64, int64) trial) (given []int64, tries int) {
	var tr trial
	for at := start; at < end; {
		if tries++; tries > 5000 {
			t.Fatal("it does not come to an end")
		}
		tr = parseTrial(tr.metadata(), at) // a move or a restart at any time
		to := min(tr.end(at), end)
		if tr.poison(at) != "" {
			given = append(given, at)
			at++
			tr = tr.passed(at)
			continue
		}
		failed := false
		for o := at; o < to; o++ {
			failed = failed || bad[o]
		}
		if failed {
			tr = step(tr, at, to)
			continue
		}
		at = to
		tr = tr.passed(at)
	}
	return given, tries
}

// ways are those in which a transaction fails.
func ways() map[string]func(t trial, from, to int64) trial {
	return map[string]func(trial, int64, int64) trial{
		"refused": trial.failed,
		"died": func(t trial, from, to int64) trial { // as mark notes it and settleIn finds it
			if !t.active() || from < t.From {
				t = trial{From: from, To: to, Size: to - from}
			}
			t.Begun = true
			return parseTrial(t.metadata(), from).died()
		},
	}
}

// A process that is killed again and again, whatever it does, leaves a partition that is
// taken in transactions of one record. When nothing fails any more it is soon taken in
// whole again.
func TestATrialForNothingIsSoonOver(t *testing.T) {
	for name, step := range ways() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				size := rapid.Int64Range(1, 10_000).Draw(t, "size")
				var tr trial
				at := int64(0)
				for range rapid.IntRange(0, 30).Draw(t, "failures") {
					to := min(tr.end(at), size)
					if tr.poison(at) != "" {
						at++
						tr = tr.passed(at)
					} else if rapid.IntRange(0, 9).Draw(t, "failed") > 0 {
						tr = step(tr, at, to)
					} else {
						at = to
						tr = tr.passed(at)
					}
					if at == size {
						return
					}
				}
				tries := 0
				for ; at < size; tries++ {
					at = min(tr.end(at), size)
					tr = tr.passed(at)
				}
				if most := bits.Len64(uint64(size)) + 2; tries > most {
					t.Fatalf("%d transactions for %d records, want at most %d", tries, size, most)
				}
			})
		})
	}
}

// What is refused, or what the process dies of, is found wherever it is, given up
// alone, and nothing else is.
func TestATrialEndsAtTheBadRecordsAlone(t *testing.T) {
	for name, step := range ways() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				start := rapid.Int64Range(0, 1<<40).Draw(t, "start")
				size := rapid.Int64Range(1, 300).Draw(t, "size")
				bad := map[int64]bool{}
				for range rapid.IntRange(0, 3).Draw(t, "bad") {
					bad[start+rapid.Int64Range(0, size-1).Draw(t, "at")] = true
				}
				given, tries := refusing(t, start, start+size, bad, step)
				if len(given) != len(bad) {
					t.Fatalf("%d given up, %d were bad", len(given), len(bad))
				}
				for _, at := range given {
					if !bad[at] {
						t.Fatalf("%d was given up for nothing", at)
					}
				}
				if most := 1 + len(bad)*(triesAlone+deathsAlone+2*bits.Len64(uint64(size))+4); tries > most {
					t.Fatalf("%d tries to find %d of %d, want at most %d", tries, len(bad), size, most)
				}
				if len(bad) == 0 && tries != 1 {
					t.Fatalf("%d tries with nothing bad", tries)
				}
			})
		})
	}
}

func TestARecordThatFailsByItselfIsTriedTwice(t *testing.T) {
	tr := trial{}.failedAt(7)
	if tr.end(3) != 7 || tr.end(7) != 8 || tr.poison(7) != "" {
		t.Errorf("after one failure: %+v", tr)
	}
	tr = tr.failedAt(7)
	if tr.poison(7) == "" || tr.poison(6) != "" {
		t.Errorf("after two failures: %+v", tr)
	}
	if left := tr.passed(8); left.active() {
		t.Errorf("what is left of it: %+v", left)
	}
}

func FuzzParseTrial(f *testing.F) {
	f.Add("", int64(0))
	f.Add(trial{From: 5, To: 9, Size: 2, Tries: 1, Begun: true}.metadata(), int64(5))
	f.Add("member-id-of-a-client", int64(1))
	f.Fuzz(func(t *testing.T, metadata string, committed int64) {
		tr := parseTrial(metadata, committed)
		if tr.active() && (tr.From < committed || tr.Size < 1 || tr.Size > tr.To-tr.From) {
			t.Errorf("%q at %d was read as %+v", metadata, committed, tr)
		}
		if again := parseTrial(tr.metadata(), committed); again != tr {
			t.Errorf("%+v came back as %+v", tr, again)
		}
	})
}
