package kinesis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/enrich/state/journal"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// Deliverer takes output to where it belongs. It is for one goroutine.
type Deliverer interface {
	// Deliver returns nil when every record is durable, in order for records of one
	// key, and tries until then or until ctx ends.
	Deliver(ctx context.Context, outputs []enrich.Output) error
	Close(ctx context.Context) error
}

// Config says what is read, and how it is divided.
type Config struct {
	Client *awskinesis.Client
	Stream string
	// Sensor tells that the records are network sensors', Sides that records about hosts
	// come among their rows (enrich.IsSide).
	Sensor, Sides bool
	// FanOut, when set, has records pushed rather than asked for.
	FanOut *FanOut
	// Leases is the table, of this stream and group alone.
	Leases *lease.Table
	// Worker is this process's name, different at each start.
	Worker string
	// Period is how long a lease may stand still; 0 for the default of the leases.
	Period time.Duration
	// Start is lease.TrimHorizon or lease.Latest, for the first start of all.
	Start string
	// Poll is the time between two calls while nothing comes, without FanOut; Linger how long a
	// batch waits for more: a journal entry and a write of the lease each.
	Poll, Linger time.Duration
	// Journal keeps the shards' states; nil keeps them in memory alone, and who
	// takes a shard over knows nothing.
	Journal journal.Objects
	// Memory is how long a state that was lost may have mattered.
	Memory time.Duration
	// LookBack is how long records may have to be read again after they were read.
	LookBack time.Duration
	// StateFormat is the format to write state in, 0 for the newest.
	StateFormat int
	// Deliver makes what output goes through, one for each shard.
	Deliver func() (Deliverer, error)
	// MaxRecordBytes is the largest record the outputs take; larger ones become dead
	// letters.
	MaxRecordBytes int
	Monitor        stream.Monitor
	Log            *slog.Logger
}

const (
	defaultPoll   = time.Second
	defaultLinger = time.Second
	defaultMemory = 7 * 24 * time.Hour
)

func (c *Config) defaults() {
	if c.Poll <= 0 {
		c.Poll = defaultPoll
	}
	if c.Linger <= 0 {
		c.Linger = defaultLinger
	}
	if c.Memory <= 0 {
		c.Memory = defaultMemory
	}
}

// Check tells whether the stream can be read and the table used, which it makes where
// it is missing.
func Check(ctx context.Context, cfg Config) error {
	if _, err := Shards(ctx, cfg.Client, cfg.Stream); err != nil {
		return err
	}
	return cfg.Leases.Create(ctx)
}

// Run takes part in reading the stream until ctx ends, and gives up what it holds.
// What fails is told and tried again.
func Run(ctx context.Context, cfg Config, job stream.Job) {
	cfg.defaults()
	lease.Run(ctx, lease.Config{
		Table: cfg.Leases, Name: cfg.Worker, Period: cfg.Period, Start: cfg.Start, Log: cfg.Log,
		Shards: func(ctx context.Context) ([]lease.Shard, error) { return Shards(ctx, cfg.Client, cfg.Stream) },
		Work:   func(ctx context.Context, h *lease.Held) error { return work(ctx, &cfg, h, job) },
		Forget: func(ctx context.Context, l *lease.Lease) error {
			if cfg.Journal == nil || l.Journal == "" {
				return nil
			}
			return journal.Remove(ctx, cfg.Journal, l.Journal)
		},
	})
}

// work reads one shard.
func work(ctx context.Context, cfg *Config, h *lease.Held, job stream.Job) (err error) {
	job.Log = job.Log.With("shard", h.Key)
	s, err := open(ctx, cfg, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	err = stream.Run(ctx, s, job)
	switch {
	case errors.Is(err, errEnded):
		return s.end(ctx)
	case err == nil, errors.Is(err, errAsked):
		return s.leave(context.WithoutCancel(ctx))
	}
	return err
}

// Shards lists the shards of a stream.
func Shards(ctx context.Context, client *awskinesis.Client, name string) ([]lease.Shard, error) {
	var all []lease.Shard
	for in := (&awskinesis.ListShardsInput{StreamName: &name}); ; {
		page, err := client.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("shards of stream %s: %w", name, err)
		}
		for i := range page.Shards {
			all = append(all, shardOf(&page.Shards[i]))
		}
		if page.NextToken == nil {
			return all, nil
		}
		in = &awskinesis.ListShardsInput{NextToken: page.NextToken} // which names the stream
	}
}

func shardOf(s *types.Shard) lease.Shard {
	shard := lease.Shard{ID: aws.ToString(s.ShardId)}
	if s.HashKeyRange != nil {
		shard.StartingHash, shard.EndingHash = aws.ToString(s.HashKeyRange.StartingHashKey), aws.ToString(s.HashKeyRange.EndingHashKey)
	}
	if s.SequenceNumberRange != nil {
		shard.Closed = s.SequenceNumberRange.EndingSequenceNumber != nil
	}
	for _, parent := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
		if aws.ToString(parent) != "" {
			shard.Parents = append(shard.Parents, *parent)
		}
	}
	return shard
}

// numberOf is the number in a shard's id, such as shardId-000000000007.
func numberOf(shard string) (int32, error) {
	n, err := strconv.ParseInt(shard[strings.LastIndexByte(shard, '-')+1:], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("shard %q: its id ends with no number: %w", shard, err)
	}
	return int32(n), nil
}
