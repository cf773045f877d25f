package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/plugin/logger"
	"golang.org/x/sys/unix"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// floorVariable makes this program an extension that osqueryd starts: the least
// that a durable logger can do. It names the file for the calls.
const floorVariable = "BENCH_FLOOR"

// floorExtension takes osqueryd's calls with osquery's own library, and writes and
// syncs each before it answers. It does nothing else: no names, no reading back,
// no sending.
func floorExtension(path string, args []string) error {
	set := flag.NewFlagSet("floor", flag.ContinueOnError)
	socket := set.String("socket", "", "")
	for _, name := range []string{"config", "timeout", "interval"} {
		set.String(name, "", "")
	}
	set.Bool("verbose", false, "")
	if err := set.Parse(args); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	f, err := os.Create(path) //nolint:gosec // the path is the bench's own
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	server, err := osquery.NewExtensionManagerServer("stackjoin", *socket, osquery.ServerTimeout(30*time.Second))
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	server.RegisterPlugin(logger.NewPlugin("stackjoin", func(_ context.Context, _ logger.LogType, text string) error {
		if _, err := f.WriteString(text); err != nil {
			return err //nolint:wrapcheck // osqueryd is answered with it
		}
		return unix.Fdatasync(int(f.Fd())) //nolint:wrapcheck // as above
	}))
	return errors.Join(server.Run(), f.Close()) //nolint:wrapcheck // it says what
}

// floor measures that extension: CPU microseconds per row until it is durable.
func (b *bench) floor(ctx context.Context) (perRows float64, err error) {
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	h, err := loggertest.NewHost(program, filepath.Join(b.dir, "f"), "", "")
	if err != nil {
		return 0, err //nolint:wrapcheck // it says what
	}
	defer func() { err = errors.Join(err, h.Stop(), os.RemoveAll(filepath.Join(b.dir, "f"))) }()
	if err := h.Start(ctx, floorVariable+"="+filepath.Join(b.dir, "f", "calls")); err != nil {
		return 0, err //nolint:wrapcheck // it says what
	}
	m := &meter{host: h, calls: distinct()}
	var warm, costs []float64
	if err := m.step(func() error { return m.log(ctx, socketCalls/4) }, &warm); err != nil {
		return 0, err
	}
	if err := m.step(func() error { return m.log(ctx, socketCalls) }, &costs); err != nil {
		return 0, err
	}
	return costs[0], nil
}
