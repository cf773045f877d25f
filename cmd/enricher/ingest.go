package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/ingest"
	"github.com/stackjoin/stackjoin/internal/kafkacodec"
	"github.com/stackjoin/stackjoin/internal/logging"
)

func ingestCommand(std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Bring records from where others keep them into the enricher's topics",
	}
	cmd.AddCommand(ingestTrailCommand(std))
	return cmd
}

// ingestFlags are what the command was asked to do.
type ingestFlags struct {
	config, queue, source, since, state string
	once                                bool
}

func ingestTrailCommand(std streams) *cobra.Command {
	var f ingestFlags
	cmd := &cobra.Command{
		Use:   "cloudtrail",
		Short: "Bring CloudTrail's records out of S3 into the topic ingest.cloudtrail",
		Long: `With --queue, follows a queue of SQS that notifications of new files come to: from
S3, SNS, CloudTrail's own topic of SNS, or EventBridge. A message is deleted once
Kafka has the records of its files.

With --s3, takes the files below a prefix, by the days in their keys from --since
on. With --state it notes how far it came, and goes on from there the next time.

Either way a failure makes records come again rather than not at all: their key is
eventID/recipientAccountId, by which the enricher drops copies.`,
		Example: `  enricher ingest cloudtrail --config enricher.yaml --queue https://sqs.eu-west-1.amazonaws.com/111122223333/cloudtrail
  enricher ingest cloudtrail --config enricher.yaml --s3 s3://my-trail/AWSLogs/ --since 90d --state ingest.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), std) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `FILE`: kafka, ingest and log are used")
	flags.StringVar(&f.queue, "queue", "", "`URL` of the queue to follow")
	flags.BoolVar(&f.once, "once", false, "with --queue: end when it has nothing more to give")
	flags.StringVar(&f.source, "s3", "", "`s3://BUCKET/PREFIX` to take files from")
	flags.StringVar(&f.since, "since", "90d", "with --s3: how far back, as in 90d or 36h, or a day as in 2026-11-01")
	flags.StringVar(&f.state, "state", "", "with --s3: `FILE` that notes how far it came")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func (f *ingestFlags) run(ctx context.Context, std streams) error {
	if (f.queue == "") == (f.source == "") {
		return errors.New("say where from: --queue URL, or --s3 s3://BUCKET/PREFIX")
	}
	now := time.Now()
	since, err := sinceWhen(f.since, now)
	if err != nil {
		return err
	}
	bucket, prefix, err := f.place()
	if err != nil {
		return err
	}
	cfg, err := enricherconf.Load(f.config)
	if err != nil {
		return err
	}
	log := logging.New(cfg.Log, std.err)
	loaded, err := cfg.Ingest.AWS.Load(ctx)
	if err != nil {
		return fmt.Errorf("ingest.aws: %w", err)
	}
	options, err := cfg.Kafka.Options(log)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	client, err := kgo.NewClient(append(options, kgo.ProducerBatchCompression(kafkacodec.Zstd()...))...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	tell := &ingestProgress{w: std.err, told: now}
	in := &ingest.Ingest{
		Files: ingest.Client(loaded, cfg.Ingest.AWS.Endpoint), Kafka: client, Topic: cfg.Ingest.CloudTrail, DeadLetter: cfg.Outputs.DeadLetter, Log: log, Progress: tell.file,
	}
	if f.queue != "" {
		queues := sqs.NewFromConfig(loaded, func(o *sqs.Options) {
			if cfg.Ingest.AWS.Endpoint != "" {
				o.BaseEndpoint = &cfg.Ingest.AWS.Endpoint
			}
		})
		err = in.Follow(ctx, ingest.Queue{SQS: queues, URL: f.queue, Once: f.once})
	} else {
		err = in.List(ctx, ingest.Prefix{Bucket: bucket, Prefix: prefix, Since: since, State: f.state, Now: now})
	}
	tell.done(in.Counts(), err != nil)
	return err
}

func (f *ingestFlags) place() (bucket, prefix string, err error) {
	if f.source == "" {
		return "", "", nil
	}
	u, err := url.Parse(f.source)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return "", "", fmt.Errorf("--s3: %q is not like s3://my-trail/AWSLogs/", f.source)
	}
	return u.Host, strings.TrimPrefix(u.Path, "/"), nil
}

// sinceWhen reads a span of days or hours before now, or a day.
func sinceWhen(text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 36500 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if span, err := time.ParseDuration(text); err == nil && span >= 0 {
		return now.Add(-span), nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	return time.Time{}, fmt.Errorf("--since: %q is not like 90d, 36h or 2026-11-01", text)
}

// ingestProgress tells how far it is, every few seconds, and what came of it.
type ingestProgress struct {
	w    io.Writer
	told time.Time
}

func (p *ingestProgress) file(c ingest.Counts) {
	if time.Since(p.told) < progressEvery {
		return
	}
	p.told = time.Now()
	fmt.Fprintf(p.w, "… %s, %d records, %s\n", counted(int(c.Files), "file"), c.Records, size(c.Bytes))
}

func (p *ingestProgress) done(c ingest.Counts, broken bool) {
	state := "ingested"
	if broken {
		state = "stopped early after"
	}
	fmt.Fprintf(p.w, "%s %s: %d records, %s\n", state, counted(int(c.Files), "file"), c.Records, size(c.Bytes))
	fmt.Fprintf(p.w, "  unreadable  %d\n  oversized   %d\n  missing     %s\n", c.Unreadable, c.Oversized, counted(int(c.Missing), "file"))
}
