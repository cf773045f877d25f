//go:build e2e

package kinesis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// facts is a site whose consumers keep facts, which are numbers here, and what ought to
// be known.
type facts struct {
	*site
	want    map[string]int
	deleted []string
	gone    map[string]bool // deleted, and seen to be
}

func newFacts(t *testing.T) *facts {
	t.Helper()
	f := &facts{site: newSite(t, 1), want: map[string]int{}, gone: map[string]bool{}}
	f.build = func(_ stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
		p := enrich.NewPipeline(nil, nil, nil)
		p.Route(route.NewArchive(state(route.ArchiveState)))
		return p, nil
	}
	return f
}

// state states facts, of which one in three is deleted.
func (f *facts) state(from, to, n int) {
	f.t.Helper()
	for i := from; i < to; i++ {
		key := fmt.Sprint("key", i)
		if i%3 == 2 {
			value, err := owner.Deletion(key)
			must(f.t, err)
			f.put(key, value)
			delete(f.want, key)
			f.deleted = append(f.deleted, key)
			continue
		}
		f.put(key, fmt.Appendf(nil, `{"kind":"number","key":%q,"n":%d}`, key, n))
		f.want[key] = n
		delete(f.gone, key)
	}
}

// table is what a process knows.
type table struct {
	mu    sync.Mutex
	known map[string]int
	taken int
}

func (k *table) take(value []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken++
	if key, err := owner.Deleted(value); err == nil && key != "" {
		delete(k.known, key)
		return nil
	}
	var v struct {
		Key string
		N   int
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	k.known[v.Key] = v.N
	return nil
}

func (k *table) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.taken
}

func (f *facts) kept() (*table, map[string]lease.Checkpoint, error) {
	k, cfg := &table{known: map[string]int{}}, f.config("reader")
	at, err := kinesis.Kept(f.t.Context(), &cfg, route.ArchiveState, k.take)
	return k, at, err
}

// await waits until what is kept is what is wanted, and sees that nothing comes back that
// was deleted.
func (f *facts) await() {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		k, _, err := f.kept()
		must(f.t, err)
		for key := range f.gone {
			if _, there := k.known[key]; there {
				f.t.Fatalf("%s is back", key)
			}
		}
		if maps.Equal(k.known, f.want) {
			for _, key := range f.deleted {
				f.gone[key] = true
			}
			f.deleted = nil
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("kept is %v, want %v", k.known, f.want)
		}
	}
}

// What consumers keep of a stream is there for others, the newest of each key and nothing
// that was deleted, through splits and merges and changes of owners; and a follower goes on
// from it without reading the stream again.
func TestWhatIsKeptOfAStreamIsWholeThroughSplits(t *testing.T) {
	f := newFacts(t)
	f.state(0, 60, 1)
	f.put("none", []byte("no fact"))
	for i := range 20 { // which the children will be told to forget
		f.put(fmt.Sprint("key", 3*i+2), fmt.Appendf(nil, `{"kind":"number","key":"key%d","n":7}`, 3*i+2))
		f.want[fmt.Sprint("key", 3*i+2)] = 7
	}
	f.deleted = nil
	stop := f.consume("a")
	f.await()
	f.split()
	f.state(0, 30, 2)
	f.await()
	f.merge()
	stop()
	f.state(20, 50, 3)
	f.consume("b")
	f.await()

	follows, whole := &table{known: map[string]int{}}, make(chan struct{})
	follower := kinesis.Follower{
		Client: f.client, Stream: f.stream, Poll: 250 * time.Millisecond, Log: f.config("").Log, Take: follows.take, Whole: func() { close(whole) },
		Kept: func(context.Context) (map[string]lease.Checkpoint, error) {
			if follows.count() == 0 { // the first time it fails
				return nil, errors.Join(follows.take([]byte(`{"kind":"number","key":"key0","n":3}`)), errors.New("away"))
			}
			k, at, err := f.kept()
			follows.known = k.known
			return at, err
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { follower.Run(ctx) })
	defer done.Wait()
	defer cancel()
	<-whole
	if n := follows.count(); n != 1 {
		t.Errorf("%d records were read again", n-1)
	}
	f.state(55, 59, 4)
	for deadline := time.Now().Add(patience); follows.count() < 5; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what came later was not followed")
		}
	}
	cancel()
	done.Wait()
	if !maps.Equal(follows.known, f.want) {
		t.Errorf("known is %v, want %v", follows.known, f.want)
	}
}

// Where what was kept is lost or damaged, that is told, and the stream is read instead.
func TestWhatWasKeptAndIsLostIsReadFromTheStream(t *testing.T) {
	f := newFacts(t)
	f.state(0, 10, 1)
	stop := f.consume("a")
	f.await()
	stop()
	f.journal = t.TempDir()
	k, at, err := f.kept()
	must(t, err)
	if len(k.known) > 0 || len(at) > 0 {
		t.Errorf("%v, %v", k.known, at)
	}
	if !bytes.Contains(f.logs.Bytes(), []byte("read from its start")) {
		t.Errorf("it is not told: %s", f.logs.String())
	}
	whole, follows := make(chan struct{}), &table{known: map[string]int{}}
	follower := kinesis.Follower{
		Client: kinesistest.Client(t, f.endpoint), Stream: f.stream, Poll: 250 * time.Millisecond, Log: f.config("").Log, Take: follows.take,
		Whole: func() { close(whole) }, Kept: func(context.Context) (map[string]lease.Checkpoint, error) { return at, nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { follower.Run(ctx) })
	<-whole
	cancel()
	done.Wait()
	if !maps.Equal(follows.known, f.want) {
		t.Errorf("known is %v, want %v", follows.known, f.want)
	}
}
