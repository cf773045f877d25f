//go:build chaos || e2e

package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// tailer reads a stream that is never resharded, as it grows.
type tailer struct {
	t      *testing.T
	client *awskinesis.Client
	stream string
	shards []*tailed
}

// tailed is one shard of it.
type tailed struct {
	id, last string        // last is the sequence number of the last record read
	iterator *string       // nil where it has to be asked for
	records  []*kgo.Record // as a topic would have them
}

func newTailer(t *testing.T, client *awskinesis.Client, name string) *tailer {
	t.Helper()
	shards, err := client.ListShards(t.Context(), &awskinesis.ListShardsInput{StreamName: &name})
	must(t, err)
	r := &tailer{t: t, client: client, stream: name}
	for _, s := range shards.Shards {
		r.shards = append(r.shards, &tailed{id: *s.ShardId})
	}
	return r
}

// read takes in what came since, and returns all.
func (r *tailer) read() (all []*kgo.Record) {
	r.t.Helper()
	for _, s := range r.shards {
		for r.more(s) {
		}
		all = append(all, s.records...)
	}
	return all
}

// more reads on in a shard; it is false at its tip.
func (r *tailer) more(s *tailed) bool {
	r.t.Helper()
	if s.iterator == nil {
		in := &awskinesis.GetShardIteratorInput{StreamName: &r.stream, ShardId: &s.id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
		if s.last != "" {
			in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &s.last
		}
		out, err := r.client.GetShardIterator(r.t.Context(), in)
		must(r.t, err)
		s.iterator = out.ShardIterator
	}
	out, err := r.client.GetRecords(r.t.Context(), &awskinesis.GetRecordsInput{ShardIterator: s.iterator})
	var expired *types.ExpiredIteratorException // after five minutes, in which rows were written
	if errors.As(err, &expired) {
		s.iterator = nil
		return true
	}
	must(r.t, err)
	s.iterator = out.NextShardIterator
	for i := range out.Records {
		s.records = append(s.records, recordsIn(r.t, &out.Records[i])...)
		s.last = *out.Records[i].SequenceNumber
	}
	return len(out.Records) > 0 || aws.ToInt64(out.MillisBehindLatest) > 0
}

func recordsIn(t *testing.T, in *types.Record) (out []*kgo.Record) {
	t.Helper()
	data := unzipped(t, in.Data)
	a, ok, err := kpl.Parse(data)
	must(t, err)
	if !ok {
		return []*kgo.Record{named(t, []byte(*in.PartitionKey), data)}
	}
	for _, r := range a.All() {
		out = append(out, named(t, bytes.Clone(r.PartitionKey), bytes.Clone(r.Data)))
	}
	return out
}

// named is a record as a topic would have it: with its id beside it.
func named(t *testing.T, key, value []byte) *kgo.Record {
	t.Helper()
	var v struct {
		Enrichment struct{ Event struct{ ID string } }
	}
	must(t, json.Unmarshal(value, &v))
	return &kgo.Record{Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(v.Enrichment.Event.ID)}}}
}
