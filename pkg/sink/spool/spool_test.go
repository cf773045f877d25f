package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if childRequested() {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openDir(t fataler, dir string, change ...func(*Config)) *Spool {
	t.Helper()
	cfg := Config{Dir: dir, MinFree: -1}
	for _, c := range change {
		c(&cfg)
	}
	s, err := Open(context.Background(), cfg)
	must(t, err)
	return s
}

func call(payload string) Call { return Call{Stream: "results", Type: 'S', Payload: []byte(payload)} }

func add(t fataler, s *Spool, payload string) uint64 {
	t.Helper()
	seq, err := s.Append(context.Background(), call(payload))
	must(t, err)
	return seq
}

// next reads a frame that must be there.
func next(t fataler, s *Spool) Frame {
	t.Helper()
	if !s.Ready() {
		t.Fatal("nothing to read")
	}
	f, err := s.Next(context.Background())
	must(t, err)
	return f
}

// drain reads what is there.
func drain(t fataler, s *Spool) (payloads []string) {
	t.Helper()
	for s.Ready() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		f, err := s.Next(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break // Ready saw bytes that were no frame
		}
		must(t, err)
		payloads = append(payloads, string(f.Payload))
	}
	return payloads
}

func TestCallsComeBackAsTheyWereInOrder(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	big := strings.Repeat("x", 300<<10)
	calls := []Call{call("a"), {Stream: "status", Type: 'L', Payload: []byte{0, 0xff}}, {Stream: "", Type: 0}, call(big), call("z")}
	for i, c := range calls {
		seq, err := s.Append(context.Background(), c)
		must(t, err)
		if seq != uint64(i+1) {
			t.Fatalf("call %d has seq %d", i, seq)
		}
	}
	must(t, s.Close())
	s = openDir(t, dir)
	defer s.Close()
	for i, c := range calls {
		f := next(t, s)
		if f.Seq != uint64(i+1) || f.Stream != c.Stream || f.Type != c.Type || !bytes.Equal(f.Payload, c.Payload) || f.Agent != s.Agent() || f.Run == s.Run() {
			t.Errorf("frame %d is %+.200v", i, f)
		}
	}
	if s.Ready() {
		t.Error("there is more than was spooled")
	}
}

func TestReadingGoesOnWhereItWasCommitted(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	for i := range 10 {
		add(t, s, fmt.Sprint(i))
	}
	next(t, s)
	f := next(t, s)
	must(t, s.Commit(f.After(map[string]string{"osquery.results": f.Run + "/2"})))
	f = next(t, s)
	must(t, s.Commit(f.Before(7, map[string]string{"osquery.results": f.Run + "/2"})))
	must(t, s.Close())
	s = openDir(t, dir)
	defer s.Close()
	if start := s.Committed(); start.Row != 7 || start.Prev["osquery.results"] != f.Run+"/2" {
		t.Errorf("position %+v", start)
	}
	if f := next(t, s); string(f.Payload) != "2" {
		t.Errorf("reading goes on at %q", f.Payload)
	}
	if seq := add(t, s, "new"); seq != 11 {
		t.Errorf("seq %d after ten calls", seq)
	}
}

func TestRewindGoesBackToWhatWasCommitted(t *testing.T) {
	s := openDir(t, t.TempDir())
	defer s.Close()
	for i := range 5 {
		add(t, s, fmt.Sprint(i))
	}
	f := next(t, s)
	must(t, s.Commit(f.After(nil)))
	next(t, s)
	next(t, s)
	must(t, s.Rewind())
	if got := drain(t, s); strings.Join(got, "") != "1234" {
		t.Errorf("after the rewind: %q", got)
	}
}

func TestSeqGoesOnWhenEverythingWasRead(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		s := openDir(t, dir)
		if seq := add(t, s, "a"); seq != uint64(i+1) {
			t.Fatalf("opening %d: seq %d", i, seq)
		}
		f := next(t, s)
		must(t, s.Commit(f.After(nil)))
		must(t, s.Close())
	}
}

func TestEachOpeningHasARunAndACopiedSpoolANewAgent(t *testing.T) {
	dir := t.TempDir()
	ids := func(ids ...string) func(*Config) { return func(c *Config) { c.HostIDs = ids } }
	a := openDir(t, dir, ids("machine-1"))
	add(t, a, "of the first host")
	must(t, a.Close())
	b := openDir(t, dir, ids("machine-1", "i-0abc")) // an id that was not known before changes nothing
	must(t, b.Close())
	c := openDir(t, dir, ids("machine-2", "i-0abc"))
	defer c.Close()
	if a.Agent() != b.Agent() || b.Agent() == c.Agent() || c.Predecessor() != a.Agent() {
		t.Errorf("agents %s %s %s, predecessor %s", a.Agent(), b.Agent(), c.Agent(), c.Predecessor())
	}
	if a.Run() == b.Run() || len(a.Run()) != 16 {
		t.Errorf("runs %s %s", a.Run(), b.Run())
	}
	if f := next(t, c); f.Agent != a.Agent() || f.Run != a.Run() {
		t.Errorf("what the first host spooled is now of %s/%s", f.Agent, f.Run)
	}
	if seq := add(t, c, "of the second"); seq != 1 {
		t.Errorf("the new agent begins at seq %d", seq)
	}
	if f := next(t, c); f.Agent != c.Agent() || f.Seq != 1 {
		t.Errorf("frame %+v", f)
	}
}

func TestAppendersShareSyncsAndSeqsHaveNoGaps(t *testing.T) {
	s := openDir(t, t.TempDir())
	defer s.Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]string{}
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				payload := fmt.Sprintf("%d/%d", g, i)
				seq, err := s.Append(context.Background(), call(payload))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen[seq] = payload
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for seq := uint64(1); seq <= 400; seq++ {
		if f := next(t, s); f.Seq != seq || string(f.Payload) != seen[seq] {
			t.Fatalf("frame %d %q, want %d %q", f.Seq, f.Payload, seq, seen[seq])
		}
	}
}

func TestATornPositionFallsBackToTheOneBefore(t *testing.T) {
	d := newDisk(rand.IntN)
	s, err := open(context.Background(), Config{MinFree: -1}, d.fileSystem())
	must(t, err)
	for i := range 4 {
		add(t, s, fmt.Sprint(i))
	}
	for range 3 {
		f := next(t, s)
		must(t, s.Commit(f.After(nil)))
	}
	must(t, s.Close())
	newest := d.files["position.0"] // generations 5 and 6 are the second and third commit
	newest.now[slotHeader+3] ^= 1
	s, err = open(context.Background(), Config{MinFree: -1}, d.fileSystem())
	must(t, err)
	defer s.Close()
	if got := drain(t, s); len(got) != 2 || got[0] != "2" {
		t.Errorf("read again: %q, want 2 and 3", got)
	}
}

func TestFullSpoolDropsTheOldestButNotWhatIsInFlight(t *testing.T) {
	s := openDir(t, t.TempDir(), func(c *Config) { c.MaxBytes = fixedBytes + 64<<10; c.SegmentBytes = 8 << 10 })
	defer s.Close()
	payload := strings.Repeat("x", 1000)
	add(t, s, "first"+payload)
	inFlight := next(t, s)
	for range 200 {
		add(t, s, payload)
	}
	stats := s.Stats()
	if stats.Bytes > 64<<10 {
		t.Errorf("%d bytes are spooled, the limit is %d", stats.Bytes, 64<<10)
	}
	if stats.Lost[DroppedOldest].Calls == 0 {
		t.Errorf("losses %+v", stats.Lost)
	}
	if f := next(t, s); f.Seq != 2 {
		t.Errorf("the segment in flight was dropped: next is %d", f.Seq)
	}
	must(t, s.Commit(inFlight.After(nil)))
	last := uint64(0)
	for s.Ready() {
		f := next(t, s)
		if f.Seq <= last {
			t.Fatalf("seq %d after %d", f.Seq, last)
		}
		last = f.Seq
	}
	if last != 201 {
		t.Errorf("the newest call is %d, want 201", last)
	}
}

func TestFullDiskIsTheCallersToKnow(t *testing.T) {
	d := newDisk(rand.IntN)
	s, err := open(context.Background(), Config{MinFree: -1}, d.fileSystem())
	must(t, err)
	defer s.Close()
	add(t, s, "before")
	d.full = true
	if _, err := s.Append(context.Background(), call(strings.Repeat("x", 5000))); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
	d.full = false
	if seq := add(t, s, "after"); seq != 3 {
		t.Errorf("seq %d: the dropped call's name was given again", seq)
	}
	if got := drain(t, s); strings.Join(got, " ") != "before after" {
		t.Errorf("came back: %q", got)
	}
	if lost := s.Stats().Lost; len(lost) != 1 || lost[DroppedNewest] != (Lost{1, 5000}) {
		t.Errorf("losses %+v", lost)
	}
}

// Little free space is kept for others: the oldest go before the disk is full.
func TestMinFreeIsKept(t *testing.T) {
	d := newDisk(rand.IntN)
	s, err := open(context.Background(), Config{MinFree: 1 << 20, SegmentBytes: 1 << 20}, d.fileSystem())
	must(t, err)
	defer s.Close()
	d.free = 100
	if _, err := s.Append(context.Background(), call("a")); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
}

// A file whose sync failed is never synced again: the calls go to a new one.
func TestAfterAFailedSyncNothingIsPromisedInThatFile(t *testing.T) {
	d := newDisk(func(int) int { return 2 }) // a cut leaves nothing that was not synced
	s, err := open(context.Background(), Config{MinFree: -1}, d.fileSystem())
	must(t, err)
	add(t, s, "a")
	d.failSyncs = 1
	add(t, s, "b")
	add(t, s, "c")
	d.cut()
	s, err = open(context.Background(), Config{MinFree: -1}, d.fileSystem())
	must(t, err)
	defer s.Close()
	if got := drain(t, s); strings.Join(got, "") != "abc" {
		t.Errorf("came back after the cut: %q", got)
	}
}

// Await ends with what there is to read, and not before.
func TestAwaitReturnsWithTheNextFrame(t *testing.T) {
	s := openDir(t, t.TempDir())
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with nothing to read it ended with %v", err)
	}
	var appending sync.WaitGroup
	defer appending.Wait()
	appending.Go(func() { add(t, s, "a") })
	must(t, s.Await(t.Context()))
	if f := next(t, s); string(f.Payload) != "a" {
		t.Errorf("read %q", f.Payload)
	}
}
