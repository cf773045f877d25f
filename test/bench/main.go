// Command bench measures logger-ext, its spool, the index of indicators and what the
// enricher does and keeps beside what else could do the work, in one run and in turns,
// and prints ratios with the bar that each must keep. It is a module of its own, so that
// nobody else needs its peers.
//
// It must never compare numbers of two runs: the machine changes between them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

func main() {
	if path := os.Getenv(floorVariable); path != "" {
		if err := floorExtension(path, os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %v\n", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// run measures the parts named, all by default. A first argument of "child" makes
// it one of the processes that are measured.
func run(ctx context.Context, args []string) error {
	if len(args) > 1 && args[0] == "child" {
		return child(ctx, args[1], args[2:])
	}
	b, err := newBench(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"footprint", b.footprint}, {"giant", b.giant}, {"spool", b.spool}, {"socket", b.socket}, {"latency", b.latency}, {"connections", b.connections}, {"index", b.index}, {"state", b.state}, {"enricher", b.enricher}, {"trail", b.trail}, {"fresh", b.fresh}, {"recovery", b.recovery}, {"scale", b.scale},
	} {
		if len(args) > 0 && !slices.Contains(args, part.name) {
			continue
		}
		if err := part.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return b.table.verdict()
}

// bench is what the parts share.
type bench struct {
	dir     string // for everything, on the disk that is measured
	program string // logger-ext
	long    bool
	table   table
}

func newBench(ctx context.Context) (*bench, error) {
	dir, err := os.MkdirTemp("", "sjb")
	if err != nil {
		return nil, fmt.Errorf("a folder to work in: %w", err)
	}
	b := &bench{dir: dir, long: os.Getenv("BENCH_LONG") != "", table: table{out: os.Stdout}}
	if b.program = os.Getenv("BENCH_PROGRAM"); b.program == "" { // another build of logger-ext, to compare or profile
		b.program, err = loggertest.Build(ctx, dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) } // a temporary folder
