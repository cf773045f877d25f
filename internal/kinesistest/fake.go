package kinesistest

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// Fake is a Kinesis in memory: what a producer needs, and enough to read it back. It
// knows one size limit, 1 MiB of data, and no quotas. It is safe for concurrent use.
type Fake struct {
	mu      sync.Mutex
	streams map[string][]*fakeShard
	put     int // entries so far: their sequence numbers
}

type fakeShard struct {
	id      string
	hashes  kpl.HashRange
	records []fakeRecord
}

type fakeRecord struct {
	Data           []byte
	PartitionKey   string
	SequenceNumber string
}

// NewFake returns a Fake without streams.
func NewFake() *Fake { return &Fake{streams: map[string][]*fakeShard{}} }

// fakeInput has what any of the operations is asked with.
type fakeInput struct {
	Put

	ShardCount    int
	ShardId       string //nolint:revive // the protocol's name
	ShardIterator string
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in fakeInput
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, Error{"SerializationException", err.Error()})
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	shards, known := f.streams[in.StreamName]
	op := action(r)
	switch {
	case op == "CreateStream":
		f.streams[in.StreamName] = newShards(in.ShardCount)
		answer(w, http.StatusOK, struct{}{})
	case op == "GetRecords":
		f.get(w, in.ShardIterator)
	case !known:
		refuse(w, Error{"ResourceNotFoundException", "Stream " + in.StreamName + " not found"})
	case op == "PutRecords":
		answer(w, http.StatusOK, f.take(shards, in.Records))
	case op == "ListShards":
		answer(w, http.StatusOK, map[string]any{"Shards": listed(shards)})
	case op == "DescribeStreamSummary":
		answer(w, http.StatusOK, map[string]any{"StreamDescriptionSummary": map[string]string{"StreamName": in.StreamName, "StreamStatus": "ACTIVE"}})
	case op == "GetShardIterator":
		answer(w, http.StatusOK, map[string]string{"ShardIterator": in.StreamName + " " + in.ShardId + " 0"})
	default:
		refuse(w, Error{"UnknownOperationException", op})
	}
}

// newShards divides the hash space evenly.
func newShards(n int) []*fakeShard {
	shards := make([]*fakeShard, n)
	width := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(int64(n)))
	for i := range shards {
		start := new(big.Int).Mul(width, big.NewInt(int64(i)))
		end := new(big.Int).Sub(new(big.Int).Add(start, width), big.NewInt(1))
		if i == n-1 {
			end = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
		}
		hashes, err := kpl.ParseHashRange(start.String(), end.String())
		if err != nil {
			return nil // cannot be: the numbers are ours
		}
		shards[i] = &fakeShard{id: fmt.Sprintf("shardId-%012d", i), hashes: hashes}
	}
	return shards
}

func (f *Fake) take(shards []*fakeShard, entries []Entry) putAnswer {
	out := putAnswer{EncryptionType: "NONE"}
	for _, e := range entries {
		if size := len(e.Data); size > 1<<20 {
			out.FailedRecordCount++
			out.Records = append(out.Records, entryAnswer{ErrorCode: "InvalidArgumentException", ErrorMessage: fmt.Sprintf("Record data size %d exceeds 1048576 bytes", size)})
			continue
		}
		for _, s := range shards {
			if !s.hashes.Contains(kpl.HashOf([]byte(e.PartitionKey))) {
				continue
			}
			f.put++
			number := strconv.Itoa(f.put)
			s.records = append(s.records, fakeRecord{e.Data, e.PartitionKey, number})
			out.Records = append(out.Records, entryAnswer{SequenceNumber: number, ShardId: s.id})
		}
	}
	return out
}

func listed(shards []*fakeShard) []any {
	var out []any
	for _, s := range shards {
		out = append(out, map[string]any{
			"ShardId":             s.id,
			"HashKeyRange":        map[string]string{"StartingHashKey": s.hashes.Start.String(), "EndingHashKey": s.hashes.End.String()},
			"SequenceNumberRange": map[string]string{"StartingSequenceNumber": "0"},
		})
	}
	return out
}

// get answers GetRecords: an iterator is a stream, a shard and a number of records.
func (f *Fake) get(w http.ResponseWriter, iterator string) {
	parts := strings.Fields(iterator)
	if len(parts) != 3 {
		refuse(w, Error{"InvalidArgumentException", "iterator"})
		return
	}
	from, _ := strconv.Atoi(parts[2])
	for _, s := range f.streams[parts[0]] {
		if s.id != parts[1] {
			continue
		}
		to := min(len(s.records), from+1000)
		answer(w, http.StatusOK, map[string]any{
			"Records": s.records[from:to], "MillisBehindLatest": len(s.records) - to,
			"NextShardIterator": fmt.Sprintf("%s %s %d", parts[0], parts[1], to),
		})
		return
	}
	refuse(w, Error{"ResourceNotFoundException", "shard " + parts[1]})
}
