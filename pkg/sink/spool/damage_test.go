package spool

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// smallSpool is a spool that was closed in order: calls 1 to 12 in several
// segments, of which 1 and 2 are committed, 5 was dropped and noted.
func smallSpool(t *testing.T) (d *disk, cfg Config) {
	t.Helper()
	d, cfg = newDisk(rand.IntN), Config{MinFree: -1, SegmentBytes: 420, WhenFull: DropNewest}
	s, err := open(context.Background(), cfg, d.fileSystem())
	must(t, err)
	for i := range 12 {
		if i == 4 {
			d.full = true
			if _, err := s.Append(context.Background(), call("lost")); err == nil {
				t.Fatal("a full disk took a call")
			}
			d.full = false
			continue
		}
		add(t, s, fmt.Sprintf("payload number %02d %s", i+1, frameMagic)) // a frame's mark inside a payload
	}
	for range 2 {
		f := next(t, s)
		must(t, s.Commit(f.After(nil)))
	}
	must(t, s.Close())
	return d, cfg
}

// everything opens a spool, adds a call behind what it holds and reads all. It
// returns how often each seq came or was told to be missing.
func everything(t *testing.T, d *disk, cfg Config, what string) (came, missing map[uint64]bool) {
	t.Helper()
	s, err := open(context.Background(), cfg, d.fileSystem())
	if err != nil {
		t.Fatalf("%s: it does not open: %v", what, err)
	}
	defer s.Close()
	end := add(t, s, "end")
	came, missing = map[uint64]bool{}, map[uint64]bool{}
	for {
		f, ok, _, err := s.tryNext()
		if err != nil || !ok {
			t.Fatalf("%s: the last call does not come: %v", what, err)
		}
		for _, l := range f.Missing {
			for seq := l.From; seq <= l.To; seq++ {
				missing[seq] = true
			}
		}
		if string(f.Payload) == "end" {
			if f.Seq != end {
				t.Fatalf("%s: seq %d came as %d", what, end, f.Seq)
			}
			return came, missing
		}
		if want := fmt.Sprintf("payload number %02d ", f.Seq); !strings.HasPrefix(string(f.Payload), want) {
			t.Fatalf("%s: seq %d is %q", what, f.Seq, f.Payload)
		}
		came[f.Seq] = true
	}
}

// checkWhole compares what came with what the damage leaves: whole frames come,
// and all others are told.
func checkWhole(t *testing.T, came, missing map[uint64]bool, lost []uint64, what string) {
	t.Helper()
	for seq := uint64(3); seq <= 12; seq++ {
		gone := seq == 5 || slices.Contains(lost, seq)
		if came[seq] == gone {
			t.Errorf("%s: seq %d came: %v", what, seq, came[seq])
		}
		if missing[seq] != gone {
			t.Errorf("%s: seq %d is told to be missing: %v", what, seq, missing[seq])
		}
	}
}

// framesAt are the seqs of a segment's frames that have a byte at or behind from
// and before to.
func framesAt(t *testing.T, b []byte, from, to int64) (seqs []uint64) {
	t.Helper()
	h, ok := parseSegmentHeader(b)
	if !ok {
		t.Fatal("no segment")
	}
	frames, _ := scanAll(b[segmentHeader:], &h)
	for i := range frames {
		if f := &frames[i]; f.place.start+segmentHeader < to && f.place.end+segmentHeader > from {
			seqs = append(seqs, f.Seq)
		}
	}
	return seqs
}

// The unit of loss is one frame: whatever one byte of one file does, the spool
// opens, every other call comes back, and what does not is told.
func TestEveryFlippedByteLosesAtMostItsFrameAndIsTold(t *testing.T) {
	whole, cfg := smallSpool(t)
	for _, file := range slices.Sorted(maps.Keys(whole.files)) {
		b := whole.files[file].now
		for at := range b {
			if strings.HasPrefix(file, "ledger") && at > 600 && at%997 != 0 {
				continue // what is behind the value says nothing
			}
			d := whole.copied()
			d.files[file].now[at] ^= 1 << (at % 8)
			var lost []uint64
			if strings.HasSuffix(file, segmentSuffix) {
				lost = framesAt(t, b, int64(at), int64(at)+1)
			}
			what := fmt.Sprintf("%s, byte %d", file, at)
			came, missing := everything(t, d, cfg, what)
			checkWhole(t, came, missing, lost, what)
			if t.Failed() {
				return
			}
		}
	}
}

// The same for every file that is cut off anywhere, or gone.
func TestEveryTruncationLosesOnlyWhatIsCutOffAndIsTold(t *testing.T) {
	whole, cfg := smallSpool(t)
	for _, file := range slices.Sorted(maps.Keys(whole.files)) {
		b := whole.files[file].now
		for length := -1; length < len(b); length++ {
			if strings.HasPrefix(file, "ledger") && length > 600 && length%997 != 0 {
				continue
			}
			d := whole.copied()
			if length < 0 {
				delete(d.files, file)
			} else {
				d.files[file].now = d.files[file].now[:length]
			}
			var lost []uint64
			if strings.HasSuffix(file, segmentSuffix) {
				lost = framesAt(t, b, int64(length), int64(len(b)))
			}
			what := fmt.Sprintf("%s cut to %d bytes", file, length)
			came, missing := everything(t, d, cfg, what)
			checkWhole(t, came, missing, lost, what)
			if t.Failed() {
				return
			}
		}
	}
}

// A payload cannot pass for a frame when what holds it is damaged: checksums
// begin with a salt that nobody outside knows.
func TestAForgedFrameIsNotRead(t *testing.T) {
	d := newDisk(rand.IntN)
	s, err := open(context.Background(), Config{MinFree: -1}, d.fileSystem())
	must(t, err)
	forged := call("forged")
	add(t, s, string(append(appendFrameHeader(nil, 0, &forged, s.run, 99, s.cfg.Now()), forged.Payload...)))
	add(t, s, "after")
	must(t, s.Close())
	d.files[segmentName(1)].now[segmentHeader] ^= 1
	s, err = open(context.Background(), Config{MinFree: -1}, d.fileSystem())
	must(t, err)
	defer s.Close()
	if got := drain(t, s); len(got) != 1 || got[0] != "after" {
		t.Errorf("came back: %q", got)
	}
}

// Damaged bytes are kept for whoever wants to know, up to a bound, and told once.
func TestDamageIsSetAsideAndCountedOnce(t *testing.T) {
	d, cfg := smallSpool(t)
	d.files[segmentName(1)].now[segmentHeader+200] ^= 1
	s, err := open(context.Background(), cfg, d.fileSystem())
	must(t, err)
	for range 3 {
		must(t, s.Rewind())
		drain(t, s)
	}
	var kept []string
	for name, node := range d.files {
		if strings.HasSuffix(name, asideSuffix) {
			kept = append(kept, name)
			if len(node.now) == 0 {
				t.Errorf("%s is empty", name)
			}
		}
	}
	if len(kept) != 1 || s.Stats().Lost[Damaged].Calls != 1 {
		t.Errorf("kept %q, lost %+v", kept, s.Stats().Lost)
	}
	s.setAside(2, 0, maxAside)
	if s.Stats().OnDisk > s.Stats().Bytes+fixedBytes+1000 {
		t.Error("more is set aside than the bound")
	}
	must(t, s.Close())
}

// A segment of which both header blocks are damaged is set aside whole.
func TestASegmentWithoutHeaderIsSetAside(t *testing.T) {
	d, cfg := smallSpool(t)
	b := d.files[segmentName(2)].now
	lost := framesAt(t, b, 0, int64(len(b)))
	b[20] ^= 1
	b[headerBlock+20] ^= 1
	came, missing := everything(t, d, cfg, "both headers")
	checkWhole(t, came, missing, lost, "both headers")
	if node := d.files[asideName(2, 0)]; node == nil || len(node.now) != len(b) {
		t.Error("it is not kept")
	}
}
