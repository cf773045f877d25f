// Package reshard writes the joins' state anew for another number of partitions: each
// host's share goes to the partition that its Kafka key now belongs to.
//
// It must never change what the old group has, write to a state topic that holds
// anything, or go on while a member of one of the groups lives.
package reshard

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkacodec"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// Config says which state goes where.
type Config struct {
	Connection []kgo.Opt
	// From and To are consumer groups, FromState and ToState the topics of their
	// state. To reads Inputs, which are not those that From read: rows of one host
	// would be in two partitions there.
	From, To           string
	FromState, ToState string
	// FromSide is the one of From's inputs that holds side records.
	FromSide string
	Inputs   []string
	// Build makes a partition's pipeline, as for the groups.
	Build func(stream.Partition, func(operator string) enrich.State) (*enrich.Pipeline, error)
	// Dir is a folder for copies of the state, which is left empty. Empty keeps one
	// partition at a time in memory.
	Dir string
	// Apply writes. Without it everything is read, checked and counted.
	Apply bool
}

// Report counts what was moved, or would be.
type Report struct {
	// Hosts, Keys and Bytes are what each partition of the new topic gets.
	Partitions []Share `json:"partitions"`
	// Waiting rows may still change, and are taken along.
	Waiting int `json:"waiting"`
	// Left are keys of a whole partition, such as positions in its inputs, and
	// Keyless hosts that never came with a Kafka key: both stay behind.
	Left    int `json:"left"`
	Keyless int `json:"keyless"`
}

// Share is one partition's.
type Share struct {
	Hosts int   `json:"hosts"`
	Keys  int   `json:"keys"`
	Bytes int64 `json:"bytes"`
}

// Run checks that nothing could be lost, and moves the state. Where it fails halfway
// the new topic is to be deleted and made again.
func Run(ctx context.Context, cfg Config) (Report, error) {
	client, err := kgo.NewClient(append(cfg.Connection[:len(cfg.Connection):len(cfg.Connection)],
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kafkacodec.Zstd()...))...)
	if err != nil {
		return Report{}, fmt.Errorf("reshard: %w", err)
	}
	defer client.Close()
	m := &move{Config: cfg, client: client, admin: kadm.NewClient(client), promise: kgo.AbortingFirstErrPromise(client)}
	if err := m.check(ctx); err != nil {
		return Report{}, err
	}
	for id := range m.ends[cfg.FromState] {
		if err := m.partition(ctx, id); err != nil {
			return m.report, fmt.Errorf("reshard %s/%d: %w", cfg.FromState, id, err)
		}
	}
	if err := client.Flush(ctx); err != nil {
		return m.report, fmt.Errorf("reshard: write %s: %w", cfg.ToState, err)
	}
	if err := m.promise.Err(); err != nil {
		return m.report, fmt.Errorf("reshard: write %s (delete it and make it again): %w", cfg.ToState, err)
	}
	return m.report, nil
}

// move is a Run.
type move struct {
	Config
	client  *kgo.Client
	admin   *kadm.Client
	promise *kgo.FirstErrPromise
	ends    kadm.ListedOffsets
	to      kgo.TopicPartitioner
	report  Report
}

// partition moves one partition of the old state.
func (m *move) partition(ctx context.Context, id int32) (err error) {
	store, _, err := state.Open(state.Config{Dir: m.Dir, Of: state.Changelog{Topic: m.FromState, Partition: id}})
	if err != nil {
		return fmt.Errorf("copy of the state: %w", err)
	}
	defer func() {
		store.Distrust() // nobody needs the copy again
		err = errors.Join(err, store.Close())
	}()
	end := m.ends[m.FromState][id].Offset
	span := stream.Span{Connection: m.Connection, Partition: stream.Partition{Topic: m.FromState, ID: id}, To: end}
	err = span.Read(ctx, func(r *kgo.Record) error {
		return store.Restore([]state.Change{{Key: r.Key, Value: r.Value}}, r.Offset+1)
	})
	if err != nil {
		return err
	}
	if err := m.park(ctx, store, id); err != nil {
		return err
	}
	return m.write(ctx, store)
}

// park puts the rows that wait into the state: their places in the old inputs say
// nothing to the new group.
func (m *move) park(ctx context.Context, store *state.Store, id int32) error {
	inputs, err := store.Inputs()
	if err != nil {
		return err
	}
	pipeline, err := m.Build(stream.Partition{ID: id}, store.State)
	if err != nil {
		return err
	}
	err = pipeline.Resume(ctx, func(ctx context.Context, topic string, from int64, visit func(enrich.Input) error) error {
		return stream.Span{Connection: m.Connection, Partition: stream.Partition{Topic: topic, ID: id}, From: from, To: inputs[topic]}.Inputs(ctx, func(in enrich.Input) error {
			in.Side = topic == m.FromSide
			return visit(in)
		})
	})
	if err != nil {
		return err
	}
	rows, err := pipeline.Park()
	if err != nil {
		return err
	}
	m.report.Waiting += rows
	store.Changes()
	return store.Committed(store.Position())
}

// write sends what belongs to a host to the partition of the host's key.
func (m *move) write(ctx context.Context, store *state.Store) error {
	to := map[enrich.Host]int{}
	return store.All(func(key, value []byte) error {
		_, host, _, err := state.ParseKey(key)
		if err != nil {
			return err
		}
		if host == "" {
			m.report.Left++
			return nil
		}
		p, known := to[host]
		if !known {
			if p, err = m.place(store, host); err != nil {
				return err
			}
			to[host] = p
		}
		if p < 0 {
			return nil
		}
		share := &m.report.Partitions[p]
		share.Keys, share.Bytes = share.Keys+1, share.Bytes+int64(len(key)+len(value))
		if m.Apply {
			m.client.Produce(ctx, &kgo.Record{Topic: m.ToState, Partition: int32(p), Key: append([]byte(nil), key...), Value: append([]byte(nil), value...)}, m.promise.Promise())
		}
		return nil
	})
}

// place is the partition that the host now belongs to, or -1 where nobody knows.
func (m *move) place(store *state.Store, host enrich.Host) (int, error) {
	key, err := store.Key(host)
	if err != nil {
		return 0, err
	}
	if key == nil {
		m.report.Keyless++
		return -1, nil
	}
	p := m.to.Partition(&kgo.Record{Key: key}, len(m.report.Partitions))
	m.report.Partitions[p].Hosts++
	return p, nil
}
