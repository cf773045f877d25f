package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/loggertest"
)

// withHost runs work with a broker and a host that ships to it. text is more of
// logger-ext's configuration.
func (b *bench) withHost(ctx context.Context, text string, work func(*loggertest.Host, *broker) error) (err error) {
	br, err := startBroker(ctx)
	if err != nil {
		return err
	}
	defer br.stop()
	return b.hostOn(ctx, b.program, "brokers: ["+br.addr+"]", text, func(h *loggertest.Host) error { return work(h, br) })
}

// hostOn runs work with a host that has program in logger-ext's place, and kafka
// and text in its configuration.
func (b *bench) hostOn(ctx context.Context, program, kafka, text string, work func(*loggertest.Host) error) (err error) {
	h, err := loggertest.NewHost(program, filepath.Join(b.dir, "h"), kafka, text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Stop(), os.RemoveAll(filepath.Join(b.dir, "h"))) }()
	// BENCH_ENV="GOGC=50 GOMEMLIMIT=32MiB" tries settings on logger-ext alone.
	if err := h.Start(ctx, strings.Fields(os.Getenv("BENCH_ENV"))...); err != nil {
		return err
	}
	return work(h)
}

// awaitRecords waits until a topic holds n records.
func awaitRecords(ctx context.Context, addr, topic string, n int64) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return fmt.Errorf("look at the broker: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
		if err != nil {
			return fmt.Errorf("wait for %d records: %w", n, err)
		}
		if o, ok := ends.Lookup(topic, 0); ok && o.Offset >= n {
			return nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("wait for %d records: %w", n, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
