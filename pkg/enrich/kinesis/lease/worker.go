package lease

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Config is what a Worker needs to know.
type Config struct {
	Table *Table
	// Name is this worker's own, different at each start.
	Name string
	// Period is how long a lease stands still before others take it for that of
	// somebody who died. 10 s by default.
	Period time.Duration
	// Start is where shards are read from that are there when the table is made:
	// TrimHorizon (the default) or Latest. Shards that come later are read whole.
	Start string
	// Shards lists the stream's shards, those too that take no more records.
	Shards func(ctx context.Context) ([]Shard, error)
	// Work reads a shard until ctx ends, the lease is asked for, or the shard has
	// ended. Of the context's causes, ErrLost says that nothing of the shard may be
	// touched any more. An error is told, and the shard read again after a pause.
	Work func(ctx context.Context, h *Held) error
	// Forget, when set, removes what was kept of a shard that Kinesis no longer
	// has, before its lease goes.
	Forget func(ctx context.Context, l *Lease) error
	Log    *slog.Logger
}

const (
	defaultPeriod = 10 * time.Second
	// syncEvery is how often the stream is asked for its shards, at least.
	syncEvery = 30 * time.Second
)

// Worker is one of the processes that divide a stream. Run starts it.
type Worker struct {
	cfg Config

	// Of the planning goroutine.
	seen   map[string]sighting
	listed map[string]bool
	synced time.Time

	mu    sync.Mutex
	held  map[string]*Held
	pause map[string]time.Time // shards whose work failed, until when
	ended bool                 // a shard ended since the last look at the stream
	wake  chan struct{}
}

// sighting is a lease's counter and when it was first seen to be that.
type sighting struct {
	counter int64
	at      time.Time
}

// Run takes its share of the leases and has Work read the shards, until ctx ends. It
// then gives up all it holds, so that others need not wait, and returns when nothing
// of it runs any more. It never returns an error: what fails is told and tried again.
func Run(ctx context.Context, cfg Config) {
	if cfg.Period <= 0 {
		cfg.Period = defaultPeriod
	}
	if cfg.Start == "" {
		cfg.Start = TrimHorizon
	}
	w := &Worker{cfg: cfg, seen: map[string]sighting{}, held: map[string]*Held{}, pause: map[string]time.Time{}, wake: make(chan struct{}, 1)}
	// Leases are renewed for as long as work is under way, also after ctx has ended.
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var renewer, work sync.WaitGroup
	renewer.Go(func() { w.renewAll(renewing) })
	for w.round(ctx, &work); w.wait(ctx); w.round(ctx, &work) {
	}
	work.Wait()
	stop()
	renewer.Wait()
}

// wait waits for the next round. It is false when ctx has ended.
func (w *Worker) wait(ctx context.Context) bool {
	timer := time.NewTimer(w.cfg.Period/4 + rand.N(w.cfg.Period/8+1)) //nolint:gosec // jitter is no secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-w.wake:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// rouse has the next round come at once.
func (w *Worker) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// round looks at all leases, takes what it should, and starts reading.
func (w *Worker) round(ctx context.Context, work *sync.WaitGroup) {
	leases, err := w.look(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.cfg.Log.Error("leases not read, will try again", "error", err)
		}
		return
	}
	byKey := map[string]*Lease{}
	for _, l := range leases {
		byKey[l.Key] = l
	}
	var open []*Lease
	for _, l := range leases {
		if !l.Ended() && begun(l, byKey, w.listed) && !w.paused(l.Key) {
			open = append(open, l)
		}
	}
	for _, l := range open {
		if l.Owner == w.cfg.Name && l.Finishing == "" && !w.holds(l.Key) {
			w.start(ctx, work, l) // asked for earlier, and given up by now
		}
	}
	p := makePlan(w.cfg.Name, open, w.expired)
	for _, l := range p.take {
		if w.holds(l.Key) {
			continue // it is only just lost
		}
		if taken, err := w.cfg.Table.take(ctx, l, w.cfg.Name); w.told("take", l, err) {
			w.start(ctx, work, taken)
		}
	}
	for _, l := range p.ask {
		_, err := w.cfg.Table.ask(ctx, l, w.cfg.Name)
		w.told("ask for", l, err)
	}
}

// told tells what went wrong, unless another was faster. It is true when nothing did.
func (w *Worker) told(doing string, l *Lease, err error) bool {
	if err != nil && !errors.Is(err, ErrLost) {
		w.cfg.Log.Error("could not "+doing+" a lease, will try again", "shard", l.Key, "error", err)
	}
	return err == nil
}

// look reads the table, after it was brought up to date where that is due.
func (w *Worker) look(ctx context.Context) ([]*Lease, error) {
	leases, err := w.cfg.Table.All(ctx)
	if err == nil && (w.takeEnded() || time.Since(w.synced) >= syncEvery) {
		if err = w.sync(ctx, leases); err == nil {
			w.synced = time.Now()
			leases, err = w.cfg.Table.All(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	now, seen := time.Now(), make(map[string]sighting, len(leases))
	for _, l := range leases {
		s, known := w.seen[l.Key]
		if !known || s.counter != l.Counter {
			s = sighting{l.Counter, now}
		}
		seen[l.Key] = s
	}
	w.seen = seen
	return leases, nil
}

// takeEnded tells whether a shard ended since it was last asked.
func (w *Worker) takeEnded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ended := w.ended
	w.ended = false
	return ended
}

func (w *Worker) expired(l *Lease) bool { return time.Since(w.seen[l.Key].at) >= w.cfg.Period }

func (w *Worker) holds(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held[key] != nil
}

func (w *Worker) paused(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.pause[key])
}

// start has the shard read, by a goroutine of its own that Run waits for.
func (w *Worker) start(ctx context.Context, work *sync.WaitGroup, l *Lease) {
	began := time.Now()
	ours, err := w.cfg.Table.renew(ctx, l.Key, w.cfg.Name) // as it is now, and known to be ours
	if !w.told("begin with", l, err) {
		return // it is still ours in the table: the next round tries again
	}
	holding, stop := context.WithCancelCause(ctx)
	h := &Held{
		Lease: *ours, table: w.cfg.Table, me: w.cfg.Name, period: w.cfg.Period, log: w.cfg.Log.Warn, now: time.Now,
		renewed: began, stop: stop, asked: make(chan struct{}), lost: make(chan struct{}),
	}
	w.mu.Lock()
	w.held[l.Key] = h
	w.mu.Unlock()
	w.cfg.Log.Info("lease taken", "shard", ours.Key, "checkpoint", ours.Sequence, "sub", ours.Sub)
	work.Go(func() {
		defer stop(nil)
		w.finish(context.WithoutCancel(ctx), h, w.cfg.Work(holding, h))
	})
}

// finish gives the lease up.
func (w *Worker) finish(ctx context.Context, h *Held, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Period)
	defer cancel()
	lost := errors.Is(err, ErrLost)
	select {
	case <-h.Lost():
		lost = true
	default:
	}
	switch {
	case lost:
		w.cfg.Log.Warn("lease lost", "shard", h.Key)
	case err != nil && !errors.Is(err, context.Canceled):
		w.cfg.Log.Error("shard not read, will try again", "shard", h.Key, "error", err)
	}
	if !lost {
		if err := w.cfg.Table.release(ctx, h.Key, h.me); err != nil && !errors.Is(err, ErrLost) {
			w.cfg.Log.Warn("lease not given up, others take it when it stands still", "shard", h.Key, "error", err)
		}
		w.cfg.Log.Info("lease given up", "shard", h.Key, "ended", h.Ended())
	}
	w.mu.Lock()
	delete(w.held, h.Key)
	if err != nil {
		w.pause[h.Key] = time.Now().Add(w.cfg.Period / 2)
	}
	w.ended = w.ended || h.Ended()
	w.mu.Unlock()
	if h.Ended() {
		w.rouse() // its children may begin
	}
}

// renewAll renews every lease held, three times a period, each by itself: one that
// DynamoDB is slow with keeps no other waiting.
func (w *Worker) renewAll(ctx context.Context) {
	tick := time.NewTicker(w.cfg.Period / 3)
	defer tick.Stop()
	var renewals sync.WaitGroup
	defer renewals.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		for _, h := range w.held {
			h.overdue()
			renewals.Go(func() {
				within, cancel := context.WithTimeout(ctx, w.cfg.Period/3)
				defer cancel()
				h.renew(within)
			})
		}
		w.mu.Unlock()
	}
}
