package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stackjoin/stackjoin/internal/awsconn"
	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/metrics"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/state/journal"
)

// callTimeout bounds one call of an AWS service, so that one that hangs is told of.
const callTimeout = 30 * time.Second

// kinesisConfig says how the stream is read, and checks that it can be.
func kinesisConfig(ctx context.Context, cfg *enricherconf.Config, meter *metrics.Enricher, log *slog.Logger) (kinesis.Config, error) {
	k := cfg.Kinesis
	loaded, err := loadAWS(ctx, k.AWS)
	if err != nil {
		return kinesis.Config{}, fmt.Errorf("kinesis: %w", err)
	}
	deliver, err := delivery(cfg, log)
	if err != nil {
		return kinesis.Config{}, err
	}
	c := kinesis.Config{
		Client: awskinesis.NewFromConfig(loaded, func(o *awskinesis.Options) { o.BaseEndpoint = endpoint(k.AWS.Endpoint) }),
		Stream: k.Stream(cfg.Inputs.Results[0]),
		Leases: &lease.Table{
			Client: dynamodb.NewFromConfig(loaded, func(o *dynamodb.Options) { o.BaseEndpoint = endpoint(k.Leases.Endpoint) }),
			Name:   cfg.LeaseTable(),
		},
		Worker: workerName(), Period: k.Leases.Period.Std(), Start: lease.TrimHorizon, Poll: k.Poll.Std(), Linger: k.Commit.Std(),
		Journal: objects(k, loaded), Memory: cfg.Joins.ProcessLive.Std(), StateFormat: cfg.State.Format,
		Deliver: deliver, MaxRecordBytes: int(cfg.Outputs.MaxRecordBytes), Monitor: meter, Log: log,
	}
	if k.FanOut {
		if c.FanOut, err = subscriber(ctx, loaded, k, c.Stream, cfg.Group); err != nil {
			return c, err
		}
	}
	if k.Start == "latest" {
		c.Start = lease.Latest
	}
	if c.Journal == nil {
		log.Warn("kinesis.journal is not set: a shard that changes hands is joined with nothing known of its hosts")
	}
	return c, kinesis.Check(ctx, c)
}

// registerTimeout is how long a new consumer may take to be of use: it is seconds.
const registerTimeout = 2 * time.Minute

// subscriber registers the group with the stream, for its records to be pushed.
func subscriber(ctx context.Context, loaded aws.Config, k *enricherconf.Kinesis, stream, group string) (*kinesis.FanOut, error) {
	if client, ok := loaded.HTTPClient.(*awshttp.BuildableClient); ok {
		loaded.HTTPClient = client.WithTimeout(0) // a subscription is one answer of minutes
	}
	client := awskinesis.NewFromConfig(loaded, func(o *awskinesis.Options) { o.BaseEndpoint = endpoint(k.AWS.Endpoint) })
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	consumer, err := kinesis.Register(ctx, client, stream, group)
	if err != nil {
		return nil, err
	}
	return &kinesis.FanOut{Client: client, Consumer: consumer}, nil
}

func endpoint(address string) *string {
	if address == "" {
		return nil
	}
	return &address
}

// objects is where the journal is kept; nil for nowhere.
func objects(k *enricherconf.Kinesis, loaded aws.Config) journal.Objects {
	bucket, prefix, inS3 := k.Bucket()
	switch {
	case inS3:
		client := s3.NewFromConfig(loaded, func(o *s3.Options) {
			o.BaseEndpoint = endpoint(k.JournalEndpoint)
			o.UsePathStyle = k.JournalEndpoint != "" // other makers' S3 has no names for buckets
		})
		return journal.Bucket{Client: client, Name: bucket, Prefix: prefix}
	case k.Journal != "":
		return journal.Folder(k.Journal)
	}
	return nil
}

// workerName is this process's, for people to know it by in the table.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	var token [4]byte
	_, _ = rand.Read(token[:]) // never fails (crypto/rand)
	return host + "-" + hex.EncodeToString(token[:])
}

// loadAWS is the SDK's configuration, with credentials that are read again from their
// files every few minutes.
func loadAWS(ctx context.Context, c awsconn.Config) (aws.Config, error) {
	loaded, err := c.Load(ctx)
	if err != nil {
		return aws.Config{}, err
	}
	if client, ok := loaded.HTTPClient.(*awshttp.BuildableClient); ok {
		loaded.HTTPClient = client.WithTimeout(callTimeout)
	}
	loaded.Credentials = aws.NewCredentialsCache(fresh{c})
	return loaded, nil
}

// credentialsLife is how long keys that never expire are used before their file is
// read again.
const credentialsLife = 5 * time.Minute

// fresh is a provider that reads the configuration's files each time.
type fresh struct{ awsconn.Config }

// Retrieve implements aws.CredentialsProvider.
func (f fresh) Retrieve(ctx context.Context) (aws.Credentials, error) {
	loaded, err := f.Load(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	c, err := loaded.Credentials.Retrieve(ctx)
	if err != nil {
		return c, fmt.Errorf("credentials: %w", err)
	}
	if !c.CanExpire {
		c.CanExpire, c.Expires = true, time.Now().Add(credentialsLife)
	}
	return c, nil
}
