package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/file"
	kafkasink "github.com/stackjoin/stackjoin/pkg/sink/kafka"
	kinesissink "github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

// writeTimeout bounds one attempt to deliver a batch, so that a destination that is
// away is told of.
const writeTimeout = 30 * time.Second

// delivery returns what makes a way to the outputs, for each shard one.
func delivery(cfg *enricherconf.Config, log *slog.Logger) (func() (kinesis.Deliverer, error), error) {
	open, err := destination(cfg, log)
	if err != nil {
		return nil, err
	}
	topics := map[enrich.Stream]string{
		enrich.Enriched: cfg.Outputs.Enriched, enrich.DeadLetters: cfg.Outputs.DeadLetter, enrich.Findings: cfg.Outputs.Findings,
	}
	limit := int(cfg.Outputs.MaxRecordBytes)
	return func() (kinesis.Deliverer, error) {
		to, err := open()
		if err != nil {
			return nil, err
		}
		d := &deliverer{topics: topics}
		d.sink = sink.Retry(sink.Timeout(to, writeTimeout), sink.RetryConfig{Log: log, DeadLetter: func(refused sink.Record, _ error) (sink.Record, []sink.Record) {
			o := enrich.Output{Key: refused.Key, Value: refused.Value}
			for _, h := range refused.Headers {
				if h.Key == "id" {
					o.ID = string(h.Value)
				}
			}
			return d.record(enrich.Oversized(&o, limit)), nil
		}})
		return d, nil
	}, nil
}

// destination returns what opens the sink that the configuration names.
func destination(cfg *enricherconf.Config, log *slog.Logger) (func() (sink.Sink, error), error) {
	switch cfg.Destination() {
	case "files":
		shared, err := file.New(cfg.Outputs.Dir)
		if err != nil {
			return nil, err
		}
		return func() (sink.Sink, error) { return left{shared}, nil }, nil
	case "kafka":
		connection, err := cfg.Kafka.Options(log)
		if err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		return func() (sink.Sink, error) {
			s, err := kafkasink.New(kafkasink.Config{Options: connection, Compression: "zstd", MaxRecordBytes: int(cfg.Outputs.MaxRecordBytes)})
			if err != nil {
				return nil, fmt.Errorf("kafka: %w", err)
			}
			return s, nil
		}, nil
	}
	return func() (sink.Sink, error) { return kinesissink.New(cfg.Kinesis.Sink()) }, nil
}

// left is a sink that others use too: the process's end closes it.
type left struct{ sink.Sink }

// Close implements sink.Sink.
func (left) Close(context.Context) error { return nil }

// deliverer takes output to a sink. It implements kinesis.Deliverer.
type deliverer struct {
	topics map[enrich.Stream]string
	sink   sink.Sink
	batch  []sink.Record
}

// Deliver implements kinesis.Deliverer.
func (d *deliverer) Deliver(ctx context.Context, outputs []enrich.Output) error {
	d.batch = d.batch[:0]
	for i := range outputs {
		d.batch = append(d.batch, d.record(&outputs[i]))
	}
	err := d.sink.Write(ctx, d.batch)
	clear(d.batch) // lets their bytes go
	return err
}

// Close implements kinesis.Deliverer.
func (d *deliverer) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return d.sink.Close(ctx)
}

func (d *deliverer) record(o *enrich.Output) sink.Record {
	return sink.Record{Topic: d.topics[o.Stream], Key: o.Key, Value: o.Value, Headers: []sink.Header{
		{Key: "id", Value: []byte(o.ID)}, {Key: "kind", Value: []byte(o.Kind)}, {Key: "schema", Value: []byte(o.Schema)},
	}}
}
