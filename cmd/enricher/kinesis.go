package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stackjoin/stackjoin/internal/awsconn"
	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/state/journal"
)

// callTimeout bounds one call of an AWS service, so that one that hangs is told of.
const callTimeout = 30 * time.Second

// shards is what reads streams.
type shards struct {
	*parts
	loaded  aws.Config
	client  *awskinesis.Client
	leases  *dynamodb.Client
	deliver func() (kinesis.Deliverer, error)
	worker  string
}

// fromKinesis reads streams: rows, and what does not come keyed by its host.
func fromKinesis(ctx context.Context, p *parts) ([]stage, error) {
	k := p.cfg.Kinesis
	loaded, err := loadAWS(ctx, k.AWS)
	if err != nil {
		return nil, fmt.Errorf("kinesis: %w", err)
	}
	s := &shards{
		parts: p, loaded: loaded, worker: workerName(),
		client: awskinesis.NewFromConfig(loaded, func(o *awskinesis.Options) { o.BaseEndpoint = endpoint(k.AWS.Endpoint) }),
		leases: dynamodb.NewFromConfig(loaded, func(o *dynamodb.Options) { o.BaseEndpoint = endpoint(k.Leases.Endpoint) }),
	}
	if s.deliver, err = delivery(p.cfg, loaded, p.log); err != nil {
		return nil, err
	}
	rows, err := s.pushed(ctx, p.cfg.Inputs.Results[0], p.cfg.LeaseTable())
	if err != nil {
		return nil, err
	}
	rows.Sides, rows.Monitor = true, p.meter
	if rows.Journal == nil {
		p.log.Warn("kinesis.journal is not set: a shard that changes hands is joined with nothing known of its hosts")
	}
	p.builder.LookBack(p.store)
	join := func(ctx context.Context) error { kinesis.Run(ctx, rows, p.job()); return nil }
	if len(p.cfg.Inputs.Routed()) == 0 {
		return []stage{join}, nil
	}
	first, err := s.routing(ctx, p.facts())
	if err != nil {
		return nil, err
	}
	return append(first.stages(), first.after(join)), nil
}

// read says how a topic's stream is read, and checks that it can be.
func (s *shards) read(ctx context.Context, topic, table string) (kinesis.Config, error) {
	cfg, k := s.cfg, s.cfg.Kinesis
	c := kinesis.Config{
		Client: s.client, Stream: k.Stream(topic), Leases: &lease.Table{Client: s.leases, Name: table},
		Worker: s.worker, Period: k.Leases.Period.Std(), Start: lease.TrimHorizon, Poll: k.Poll.Std(), Linger: k.Commit.Std(),
		Journal: objects(k, s.loaded), Memory: cfg.Joins.ProcessLive.Std(), StateFormat: cfg.State.Format, LookBack: cfg.Retro.Window.Std(),
		Deliver: s.deliver, MaxRecordBytes: int(cfg.Outputs.MaxRecordBytes), Log: s.log,
	}
	if k.Start == "latest" {
		c.Start = lease.Latest
	}
	return c, kinesis.Check(ctx, c)
}

// pushed is read, by subscription where the configuration asks for that.
func (s *shards) pushed(ctx context.Context, topic, table string) (kinesis.Config, error) {
	c, err := s.read(ctx, topic, table)
	if err != nil || !s.cfg.Kinesis.FanOut {
		return c, err
	}
	c.FanOut, err = subscriber(ctx, s.loaded, s.cfg.Kinesis, c.Stream, s.cfg.Group)
	return c, err
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
		return journal.Bucket{Client: s3At(loaded, k.JournalEndpoint), Name: bucket, Prefix: prefix}
	case k.Journal != "":
		return journal.Folder(k.Journal)
	}
	return nil
}

// s3At is the S3 at an address, AWS's own where that is empty.
func s3At(loaded aws.Config, address string) *s3.Client {
	return s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.BaseEndpoint = endpoint(address)
		o.UsePathStyle = address != "" // other makers' S3 has no names for buckets
	})
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
