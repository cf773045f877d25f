package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/loggertest"
	"github.com/stackjoin/stackjoin/internal/trailtest"
)

// What CloudTrail costs beside endpoints' rows.
const (
	trailFor   = 20 * time.Second
	trailRows  = 1000 // rows of endpoints a second, all along
	trailStory = "../../pkg/enrich/cloudtrail/testdata/story.json"
	trailInput = "bench.trail"
	// barTrail is in copies of the same records: docs/decisions/2026-11-27-cloudtrail-cpu.md.
	barTrail = 13
)

// trail measures what 5,000 records of CloudTrail a second cost the enricher beside a
// stream of rows, the CPU that it spends more than on the rows alone in as much time,
// against a client that copies the records.
func (b *bench) trail(ctx context.Context) (err error) {
	s, stopStream, err := b.stream(ctx)
	if err != nil {
		return err
	}
	defer stopStream()
	t := &trailBench{*s, nil}
	cmd, err := t.start(ctx)
	if err != nil {
		return err
	}
	stop := func() error {
		_ = cmd.Process.Signal(os.Interrupt)
		return ended(cmd)
	}
	defer func() { err = errors.Join(err, stop()) }()
	groups := map[string]string{"bench": "bench.results", "bench.route": trailInput}
	if _, err := t.spent(ctx, cmd, trailtest.Rate, groups); err != nil { // warm
		return err
	}
	alone, err := t.spent(ctx, cmd, 0, groups)
	if err != nil {
		return err
	}
	both, err := t.spent(ctx, cmd, trailtest.Rate, groups)
	if err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	cmd = self(ctx, "copier", t.addr, "plain", trailInput)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("copier: %w", err)
	}
	groups = map[string]string{"copier-plain": trailInput}
	if err := t.reached(ctx, "copier-plain", trailInput); err != nil {
		return err
	}
	copied, err := t.spent(ctx, cmd, trailtest.Rate, groups)
	if err != nil {
		return err
	}
	core := func(spent time.Duration) float64 { return 100 * spent.Seconds() / trailFor.Seconds() }
	times := (both - alone).Seconds() / copied.Seconds()
	b.table.atMost(fmt.Sprintf("CloudTrail, %d records/s / copy: CPU", trailtest.Rate), fmt.Sprintf("%.1fx, %.1f %% of a core against %.1f %%", times, core(both-alone), core(copied)), times, barTrail)
	b.table.note(fmt.Sprintf("  beside %d rows/s", trailRows), fmt.Sprintf("%.1f %% with CloudTrail, %.1f %% without", core(both), core(alone)))
	return nil
}

// trailBench is a broker with rows and records of CloudTrail in it.
type trailBench struct {
	streamBench
	records [][]byte // to come
}

// start runs an enricher that reads both.
func (t *trailBench) start(ctx context.Context) (*exec.Cmd, error) {
	text, err := os.ReadFile(trailStory)
	if err != nil {
		return nil, fmt.Errorf("records of CloudTrail (run in test/bench): %w", err)
	}
	if t.records, err = trailtest.Records(text, 3*trailtest.Rate*int(trailFor.Seconds()), time.Now()); err != nil {
		return nil, err //nolint:wrapcheck // it says what
	}
	program, err := loggertest.BuildProgram(ctx, "./cmd/enricher", filepath.Join(t.dir, "enricher"))
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what
	}
	feed := filepath.Join(t.dir, "feed.txt")
	if err := writeFile(feed, func(w *bufio.Writer) { writeAddresses(w, enricherIndicators, 1) }); err != nil {
		return nil, err
	}
	config := filepath.Join(t.dir, "trail.yaml")
	settings := fmt.Sprintf("kafka: {brokers: [%s]}\ngroup: bench\ninputs: {results: [bench.results], cloudtrail: [%s]}\nsessions: 1\nstate: {dir: %s}\nfeeds: [{name: bench, path: %s}]\nlog: {level: warn}\n",
		t.addr, trailInput, filepath.Join(t.dir, "trailstate"), feed)
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if _, err := kadm.NewClient(t.client).CreateTopics(ctx, enricherPartitions, 1, nil, "bench.results", trailInput, copyTopic); err != nil {
		return nil, fmt.Errorf("topics: %w", err)
	}
	if out, err := exec.CommandContext(ctx, program, "topics", "apply", "--config", config).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("enricher topics apply: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, program, "run", "--config", config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("enricher: %w", err)
	}
	return cmd, nil
}

// spent is the CPU of a process for rows and so many records a second, until the groups
// have committed all of their topics.
func (t *trailBench) spent(ctx context.Context, cmd *exec.Cmd, rate int, groups map[string]string) (time.Duration, error) {
	before, err := loggertest.CPU(cmd.Process.Pid)
	if err != nil {
		return 0, err //nolint:wrapcheck // it says what
	}
	const steps = 20 // a second
	began := time.Now()
	for step := range steps * int(trailFor.Seconds()) {
		records := make([]*kgo.Record, 0, (trailRows+rate)/steps)
		for range trailRows / steps {
			key, value := t.rows.next()
			records = append(records, &kgo.Record{Topic: "bench.results", Key: key, Value: value})
		}
		n := rate / steps
		for i, one := range t.records[:n] {
			records = append(records, &kgo.Record{Topic: trailInput, Key: fmt.Appendf(nil, "%d", step*n+i), Value: one})
		}
		t.records = t.records[n:]
		t.total += int64(trailRows / steps)
		if err := produce(ctx, t.client, records); err != nil {
			return 0, err
		}
		if err := sleep(ctx, time.Until(began.Add(time.Duration(step+1)*time.Second/steps))); err != nil {
			return 0, err
		}
	}
	for group, topic := range groups {
		if err := t.reached(ctx, group, topic); err != nil {
			return 0, err
		}
	}
	after, err := loggertest.CPU(cmd.Process.Pid)
	return after - before, err //nolint:wrapcheck // it says what
}

// reached waits until a group has committed all of a topic.
func (t *trailBench) reached(ctx context.Context, group, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	admin := kadm.NewClient(t.client)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("end of %s: %w", topic, err)
	}
	for {
		left := int64(0)
		offsets, err := admin.FetchOffsets(ctx, group)
		ends.Each(func(o kadm.ListedOffset) {
			at, _ := offsets.Lookup(topic, o.Partition)
			left += max(0, o.Offset-max(0, at.At))
		})
		if err == nil && left == 0 {
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("group %s has %d records of %s to go: %w", group, left, topic, err)
		}
	}
}
