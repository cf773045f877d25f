// Package kinesis delivers records to Amazon Kinesis Data Streams by PutRecords,
// many of one key in one Kinesis record, in order per key.
//
// It must never decide on its own to drop a record, and never call an error
// permanent that an operator or time can mend: a missing stream, a refused
// credential, a full shard all hold the line. It never asks a stream's description:
// that API answers a handful of calls a second for the whole account. How to reach
// AWS is the caller's to say.
package kinesis

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// Aggregate says how records share a Kinesis record, here called an entry.
type Aggregate string

// The ways there are.
const (
	// KPL puts records into the format of Amazon's Kinesis Producer Library, which
	// its consumers take apart. One record alone goes as it is.
	KPL Aggregate = "kpl"
	// NDJSON puts each record on a line. A value that holds a line end goes alone.
	NDJSON Aggregate = "ndjson"
	// None sends each record by itself. PutRecords promises no order among its
	// entries: order per key is given up for whatever shares a request.
	None Aggregate = "none"
)

// Limits of the service before October 2025. Larger ones have to be enabled for
// each stream.
const (
	defaultRequestRecords = 500
	defaultRequestBytes   = 5 << 20
	defaultRecordBytes    = 1 << 20
	// defaultAggregateBytes is a quarter of what a shard takes in a second: one
	// entry more than that would be refused whole while small ones pass.
	defaultAggregateBytes = 256 << 10
	largestRecordBytes    = 10 << 20
)

// Config says where and how a Sink sends. The zero value of a field means its
// default.
type Config struct {
	// Connect gives the AWS configuration: region, credentials, HTTP client. It is
	// called by the first Write, and again after AWS refused the credentials.
	Connect func(ctx context.Context) (aws.Config, error)
	// Endpoint is the service's address where it is not AWS's own.
	Endpoint string
	// Streams names the stream of a record's Topic; a topic that is not in it is
	// itself the stream's name.
	Streams map[string]string
	// Service makes what entries are put through, Kinesis Data Streams by default, and
	// Name is its name in errors. The configuration is Connect's, with the endpoint,
	// and with an HTTP client and a retryer of the sink's own.
	Service func(cfg aws.Config) Put
	Name    string
	// Keyless is for a service that is not told the partition keys: they do not count
	// in an entry's size, and keep order all the same.
	Keyless bool
	// Aggregate is KPL by default.
	Aggregate Aggregate
	// Compression of each entry: none (the default), gzip or zstd.
	Compression string
	// RequestRecords, RequestBytes (partition keys counted) and RecordBytes (data
	// and partition key of one entry) are the service's limits: 500, 5 MiB, 1 MiB.
	// A record alone over RecordBytes is refused, permanently.
	RequestRecords, RequestBytes, RecordBytes int
	// AggregateBytes bounds an entry of several records, before compression: 256
	// KiB by default, at most RecordBytes.
	AggregateBytes int
}

// Sink is a sink.Sink that writes to Kinesis. A record's Key becomes its partition
// key (PartitionKey); its Headers and Time have no place there and are left out.
//
// Only one request is in flight, and but for None it has one entry per stream and
// key: the next entry of a key is sent once the last was acknowledged. Throughput
// errors slow down the shard they name, within Write, until its context ends.
type Sink struct {
	cfg   Config
	coder *coder
	pacer pacer // of Write, which is called by one goroutine

	mu     sync.Mutex // guards conn and closed
	conn   *connection
	closed bool
}

// connection is what one call of Connect led to.
type connection struct {
	put  Put
	http aws.HTTPClient
}

var errClosed = errors.New("the sink is closed")

// New returns a Sink, or an error that names what in cfg cannot be. It does not
// touch the network: the first Write connects.
func New(cfg Config) (*Sink, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Name, err)
	}
	coder, err := newCoder(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Name, err)
	}
	return &Sink{cfg: cfg, coder: coder}, nil
}

func (c Config) withDefaults() Config {
	if c.Aggregate == "" {
		c.Aggregate = KPL
	}
	if c.Compression == "" {
		c.Compression = "none"
	}
	if c.Service == nil {
		c.Service, c.Name = putRecords, "kinesis"
	}
	for limit, preset := range map[*int]int{
		&c.RequestRecords: defaultRequestRecords, &c.RequestBytes: defaultRequestBytes,
		&c.RecordBytes: defaultRecordBytes,
	} {
		if *limit == 0 {
			*limit = preset
		}
	}
	if c.AggregateBytes == 0 {
		c.AggregateBytes = min(defaultAggregateBytes, c.RecordBytes)
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.Connect == nil:
		return errors.New("nothing says how to connect")
	case c.Aggregate != KPL && c.Aggregate != NDJSON && c.Aggregate != None:
		return fmt.Errorf("aggregate %q: must be kpl, ndjson or none", c.Aggregate)
	case c.RequestRecords < 1 || c.RequestRecords > defaultRequestRecords:
		return fmt.Errorf("request records %d: must be between 1 and %d", c.RequestRecords, defaultRequestRecords)
	case c.RecordBytes < 1<<10 || c.RecordBytes > largestRecordBytes:
		return fmt.Errorf("record bytes %d: must be between %d and %d", c.RecordBytes, 1<<10, largestRecordBytes)
	case c.RequestBytes < c.RecordBytes:
		return fmt.Errorf("request bytes %d: must be no less than record bytes, %d", c.RequestBytes, c.RecordBytes)
	case c.AggregateBytes < 1<<10 || c.AggregateBytes > c.RecordBytes:
		return fmt.Errorf("aggregate bytes %d: must be between %d and record bytes, %d", c.AggregateBytes, 1<<10, c.RecordBytes)
	}
	return nil
}

// Write implements sink.Sink. A *sink.BatchError tells exactly which records are
// not known to be durable; an error of any other kind, that none is.
func (s *Sink) Write(ctx context.Context, batch []sink.Record) error {
	if len(batch) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", s.cfg.Name, err)
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", s.cfg.Name, err)
	}
	a := newAttempt(ctx, s, conn.put, batch)
	a.run()
	if a.stale {
		s.discard(conn)
	}
	return a.result()
}

// Close implements sink.Sink. It waits for nothing. A second Close does nothing.
func (s *Sink) Close(context.Context) error {
	s.mu.Lock()
	conn := s.conn
	s.conn, s.closed = nil, true
	s.mu.Unlock()
	if conn != nil {
		conn.closeIdle()
	}
	return nil
}

// connect returns the connection, making one where there is none.
func (s *Sink) connect(ctx context.Context) (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.conn == nil {
		cfg, err := s.cfg.Connect(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
		cfg.HTTPClient = ownClient(cfg.HTTPClient)
		// Retry and the pacer wait as it fits the records' order; the SDK's own
		// retries would only hide how a shard fares.
		cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		if s.cfg.Endpoint != "" {
			cfg.BaseEndpoint = &s.cfg.Endpoint
		}
		s.conn = &connection{s.cfg.Service(cfg), cfg.HTTPClient}
	}
	return s.conn, nil
}

// discard throws the connection away, with the credentials it keeps, so that the next
// Write reads them again.
func (s *Sink) discard(conn *connection) {
	s.mu.Lock()
	if s.conn == conn {
		s.conn = nil
	}
	s.mu.Unlock()
	conn.closeIdle()
}

// ownClient is an HTTP client like the given one, where that is one of the SDK's,
// whose connections can be closed: the SDK's own keeps them for as long as it likes.
func ownClient(given aws.HTTPClient) aws.HTTPClient {
	if given == nil {
		given = awshttp.NewBuildableClient()
	}
	theirs, ok := given.(*awshttp.BuildableClient)
	if !ok {
		return given
	}
	return &http.Client{
		Transport:     theirs.GetTransport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a signature is for one host
	}
}

// closeIdle closes the connections: none is in use outside Write.
func (c *connection) closeIdle() {
	if h, ok := c.http.(interface{ CloseIdleConnections() }); ok {
		h.CloseIdleConnections()
	}
}
