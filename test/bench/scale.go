package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// barScale is what a row may cost more where several processes share the work.
const barScale = 1.15

// scale measures what a row costs where one, two and four processes share the partitions.
func (b *bench) scale(ctx context.Context) error {
	s, stop, err := b.stream(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := s.createTopics(ctx); err != nil {
		return err
	}
	program, err := loggertest.BuildProgram(ctx, "./cmd/enricher", filepath.Join(s.dir, "enricher"))
	if err != nil {
		return err //nolint:wrapcheck // it says what
	}
	if err := s.produce(ctx, enricherWarm); err != nil {
		return err
	}
	costs := map[int]float64{}
	for _, n := range []int{1, 2, 4} {
		if costs[n], err = s.shared(ctx, program, n); err != nil {
			return err
		}
	}
	for _, n := range []int{2, 4} {
		b.table.atMost(fmt.Sprintf("CPU per row: %d processes / 1", n), fmt.Sprintf("%.2fx, %.1f us against %.1f us", costs[n]/costs[1], costs[n], costs[1]), costs[n]/costs[1], barScale)
	}
	return nil
}

// shared is the CPU for each row, in microseconds, of n enrichers in a group of their own.
func (s *streamBench) shared(ctx context.Context, program string, n int) (cpu float64, err error) {
	group, compact := fmt.Sprint("scale-", n), "compact"
	if _, err := kadm.NewClient(s.client).CreateTopic(ctx, enricherPartitions, 1, map[string]*string{"cleanup.policy": &compact}, group+".state"); err != nil {
		return 0, fmt.Errorf("state of %s: %w", group, err)
	}
	var all []*exec.Cmd
	defer func() {
		for _, cmd := range all {
			_ = cmd.Process.Signal(os.Interrupt)
			err = errors.Join(err, ended(cmd))
		}
	}()
	for i := range n {
		config := filepath.Join(s.dir, fmt.Sprintf("%s-%d.yaml", group, i))
		text := fmt.Sprintf("kafka: {brokers: [%s]}\ngroup: %s\ninputs: {results: [bench.results]}\nsessions: 1\nstate: {dir: %s}\nlog: {level: error}\n", s.addr, group, filepath.Join(s.dir, fmt.Sprint(group, i)))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return 0, fmt.Errorf("configuration: %w", err)
		}
		cmd := exec.CommandContext(ctx, program, "run", "--config", config)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return 0, fmt.Errorf("enricher: %w", err)
		}
		all = append(all, cmd)
	}
	if err := s.committed(ctx, group); err != nil {
		return 0, err
	}
	if err := s.settled(ctx, group, n); err != nil {
		return 0, err
	}
	return s.whileHeld(ctx, group, all)
}

// settled waits until n members share the partitions.
func (s *streamBench) settled(ctx context.Context, group string, n int) error {
	for {
		groups, err := kadm.NewClient(s.client).DescribeGroups(ctx, group)
		if g := groups[group]; err == nil && g.State == "Stable" && len(g.Members) == n && everyoneHas(g) {
			return sleep(ctx, time.Second)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func everyoneHas(g kadm.DescribedGroup) bool {
	for i := range g.Members {
		if a, ok := g.Members[i].Assigned.AsConsumer(); !ok || len(a.Topics) == 0 {
			return false
		}
	}
	return true
}

// whileHeld is what processes spend on each of the rows that come while they are held.
func (s *streamBench) whileHeld(ctx context.Context, group string, all []*exec.Cmd) (float64, error) {
	spent := func() (sum time.Duration, err error) {
		for _, cmd := range all {
			cpu, one := loggertest.CPU(cmd.Process.Pid)
			sum, err = sum+cpu, errors.Join(err, one)
		}
		return sum, err
	}
	for _, cmd := range all {
		_ = cmd.Process.Signal(syscall.SIGSTOP)
	}
	if err := s.produce(ctx, enricherRows/3); err != nil { // held for less than a session lasts
		return 0, err
	}
	before, err := spent()
	if err != nil {
		return 0, err
	}
	for _, cmd := range all {
		_ = cmd.Process.Signal(syscall.SIGCONT)
	}
	if err := s.committed(ctx, group); err != nil {
		return 0, err
	}
	after, err := spent()
	return (after - before).Seconds() * 1e6 / (enricherRows / 3), err
}
