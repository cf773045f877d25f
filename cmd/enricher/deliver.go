package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/file"
	kafkasink "github.com/stackjoin/stackjoin/pkg/sink/kafka"
	kinesissink "github.com/stackjoin/stackjoin/pkg/sink/kinesis"
	s3sink "github.com/stackjoin/stackjoin/pkg/sink/s3"
)

// writeTimeout bounds one attempt to deliver a batch, so that a destination that is
// away is told of.
const writeTimeout = 30 * time.Second

// delivery returns what makes a way to the outputs, for each shard one.
func delivery(cfg *enricherconf.Config, loaded aws.Config, log *slog.Logger) (func() (kinesis.Deliverer, error), error) {
	open, err := destination(cfg, loaded, log)
	if err != nil {
		return nil, err
	}
	topics := map[enrich.Stream]string{
		enrich.Enriched: cfg.Outputs.Enriched, enrich.DeadLetters: cfg.Outputs.DeadLetter, enrich.Findings: cfg.Outputs.Findings,
		enrich.CloudTrail: cfg.Outputs.CloudTrail,
	}
	between := map[enrich.Stream]string{enrich.Sides: cfg.Inputs.Results[0], enrich.Facts: cfg.FactsTopic()}
	outside := opener(open, topics, cfg, log)
	switch {
	case len(cfg.Inputs.Routed()) == 0:
		return outside, nil
	case cfg.Destination() == "kinesis":
		maps.Copy(topics, between)
		return outside, nil
	}
	between[enrich.DeadLetters] = cfg.Outputs.DeadLetter
	inside := opener(func() (sink.Sink, error) { return kinesissink.New(cfg.Kinesis.Sink()) }, between, cfg, log)
	return func() (kinesis.Deliverer, error) {
		in, err := inside()
		if err != nil {
			return nil, err
		}
		out, err := outside()
		if err != nil {
			return nil, errors.Join(err, in.Close(context.Background()))
		}
		return &parted{in, out}, nil
	}, nil
}

// opener returns what opens a sink and takes to its topics what belongs there, until that
// is done.
func opener(open func() (sink.Sink, error), topics map[enrich.Stream]string, cfg *enricherconf.Config, log *slog.Logger) func() (kinesis.Deliverer, error) {
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
	}
}

// parted takes what the enricher's own stages read to Kinesis, and then the rest to where
// output goes. It implements kinesis.Deliverer.
type parted struct{ inside, outside kinesis.Deliverer }

// Deliver implements kinesis.Deliverer.
func (p *parted) Deliver(ctx context.Context, outputs []enrich.Output) error {
	var inside, outside []enrich.Output
	for _, o := range outputs {
		if o.Stream == enrich.Sides || o.Stream == enrich.Facts {
			inside = append(inside, o)
		} else {
			outside = append(outside, o)
		}
	}
	if err := p.inside.Deliver(ctx, inside); err != nil {
		return err
	}
	return p.outside.Deliver(ctx, outside)
}

// Close implements kinesis.Deliverer.
func (p *parted) Close(ctx context.Context) error {
	return errors.Join(p.inside.Close(ctx), p.outside.Close(ctx))
}

// destination returns what opens the sink that the configuration names.
func destination(cfg *enricherconf.Config, loaded aws.Config, log *slog.Logger) (func() (sink.Sink, error), error) {
	switch cfg.Destination() {
	case "files":
		shared, err := file.New(cfg.Outputs.Dir)
		if err != nil {
			return nil, err
		}
		return func() (sink.Sink, error) { return left{shared}, nil }, nil
	case "s3":
		bucket, prefix, _ := cfg.Outputs.Bucket()
		client := s3At(loaded, cfg.Outputs.Endpoint)
		return func() (sink.Sink, error) {
			return s3sink.New(s3sink.Config{Client: client, Bucket: bucket, Prefix: prefix}), nil
		}, nil
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
		r := d.record(&outputs[i])
		if len(r.Value) == 0 && outputs[i].Stream == enrich.Facts {
			var err error
			if r.Value, err = owner.Deletion(string(r.Key)); err != nil {
				return err
			}
		}
		d.batch = append(d.batch, r)
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
