//go:build chaos || e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// buildEnricher builds the real program.
func buildEnricher(t *testing.T) string {
	t.Helper()
	path, err := loggertest.BuildProgram(t.Context(), "./cmd/enricher", filepath.Join(t.TempDir(), "enricher"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// join is a consumer group of enrichers with its topics.
type join struct {
	t           *testing.T
	kafka       *kafkatest.Cluster
	admin       *kadm.Client
	binary      string
	dir, config string
	name, input string // the group, which is also the client's id; and its topic
	log         *os.File
	starts      atomic.Int32
	disks       int
}

// newJoin makes the topics as an operator does.
func newJoin(t *testing.T, kafka *kafkatest.Cluster, binary, name, input string) *join {
	t.Helper()
	j := &join{t: t, kafka: kafka, binary: binary, dir: t.TempDir(), name: name, input: input}
	j.admin = kadm.NewClient(kafkatest.Client(t, kafka.Addrs(), kgo.MetadataMinAge(100*time.Millisecond)))
	feeds, err := filepath.Abs("../../examples/feeds")
	must(t, err)
	j.config = filepath.Join(j.dir, "enricher.yaml")
	must(t, os.WriteFile(j.config, fmt.Appendf(nil, `kafka: {brokers: "${BROKERS}", client_id: %[1]s}
group: %[1]s
inputs: {results: [%[2]s]}
outputs: {enriched: %[1]s.enriched, findings: %[1]s.findings, deadletter: %[1]s.deadletter}
topics: {partitions: 6}
sessions: 2
state: {dir: "${DISK:-}"}
feeds: [{name: sample, path: %[3]s/sample.txt, confidence: 80, allow_private: true}]
`, name, input, feeds), 0o600))
	j.log, err = os.Create(filepath.Join(j.dir, "enricher.log"))
	must(t, err)
	t.Cleanup(func() {
		// Hundreds of seeds share a cluster. The input may be gone with another join's.
		_, _ = j.admin.DeleteTopics(context.Background(), j.topics()...)
		if t.Failed() {
			t.Logf("enrichers said:\n%s", tail(j.words()))
		}
		_ = j.log.Close()
	})
	apply := j.command(t.Context(), "", "topics", "apply", "--config", j.config)
	if err := apply.Run(); err != nil {
		t.Fatalf("topics: %v\n%s", err, j.words())
	}
	return j
}

// topics are all that the group reads and writes.
func (j *join) topics() []string {
	return []string{j.input, j.name + ".enriched", j.name + ".findings", j.name + ".deadletter", j.name + ".state", j.name + ".side"}
}

func (j *join) words() string {
	text, err := os.ReadFile(j.log.Name())
	must(j.t, err)
	return string(text)
}

// command is the real program, ended by SIGTERM when ctx ends.
func (j *join) command(ctx context.Context, disk string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, j.binary, args...)
	cmd.Env = append(os.Environ(), "DISK="+disk)
	if j.kafka != nil {
		cmd.Env = append(cmd.Env, "BROKERS="+strings.Join(j.kafka.Addrs(), ","))
	}
	cmd.Stdout, cmd.Stderr = j.log, j.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error {
		return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Process.Signal(syscall.SIGCONT))
	}
	cmd.WaitDelay = patience
	return cmd
}

// worker is one enricher, which is started again on its disk whenever it ends, as a
// service manager does. It is safe for concurrent use.
type worker struct {
	mu     sync.Mutex
	cmd    *exec.Cmd
	cancel context.CancelFunc
	kept   sync.WaitGroup
}

// start starts a worker, which is stopped with the test.
func (j *join) start() *worker {
	j.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{cancel: cancel}
	j.disks++
	disk := filepath.Join(j.dir, fmt.Sprint("disk-", j.disks))
	w.kept.Go(func() {
		// The kernel kills the program when the thread that started it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for ctx.Err() == nil {
			w.live(j, j.command(ctx, disk, "run", "--config", j.config))
			pause(ctx, time.Second)
		}
	})
	j.t.Cleanup(w.stop)
	return w
}

// live runs the program until it ends.
func (w *worker) live(j *join, cmd *exec.Cmd) {
	w.mu.Lock()
	err := cmd.Start()
	w.cmd = cmd
	w.mu.Unlock()
	if err != nil {
		j.t.Errorf("enricher: %v", err)
		return
	}
	j.starts.Add(1)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() > 0 {
		lines := strings.Split(strings.TrimSpace(j.words()), "\n")
		j.t.Logf("an enricher ended by itself: %v: %s", err, lines[len(lines)-1])
	}
}

// signal sends a signal to the program, if it runs at the moment.
func (w *worker) signal(sig syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cmd != nil && w.cmd.Process != nil {
		_ = w.cmd.Process.Signal(sig) // it may have ended
	}
}

// stop ends the program as an operator does, for good.
func (w *worker) stop() {
	w.cancel()
	w.kept.Wait()
}
