package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/shipper"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kafka"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// intake holds the spool between the calls that come in and the shipping.
type intake struct {
	d *daemon
	// spool is nil while it cannot be opened; calls are then dropped and
	// counted, for osqueryd must be answered.
	spool   atomic.Pointer[spool.Spool]
	dropped atomic.Uint64
}

func newIntake(d *daemon) *intake {
	i := &intake{d: d}
	i.open(context.Background())
	return i
}

// open tries to open the spool.
func (i *intake) open(ctx context.Context) {
	s, err := i.d.openSpool(ctx)
	if err != nil {
		i.d.log.Error("calls are dropped until the spool opens", "dropped", i.dropped.Load(), "error", err)
		return
	}
	i.spool.Store(s)
	i.d.log.Info("spool open", "dir", i.d.spoolDir, "agent", s.Agent(), "run", s.Run(), "waiting_calls", s.Stats().Calls)
}

// accept makes a call durable. Its error is logged by the extension, which
// answers OK in any case.
func (i *intake) accept(ctx context.Context, c extension.Call) error {
	s := i.spool.Load()
	if s == nil {
		i.dropped.Add(1)
		return errors.New("call dropped: the spool is not open")
	}
	seq, err := s.Append(ctx, spool.Call{Stream: c.Stream, Type: c.Type, Payload: c.Payload})
	if err != nil {
		return fmt.Errorf("call %s/%s/%d dropped: %w", s.Agent(), s.Run(), seq, err)
	}
	return nil
}

func (i *intake) close() error {
	if s := i.spool.Load(); s != nil {
		return s.Close()
	}
	return nil
}

// retryEvery is the pause after a failure of our own disk.
const retryEvery = 5 * time.Second

// tellEvery is how often a state that ships nothing is told.
const tellEvery = time.Minute

// run opens the spool if it must and ships what is in it, until ctx ends.
func (i *intake) run(ctx context.Context) {
	for i.spool.Load() == nil {
		if !pause(ctx, retryEvery) {
			return
		}
		i.open(ctx)
	}
	if i.d.cfg == nil {
		i.waitForConfig(ctx)
		return
	}
	for {
		err := i.ship(ctx)
		if ctx.Err() != nil {
			return
		}
		i.d.log.Error("shipping stopped, it goes on from what is acknowledged", "in", retryEvery, "error", err)
		if !pause(ctx, retryEvery) {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// waitForConfig says once a minute why nothing is shipped.
func (i *intake) waitForConfig(ctx context.Context) {
	for {
		stats := i.spool.Load().Stats()
		i.d.log.Error("nothing is shipped: the configuration is wrong and there is no last good one", "waiting_calls", stats.Calls, "bytes", stats.Bytes, "error", i.d.wrong)
		if !pause(ctx, tellEvery) {
			return
		}
	}
}

// writeTimeout bounds one attempt to deliver a batch, so that a broker that is
// away is told of.
const writeTimeout = 90 * time.Second

// ship forwards from the committed position until ctx ends or our own disk
// fails.
func (i *intake) ship(ctx context.Context) (err error) {
	s, cfg, log := i.spool.Load(), i.d.cfg, i.d.log
	if err := s.Rewind(); err != nil {
		return err
	}
	connection, err := cfg.Kafka.Options(log)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	destination, err := kafka.New(kafka.Config{Options: connection, Compression: cfg.Compression, MaxRecordBytes: int(cfg.MaxRecordBytes)})
	if err != nil {
		return err
	}
	source := shipper.New(s, shipper.Config{
		Topics:     map[string]string{extension.StreamResults: cfg.Topics.Results, extension.StreamStatus: cfg.Topics.Status},
		DeadLetter: cfg.Topics.DeadLetter, Key: shipper.Key(cfg.Key), MaxRecordBytes: int(cfg.MaxRecordBytes),
		OsqueryVersion: osqueryVersion(ctx, i.d.socket, log),
		Attic:          &shipper.Attic{Dir: filepath.Join(i.d.spoolDir, "oversized"), MaxBytes: int64(cfg.Spool.OversizedMaxBytes)},
		Log:            log,
	})
	retrying := sink.Retry(sink.Timeout(destination, writeTimeout), sink.RetryConfig{Log: log, DeadLetter: source.Refused})
	defer func() { err = errors.Join(err, closeSink(ctx, retrying)) }()
	return sink.Forward(ctx, source, retrying)
}

func closeSink(ctx context.Context, s sink.Sink) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return s.Close(ctx)
}

// osqueryVersion asks osqueryd for its version when first wanted, and again until
// it answers.
func osqueryVersion(ctx context.Context, socket string, log *slog.Logger) func() string {
	known, asked := "", time.Time{}
	return func() string {
		if known != "" || time.Since(asked) < tellEvery {
			return known
		}
		asked = time.Now()
		version, err := extension.OsqueryVersion(ctx, socket)
		if err != nil {
			log.Warn("status rows go without osqueryd's version", "error", err)
		}
		known = version
		return known
	}
}
