package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/loggerconf"
	"github.com/stackjoin/stackjoin/internal/loggerstat"
	"github.com/stackjoin/stackjoin/internal/pace"
	"github.com/stackjoin/stackjoin/internal/shipper"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/firehose"
	"github.com/stackjoin/stackjoin/pkg/sink/kafka"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
	"github.com/stackjoin/stackjoin/pkg/sink/spool"
)

// tellEvery is how often a state that ships nothing is told.
const tellEvery = time.Minute

// writeTimeout bounds one attempt to deliver a batch, so that a broker that is
// away is told of.
const writeTimeout = 30 * time.Second

// ship sends what is spooled, with the settings of the moment, until ctx ends.
func (i *intake) ship(ctx context.Context) {
	for ctx.Err() == nil {
		s, set := i.spool.Load(), i.d.settings.Load()
		switch {
		case s == nil:
			pause(ctx, lockEvery)
		case set.cfg == nil:
			i.waitForConfig(ctx, s, set)
		default:
			i.shipWith(ctx, s, set)
		}
	}
}

// waitForConfig says once a minute why nothing is shipped, until that changes.
func (i *intake) waitForConfig(ctx context.Context, s *spool.Spool, set *settings) {
	stats := s.Stats()
	i.d.stat.shipping(loggerstat.ShippingOff, set.wrong)
	i.d.log.Error("nothing is shipped: the configuration is wrong and there is no last good one",
		"waiting_calls", stats.Calls, "bytes", stats.Bytes, "error", set.wrong)
	select {
	case <-ctx.Done():
	case <-i.d.changed:
	case <-time.After(tellEvery):
	}
}

// letGo is how long a batch that is under way when the settings change has to end
// by itself: an unreachable broker may be why they changed.
const letGo = 2 * time.Second

// shipWith sends with these settings until they change, ctx ends, or our own disk
// fails.
func (i *intake) shipWith(ctx context.Context, s *spool.Spool, set *settings) {
	s.SetLimits(int64(set.limits.MaxBytes), set.limits.FreeBytes(), policy(set.limits.WhenFull))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- i.forward(ctx, reading, s, set) }()
	var err error
	select {
	case err = <-ended:
	case <-i.d.changed:
		stop()
		timer := time.AfterFunc(letGo, cancel)
		err = <-ended
		timer.Stop()
		if err == nil || ctx.Err() != nil {
			return
		}
	}
	if ctx.Err() != nil || err == nil {
		return
	}
	i.d.stat.failed(err)
	i.d.stat.shipping(loggerstat.ShippingOff, err)
	i.d.log.Error("shipping stopped, it goes on from what is acknowledged", "in", recoverEvery, "error", err)
	pause(ctx, recoverEvery)
}

// forward moves what is spooled to the destination. It ends with nil when reading
// does, after the batch under way.
func (i *intake) forward(ctx, reading context.Context, s *spool.Spool, set *settings) (err error) {
	if err := s.Rewind(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	destination, err := i.destination(set.cfg)
	if err != nil {
		return err
	}
	cfg := set.cfg
	calls := shipper.New(s, i.shipperConfig(ctx, set))
	source := pace.New(calls, pace.Config{
		MaxCPU: cfg.Shipping.MaxCPU / 100, MaxDelay: cfg.Shipping.MaxDelay.Std(), BytesPerSecond: int64(cfg.Shipping.DrainRate),
		Backlog: func() int64 { return s.Stats().WaitingBytes }, CPU: pace.ProcessCPU,
		Await: calls.Await,
	})
	retrying := sink.Retry(i.d.stat.meter(sink.Timeout(destination, writeTimeout)), sink.RetryConfig{
		Log: i.d.log, DeadLetter: calls.Refused, OnFailure: i.d.stat.sendFailed,
		OnOver: func(outage time.Duration) {
			if outage > afterOutage {
				source.Recovered()
			}
		},
	})
	defer func() { err = errors.Join(err, closeSink(ctx, retrying)) }()
	i.d.stat.shipping(loggerstat.ShippingRunning, nil)
	return sink.Forward(ctx, until{reading, source}, retrying)
}

// afterOutage is the length from which a time of failures is one that other hosts
// will have seen too.
const afterOutage = 10 * time.Second

func (i *intake) destination(cfg *loggerconf.Config) (sink.Sink, error) {
	if cfg.Kinesis != nil {
		s, err := kinesis.New(cfg.Kinesis.Sink())
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	if cfg.Firehose != nil {
		s, err := firehose.New(cfg.Firehose.Sink())
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	connection, err := cfg.Kafka.Options(i.d.log)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	s, err := kafka.New(kafka.Config{Options: connection, Compression: cfg.Compression, MaxRecordBytes: int(cfg.MaxRecordBytes)})
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return s, nil
}

func (i *intake) shipperConfig(ctx context.Context, set *settings) shipper.Config {
	cfg := set.cfg
	i.attic.SetMaxBytes(int64(cfg.Spool.OversizedMaxBytes))
	return shipper.Config{
		Topics:     map[string]string{extension.StreamResults: cfg.Topics.Results, extension.StreamStatus: cfg.Topics.Status},
		DeadLetter: cfg.Topics.DeadLetter, Key: shipper.Key(cfg.Key), BuiltInNames: cfg.BuiltInNames, MaxRecordBytes: int(cfg.MaxRecordBytes),
		MaxBatchBytes: int(cfg.Batch.MaxBytes), MaxBatchAge: cfg.Batch.MaxAge.Std(),
		Redact: late(set.rules), OsqueryVersion: osqueryVersion(ctx, i.d.socket, i.d.log),
		Attic: i.attic, Counters: &i.d.stat.made, Log: i.d.log,
	}
}

// until is a source that is finished when its context ends, so that a batch that
// was handed out is delivered and acknowledged first.
type until struct {
	ctx  context.Context
	next sink.Source
}

// Next implements sink.Source.
func (u until) Next(context.Context) (sink.Batch, error) {
	b, err := u.next.Next(u.ctx)
	if err != nil && u.ctx.Err() != nil {
		return sink.Batch{}, io.EOF
	}
	return b, err
}

func closeSink(ctx context.Context, s sink.Sink) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return s.Close(ctx)
}
