package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// openOn opens a spool on a simulated disk.
func openOn(t fataler, d *disk, change ...func(*Config)) *Spool {
	t.Helper()
	cfg := Config{MinFree: -1}
	for _, c := range change {
		c(&cfg)
	}
	s, err := open(context.Background(), cfg, d.fileSystem())
	must(t, err)
	return s
}

// told reads what is there and returns the payloads, and what the frames say is
// missing as "reason from-to".
func told(t fataler, s *Spool) (payloads, missing []string) {
	t.Helper()
	for s.Ready() {
		f, ok, _, err := s.tryNext()
		must(t, err)
		if !ok {
			break
		}
		payloads = append(payloads, string(f.Payload))
		for _, l := range f.Missing {
			missing = append(missing, fmt.Sprintf("%s %s %d-%d", l.Reason, l.Stream, l.From, l.To))
		}
	}
	return payloads, missing
}

func attemptTo(s *Spool, payload string) error {
	_, err := s.Append(context.Background(), call(payload))
	return err
}

// small bounds a spool to a few calls of a hundred bytes.
func small(when WhenFull) func(*Config) {
	return func(c *Config) {
		c.WhenFull, c.SegmentBytes, c.MaxBytes = when, 512, fixedBytes+4<<10
	}
}

var filling = strings.Repeat("x", 100)

// block makes osqueryd wait until the reader has made room, and loses nothing.
func TestBlockWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openOn(t, newDisk(rand.IntN), small(Block))
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var reading sync.WaitGroup
		reading.Go(func() {
			for {
				f, err := s.Next(ctx)
				if err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond) // a slow destination
				must(t, s.Commit(f.After(nil)))
			}
		})
		defer reading.Wait()
		defer cancel()
		for range 200 {
			if err := attemptTo(s, filling); err != nil {
				t.Fatal(err)
			}
		}
		if s.Stats().Blocked == 0 {
			t.Error("nothing ever waited: the test tests nothing")
		}
	})
}

// After its patience block drops what is new, under a name, at once, until a call
// fits without waiting.
func TestBlockGivesUpOncePerEpisode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openOn(t, newDisk(rand.IntN), small(Block))
		defer s.Close()
		began := time.Now()
		n := 0
		for attemptTo(s, filling) == nil {
			n++
		}
		if waited := time.Since(began); waited < DefaultBlockFor || waited > DefaultBlockFor+time.Second {
			t.Errorf("it waited %v in all", waited)
		}
		began = time.Now()
		for range 5 {
			if err := attemptTo(s, filling); !errors.Is(err, ErrFull) {
				t.Errorf("error %v, want ErrFull", err)
			}
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("the same episode waited %v again", waited)
		}
		for range n {
			f := next(t, s)
			must(t, s.Commit(f.After(nil)))
		}
		add(t, s, "fits")
		payloads, missing := told(t, s)
		if strings.Join(payloads, "") != "fits" || strings.Join(missing, "") != fmt.Sprintf("drop_newest results %d-%d", n+1, n+6) {
			t.Errorf("read %q, missing %q", payloads, missing)
		}
	})
}

// Each policy names exactly what it dropped, also after a restart.
func TestEachPolicyNamesWhatItDropped(t *testing.T) {
	for when, reason := range map[WhenFull]Reason{DropOldest: DroppedOldest, DropNewest: DroppedNewest} {
		t.Run(string(reason), func(t *testing.T) {
			d := newDisk(rand.IntN)
			s := openOn(t, d, small(when))
			for i := range 100 {
				if err := attemptTo(s, fmt.Sprint(i+1, " ", filling)); err != nil && !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
			}
			must(t, s.Close())
			s = openOn(t, d) // and now there is room
			defer s.Close()
			add(t, s, "101 ")
			seen := map[int]bool{}
			for s.Ready() {
				f := next(t, s)
				var n int
				if _, err := fmt.Sscan(string(f.Payload), &n); err != nil || uint64(n) != f.Seq {
					t.Fatalf("seq %d is %q", f.Seq, f.Payload)
				}
				seen[n] = true
				for _, l := range f.Missing {
					if l.Reason != reason || l.Calls != l.To-l.From+1 {
						t.Errorf("%+v", l)
					}
					for seq := l.From; seq <= l.To; seq++ {
						if seen[int(seq)] {
							t.Errorf("seq %d came and is told to be missing, or twice", seq)
						}
						seen[int(seq)] = true
					}
				}
			}
			if len(seen) != 101 {
				t.Errorf("%d of 101 calls came or were told", len(seen))
			}
		})
	}
}

// A call that would not fit an empty spool is dropped alone: nothing is thrown
// away for it.
func TestACallLargerThanTheSpoolDropsNothingElse(t *testing.T) {
	s := openOn(t, newDisk(rand.IntN), small(DropOldest))
	defer s.Close()
	add(t, s, "before")
	if err := attemptTo(s, strings.Repeat("x", 1<<20)); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
	add(t, s, "after")
	payloads, missing := told(t, s)
	if strings.Join(payloads, " ") != "before after" || strings.Join(missing, "") != "drop_newest results 2-2" {
		t.Errorf("read %q, missing %q", payloads, missing)
	}
}

// A disk that refuses loses nothing as long as memory goes: calls are written when
// it takes them again, in order, before what is newer.
func TestAFailingDiskHoldsCalls(t *testing.T) {
	for _, why := range []error{syscall.EIO, syscall.EROFS} {
		d := newDisk(rand.IntN)
		s := openOn(t, d)
		add(t, s, "1")
		d.broken = why
		for i := range 3 {
			if err := attemptTo(s, fmt.Sprint(i+2)); err != nil {
				t.Fatalf("%v: %v", why, err)
			}
		}
		if st := s.Stats(); st.HeldCalls != 3 || st.UnwritableSince.IsZero() || !errors.Is(st.Unwritable, why) {
			t.Errorf("%v: %+v", why, st)
		}
		if err := s.Recover(); !errors.Is(err, why) {
			t.Errorf("a disk that still refuses: %v", err)
		}
		d.broken = nil
		must(t, s.Recover())
		add(t, s, "5")
		if st := s.Stats(); st.HeldCalls != 0 || !st.UnwritableSince.IsZero() || len(st.Lost) != 0 {
			t.Errorf("%v, mended: %+v", why, st)
		}
		payloads, missing := told(t, s)
		if strings.Join(payloads, "") != "12345" || len(missing) != 0 {
			t.Errorf("%v: read %q, missing %q", why, payloads, missing)
		}
		must(t, s.Close())
	}
}

// What memory has no room for is lost by name; what was held when the process
// ends is too, if the disk lets us note it, and is not when it was written.
func TestBeyondWhatIsHeldCallsAreLostByName(t *testing.T) {
	d := newDisk(rand.IntN)
	s := openOn(t, d, func(c *Config) { c.HeldBytes = 500 })
	add(t, s, "1")
	d.broken = syscall.EIO
	lost := 0
	for range 10 {
		if attemptTo(s, filling) != nil {
			lost++
		}
	}
	d.broken = nil
	must(t, s.Recover())
	add(t, s, "12")
	payloads, missing := told(t, s)
	if len(payloads)+lost != 12 || lost == 0 || strings.Join(missing, "") != fmt.Sprintf("unwritable results %d-11", 12-lost) {
		t.Errorf("read %d, lost %d, missing %q", len(payloads), lost, missing)
	}
	must(t, s.Close())
}

// A spool whose disk refuses from the start does not open, and says why; when it
// does, what its owner lost meanwhile takes seqs.
func TestAReadOnlyFolderDoesNotOpen(t *testing.T) {
	d := newDisk(rand.IntN)
	d.broken = syscall.EROFS
	if _, err := open(context.Background(), Config{MinFree: -1}, d.fileSystem()); !errors.Is(err, syscall.EROFS) {
		t.Errorf("error %v", err)
	}
	d.broken = nil
	s := openOn(t, d)
	s.Lose(Unwritable, "results", 7, 700)
	must(t, s.Close())
	s = openOn(t, d)
	defer s.Close()
	if seq := add(t, s, "first"); seq != 8 {
		t.Errorf("seq %d", seq)
	}
	if _, missing := told(t, s); strings.Join(missing, "") != "unwritable results 1-7" {
		t.Errorf("missing %q", missing)
	}
}

// With sync: 100ms a call is promised when it is written; the reader gets it when
// it is synced.
func TestSyncEveryGroupsSyncs(t *testing.T) {
	d := newDisk(func(int) int { return 1 }) // a cut leaves nothing that was not synced
	s := openOn(t, d, func(c *Config) { c.SyncEvery = time.Hour })
	before := s.Stats().Syncs.Count
	add(t, s, "1")
	for i := range 100 {
		add(t, s, fmt.Sprint(i+2))
	}
	if n := s.Stats().Syncs.Count - before; n > 2 {
		t.Errorf("%d syncs for 101 calls", n)
	}
	must(t, s.Sync())
	if payloads, _ := told(t, s); len(payloads) != 101 {
		t.Errorf("%d calls after the sync", len(payloads))
	}
	must(t, s.Close())
}

// Ten gigabytes are opened by their headers: only the newest segment is read.
func TestOpeningReadsHeadersAndTheNewestSegment(t *testing.T) {
	d := newDisk(rand.IntN)
	s := openOn(t, d, func(c *Config) { c.SegmentBytes = 64 << 10 })
	for range 160 {
		add(t, s, strings.Repeat("x", 20<<10))
	}
	segments := len(s.segments)
	if segments < 40 {
		t.Fatalf("%d segments", segments)
	}
	copied := d.copied() // as kill -9 leaves it
	again := openOn(t, copied)
	defer again.Close()
	if limit := int64(segments*segmentHeader + 2*(64<<10) + 4*ledgerBytes); copied.read > limit {
		t.Errorf("%d bytes were read of %d segments, want at most %d", copied.read, segments, limit)
	}
	must(t, s.Close())
}

// Limits can be changed while the spool is open.
func TestLimitsCanBeChanged(t *testing.T) {
	s := openOn(t, newDisk(rand.IntN), small(DropNewest))
	defer s.Close()
	n := 0
	for attemptTo(s, filling) == nil {
		n++
	}
	s.SetLimits(fixedBytes+64<<10, -1, DropNewest)
	for range n {
		add(t, s, filling)
	}
	s.SetLimits(fixedBytes+4<<10, -1, DropOldest)
	add(t, s, "last")
	if st := s.Stats(); st.Lost[DroppedOldest].Calls == 0 || st.OnDisk > fixedBytes+4<<10 {
		t.Errorf("%+v", st)
	}
}
