//go:build chaos || e2e

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// fenced is longer than a group waits for a member, and than a transaction may stay
// open: who stood still for so long has lost both.
const fenced = 22 * time.Second

// Promises 4 and 5 on a real cluster of three: enrichers are killed, stood still
// past their session and woken, started and stopped, while leaders, coordinators
// and a broker go and their writing is slowed. Every revision of every row comes out
// exactly once, what waits for nothing in the order of its host, and the last of each
// is that of a calm run.
func TestEnrichersLoseAndRepeatNothingWhateverDies(t *testing.T) {
	kafka := kafkatest.RealCluster(t, 3)
	binary := buildEnricher(t)
	for _, seed := range seeds(t, chaosSeeds(t, enricherSeeds)) {
		t.Run(fmt.Sprintf("SEED=%d", seed), func(t *testing.T) {
			t.Parallel() // most of it is waiting, and each disturbs the others too
			var disturbed *join
			kafka.Whole(func() {
				disturbed = newJoin(t, kafka, binary, fmt.Sprintf("chaos-%d", seed), fmt.Sprintf("rows-%d", seed))
			})
			disturbed.disturb(rand.New(rand.NewPCG(seed, 0)), 0)
			kafka.Whole(disturbed.asCalm)
		})
	}
}

// asCalm holds what came out against the rows, and against a run that nobody disturbs.
func (j *join) asCalm() {
	j.t.Helper()
	rows := kafkatest.Read(j.t, j.kafka.Addrs(), j.input)
	out := j.output()
	exactlyOnce(j.t, rows, out)
	calm := newJoin(j.t, j.kafka, j.binary, "calm-"+j.name, j.input)
	calm.run()
	sameRecords(j.t, out, calm.output())
}

// run takes all rows through one enricher that nobody disturbs.
func (j *join) run() {
	j.t.Helper()
	w := j.start()
	j.caughtUp()
	w.stop()
}

// disturb takes rows through enrichers while things happen, for at least so long, and
// returns when every row has been taken.
func (j *join) disturb(rng *rand.Rand, least time.Duration) {
	j.t.Helper()
	ctx, cancel := context.WithCancel(j.t.Context())
	var producing sync.WaitGroup
	stories, rows, perSecond := split(rng), rowsOfChaos, rowsPerSecond
	if least > 0 {
		rows, perSecond = int(least.Seconds())*longRowsPerSecond, longRowsPerSecond
	}
	producing.Go(func() { j.produce(ctx, stories, rows, perSecond) })
	defer producing.Wait()
	defer cancel()
	d := &disturbance{join: j, rng: rng, done: map[string]int{}}
	for range 2 + rng.IntN(3) {
		d.workers = append(d.workers, j.start())
	}
	pause(ctx, time.Duration(2000+rng.IntN(3000))*time.Millisecond)
	for began := time.Now(); ; d.restart = false {
		if d.havoc(ctx); time.Since(began) >= least {
			break
		}
	}
	producing.Wait()
	j.caughtUp()
	for _, w := range d.workers {
		w.stop()
	}
	j.t.Logf("%d rows, %d enrichers with %d starts, done to them: %v", rows, len(d.workers), j.starts.Load(), d.done)
}

// disturbance is what happens to a join.
type disturbance struct {
	*join
	rng     *rand.Rand
	workers []*worker
	done    map[string]int
	restart bool // whether a broker was already killed
}

// havoc does random things for as long as one enricher stands still, and a little
// longer.
func (d *disturbance) havoc(ctx context.Context) {
	d.t.Helper()
	frozen := d.workers[0]
	frozen.signal(syscall.SIGSTOP)
	for end := time.Now().Add(fenced + time.Duration(d.rng.IntN(3000))*time.Millisecond); time.Now().Before(end); {
		d.something(ctx)
		pause(ctx, time.Duration(500+d.rng.IntN(2000))*time.Millisecond)
	}
	frozen.signal(syscall.SIGCONT)
	for range 3 {
		d.something(ctx)
		pause(ctx, time.Duration(d.rng.IntN(2000))*time.Millisecond)
	}
}

// something happens. What cannot be done, since the cluster is busy with what was
// done before, is told and passed over.
func (d *disturbance) something(ctx context.Context) {
	d.t.Helper()
	what, do := "kill", func() error { d.victim().signal(syscall.SIGKILL); return nil }
	switch d.rng.IntN(10) {
	case 0, 1:
		what, do = "leaders", func() error { return d.kafka.MoveLeaders(ctx, d.topics()...) }
	case 2, 3:
		what, do = "coordinators", func() error { return d.kafka.MoveLeaders(ctx, "__consumer_offsets", "__transaction_state") }
	case 4:
		what, do = "quota", func() error { return d.slow(ctx) }
	case 5:
		what, do = "leave", func() error { d.victim().signal(syscall.SIGTERM); return nil } // and comes again
	case 6:
		if !d.restart {
			what, do = "broker", d.killBroker
		}
	}
	if err := do(); err != nil {
		d.t.Logf("%s: %v", what, err)
		return
	}
	d.done[what]++
}

// victim is any enricher but the one that stands still.
func (d *disturbance) victim() *worker { return d.workers[1+d.rng.IntN(len(d.workers)-1)] }

// slow bounds for a while what enrichers may write.
func (d *disturbance) slow(ctx context.Context) error {
	if err := d.kafka.Quota(ctx, d.name, bytesPerSecond/10); err != nil {
		return err
	}
	pause(ctx, time.Duration(1000+d.rng.IntN(2000))*time.Millisecond)
	return d.kafka.Quota(ctx, d.name, 0)
}

// killBroker takes away one of three, and brings it back.
func (d *disturbance) killBroker() error {
	d.restart = true
	d.kafka.Bounce(d.t, d.rng.IntN(len(d.kafka.Nodes)))
	return nil
}

// caughtUp returns when the group has committed every row of the input.
func (j *join) caughtUp() {
	j.t.Helper()
	for deadline := time.Now().Add(3 * patience); ; {
		lag, err := j.lag()
		if err == nil && lag == 0 {
			return
		}
		if time.Now().After(deadline) {
			j.t.Fatalf("%d rows are not taken: %v\n%s", lag, err, tail(j.words()))
		}
		pause(j.t.Context(), 200*time.Millisecond)
	}
}

func (j *join) lag() (n int64, err error) {
	ctx, cancel := context.WithTimeout(j.t.Context(), 10*time.Second)
	defer cancel()
	ends, err := j.admin.ListEndOffsets(ctx, j.input)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return -1, err
	}
	taken, err := j.admin.FetchOffsets(ctx, j.name)
	if err == nil {
		err = taken.Error()
	}
	ends.Each(func(end kadm.ListedOffset) {
		n += end.Offset
		if o, ok := taken.Lookup(j.input, end.Partition); ok {
			n -= o.At
		}
	})
	return n, err
}
