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

// barScale is what a row may cost more where several processes share the work
// (docs/decisions/2026-11-27-enricher-cpu.md).
const barScale = 1.15

// scale measures what a row costs where two and four processes share the partitions,
// beside as many that each have all partitions for themselves, in groups of their own: so
// many programs at once on this machine's cores and caches cost more each, whatever they
// do. What it is against one process with a core to spare is told beside it.
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
	alone, err := s.shared(ctx, program, []string{"alone"}, 1)
	if err != nil {
		return err
	}
	for _, n := range []int{2, 4} {
		var groups []string
		for i := range n {
			groups = append(groups, fmt.Sprintf("apart-%d-%d", n, i))
		}
		apart, err := s.shared(ctx, program, groups, 1)
		if err != nil {
			return err
		}
		shared, err := s.shared(ctx, program, []string{fmt.Sprint("shared-", n)}, n)
		if err != nil {
			return err
		}
		b.table.atMost(fmt.Sprintf("CPU per row: %d processes of one group / of %d", n, n), fmt.Sprintf("%.2fx, %.1f us against %.1f us", shared/apart, shared, apart), shared/apart, barScale)
		b.table.note("  beside one process alone", fmt.Sprintf("%.2fx, %.1f us", shared/alone, alone))
	}
	return nil
}

// shared is the CPU for each row that a group takes, in microseconds, of n enrichers in
// each of the groups.
func (s *streamBench) shared(ctx context.Context, program string, groups []string, n int) (cpu float64, err error) {
	var all []*exec.Cmd
	defer func() {
		for _, cmd := range all {
			_ = cmd.Process.Signal(os.Interrupt)
			err = errors.Join(err, ended(cmd))
		}
	}()
	for _, group := range groups {
		started, err := s.members(ctx, program, group, n)
		all = append(all, started...)
		if err != nil {
			return 0, err
		}
	}
	for _, group := range groups {
		if err := errors.Join(s.committed(ctx, group), s.settled(ctx, group, n)); err != nil {
			return 0, err
		}
	}
	return s.whileHeld(ctx, groups, all)
}

// members starts n enrichers of a group.
func (s *streamBench) members(ctx context.Context, program, group string, n int) (all []*exec.Cmd, err error) {
	compact := "compact"
	if _, err := kadm.NewClient(s.client).CreateTopic(ctx, enricherPartitions, 1, map[string]*string{"cleanup.policy": &compact}, group+".state"); err != nil {
		return nil, fmt.Errorf("state of %s: %w", group, err)
	}
	for i := range n {
		config := filepath.Join(s.dir, fmt.Sprintf("%s-%d.yaml", group, i))
		text := fmt.Sprintf("kafka: {brokers: [%s]}\ngroup: %s\ninputs: {results: [bench.results]}\nsessions: 1\nstate: {dir: %s}\nlog: {level: error}\n", s.addr, group, filepath.Join(s.dir, fmt.Sprint(group, i)))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return all, fmt.Errorf("configuration: %w", err)
		}
		cmd := exec.CommandContext(ctx, program, "run", "--config", config)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return all, fmt.Errorf("enricher: %w", err)
		}
		all = append(all, cmd)
	}
	return all, nil
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

// whileHeld is what processes spend on each of the rows that come while they are held, and
// that each of their groups takes.
func (s *streamBench) whileHeld(ctx context.Context, groups []string, all []*exec.Cmd) (float64, error) {
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
	for _, group := range groups {
		if err := s.committed(ctx, group); err != nil {
			return 0, err
		}
	}
	after, err := spent()
	return (after - before).Seconds() * 1e6 / float64(len(groups)*enricherRows/3), err
}
