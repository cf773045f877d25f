package stream_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// enricher is a process of its own. It is safe for concurrent use.
type enricher struct {
	cmd *exec.Cmd
	log strings.Builder
	end sync.Once
}

func start(t *testing.T, c *kfake.Cluster, dir string, env ...string) *enricher {
	t.Helper()
	e := &enricher{cmd: exec.Command(os.Args[0])}
	e.cmd.Env = append(os.Environ(), append(env, childBrokers+"="+strings.Join(c.ListenAddrs(), ","), childDir+"="+dir)...)
	e.cmd.Stderr = &e.log
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() { // one that hangs says where
			_ = e.cmd.Process.Signal(syscall.SIGQUIT)
			time.Sleep(time.Second)
		}
		e.kill()
		e.wait()
		if t.Failed() {
			t.Logf("enricher said:\n%s", e.log.String())
		}
	})
	return e
}

func (e *enricher) kill() { _ = e.cmd.Process.Kill() }
func (e *enricher) wait() { e.end.Do(func() { _ = e.cmd.Wait() }) }

// Promise 5: a process is killed in the middle of a transaction, at each of its
// steps, before the broker did what it was asked and after. What the next process
// makes of disk and topics gives the output of a single calm run.
func TestAKillAtAnyStepChangesNothing(t *testing.T) {
	for name, key := range map[string]kmsg.Key{
		"produce": kmsg.Produce, "offsets": kmsg.TxnOffsetCommit, "end": kmsg.EndTxn, "mark": kmsg.OffsetCommit,
	} {
		for when, done := range map[string]bool{"before": false, "after": true} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				killAt(t, key, done)
			})
		}
	}
}

func killAt(t *testing.T, key kmsg.Key, done bool) {
	c, cfg := cluster(t)
	dir := t.TempDir()
	const hosts, rows = 4, 90
	produce(t, cfg, hosts, 0, rows/3)
	first := start(t, c, dir)
	checkCounts(t, cfg, hosts, rows/3) // committed, and in the local store
	first.kill()
	first.wait()

	second := make(chan *enricher, 1)
	var killed atomic.Bool
	c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if p, ok := req.(*kmsg.ProduceRequest); killed.Load() || ok && p.TransactionID == nil { // the test's own
			return nil, nil, false
		}
		killed.Store(true) // before the one who waits for its end sees it
		(<-second).kill()
		if done {
			return nil, nil, false
		}
		return nil, errors.New("the process was killed"), true
	})
	e := start(t, c, dir)
	second <- e
	produce(t, cfg, hosts, rows/3, 2*rows/3)
	e.wait()
	if !killed.Load() {
		t.Fatal("nobody was killed: the test shows nothing")
	}
	start(t, c, dir)
	produce(t, cfg, hosts, 2*rows/3, rows)
	checkCounts(t, cfg, hosts, rows)
}

// dying makes a job whose process ends in the middle of a row with this text.
func dying(job stream.Job, text string) stream.Job {
	job.Build = func(_ stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
		op := &counter{state("counter"), map[enrich.Host]uint64{}}
		return enrich.NewPipeline(event.NewLenses(), []enrich.Operator{op}, []enrich.Enricher{deadly(text)}), nil
	}
	return job
}

type deadly string

func (deadly) Name() string { return "deadly" }

func (d deadly) Enrich(_ context.Context, e *enrich.Event) error {
	if column, _ := e.Column("n"); column.Text() == string(d) {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	return nil
}
