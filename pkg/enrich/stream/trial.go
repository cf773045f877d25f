package stream

import (
	"fmt"
	"math"
)

// How often something is tried at one place before it is taken for the cause.
const (
	triesBeforeHalving = 2 // aborts, or deaths of the process
	triesAlone         = 2 // aborts of one record alone
	deathsAlone        = 4 // deaths over one record: a process has many causes to die
)

// trial is what is known of a place in a topic where transactions fail: the records from
// From up to To failed together, so that one of them may be what nobody survives. The
// next Size of them are tried at once: all at first, then the first half of what is left.
// What is behind To is under no suspicion, and neither is anything once all of it has
// passed: most failures and deaths have other causes. The zero trial is none.
//
// It travels in the metadata of the offset commit, so that it outlives the
// process: who finds it Begun knows that somebody died over it.
type trial struct {
	From, To      int64
	Size          int64
	Tries, Deaths int
	Begun         bool
}

func (t trial) active() bool { return t.To > t.From }

// failed returns what is known after the records from from up to to were refused.
func (t trial) failed(from, to int64) trial {
	return t.again(from, to, func(t *trial) int { t.Tries++; return t.Tries })
}

// died returns what is known when the process did not outlive an attempt.
func (t trial) died() trial {
	t.Begun = false
	return t.again(t.From, t.From+t.Size, func(t *trial) int { t.Deaths++; return t.Deaths })
}

func (t trial) again(from, to int64, count func(*trial) int) trial {
	if !t.active() || from != t.From {
		t = trial{From: from, To: to, Size: to - from}
	}
	t.To = min(t.To, to)
	t.Size = min(t.Size, t.To-t.From)
	if n := count(&t); n >= triesBeforeHalving && t.Size > 1 {
		// Whether a half fails is seen at its first failure: it was among those
		// that failed before.
		t.Size, t.Tries, t.Deaths = t.half(), min(t.Tries, 1), min(t.Deaths, 1)
	}
	return t
}

func (t trial) half() int64 { return (t.To - t.From + 1) / 2 }

// failedAt returns what is known when it was this very record that failed.
func (t trial) failedAt(offset int64) trial {
	if t.From != offset || t.Size != 1 {
		t = trial{From: offset, To: offset + 1, Size: 1}
	}
	t.Tries++
	return t
}

// passed returns what is left of it once everything before next is committed.
func (t trial) passed(next int64) trial {
	if !t.active() || next >= t.To {
		return trial{}
	}
	if next > t.From {
		t.From, t.Tries, t.Deaths = next, min(t.Tries, 1), min(t.Deaths, 1)
		t.Size = t.half()
	}
	t.Begun = false
	return t
}

// end is the offset up to which the records from next on may be tried at once.
func (t trial) end(next int64) int64 {
	switch {
	case !t.active() || next >= t.To:
		return math.MaxInt64
	case next < t.From:
		return t.From
	}
	return next + t.Size
}

// poison says why the record at offset is given up, or nothing.
func (t trial) poison(offset int64) string {
	if t.From != offset || t.Size != 1 || !t.active() {
		return ""
	}
	switch {
	case t.Tries >= triesAlone:
		return fmt.Sprintf("it could not be processed, alone, in %d tries", t.Tries)
	case t.Deaths >= deathsAlone:
		return fmt.Sprintf("the process died over it, alone, %d times", t.Deaths)
	}
	return ""
}

// trialText is the form of the commit's metadata.
const trialText = "trial/1 from=%d to=%d size=%d tries=%d deaths=%d begun=%t"

// metadata encodes the trial for an offset commit: empty for none.
func (t trial) metadata() string {
	if !t.active() {
		return ""
	}
	return fmt.Sprintf(trialText, t.From, t.To, t.Size, t.Tries, t.Deaths, t.Begun)
}

// parseTrial reads metadata back. Words of others, and a trial that is not about
// the offset committed, are none.
func parseTrial(metadata string, committed int64) trial {
	var t trial
	n, err := fmt.Sscanf(metadata, trialText, &t.From, &t.To, &t.Size, &t.Tries, &t.Deaths, &t.Begun)
	sane := t.From >= committed && t.To > t.From && t.Size > 0 && t.Size <= t.To-t.From && t.Tries >= 0 && t.Deaths >= 0
	if err != nil || n != 6 || !sane {
		return trial{}
	}
	return t
}
