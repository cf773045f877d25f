//go:build e2e

package kpl_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// wire is a record as the scripts below read and write it; JSON has bytes in base64.
type wire struct {
	Key  string
	Hash *string `json:",omitempty"`
	Data []byte
}

// reads prints the records of aggregates, each a list.
const reads = `
const agg = require("aws-kinesis-agg"), fs = require("fs");
const out = JSON.parse(fs.readFileSync(0)).map((data) => {
  const records = [];
  agg.deaggregate({data, partitionKey: "outer", sequenceNumber: "1"}, true,
    (err, r) => { if (err) throw err; records.push({Key: r.partitionKey, Hash: r.explicitPartitionKey, Data: r.data}); },
    (err) => { if (err) throw err; });
  return records;
});
console.log(JSON.stringify(out));
`

// writes prints the aggregate of each list of records.
const writes = `
const agg = require("aws-kinesis-agg"), fs = require("fs");
const out = [];
JSON.parse(fs.readFileSync(0)).forEach((list, i) => {
  agg.aggregate(list.map((r) => ({partitionKey: r.Key, explicitHashKey: r.Hash, data: Buffer.from(r.Data, "base64")})),
    (e) => { out[i] = e.data.toString("base64"); }, () => {}, (err) => { if (err) throw err; });
});
process.once("beforeExit", () => console.log(JSON.stringify(out))); // the library works on after the call
`

// lists makes lists of records. Amazon's library mixes hash keys up that JavaScript
// takes for array indexes, so hash keys are longer than those.
func lists(n int) [][]wire {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([][]wire, n)
	for i := range out {
		for range 1 + rng.IntN(50) {
			w := wire{Key: []string{"host-1", "hôte", "\u65e5\u672c", "4b1f0e9e-4c55-4b0a-9d0e-1d6a4f3c2b1a"}[rng.IntN(4)], Data: make([]byte, 1+rng.IntN(400))}
			for j := range w.Data {
				w.Data[j] = byte(rng.Uint32())
			}
			if rng.IntN(3) == 0 {
				w.Hash = &[]string{"170141183460469231731687303715884105728", "340282366920938463463374607431768211455"}[rng.IntN(2)]
			}
			out[i] = append(out[i], w)
		}
	}
	return out
}

func script(t *testing.T, program string, in, out any) {
	t.Helper()
	cmd := kinesistest.Script(t, program)
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &stderr
	printed, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(printed, out)
	}
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.Bytes())
	}
}

func same(w wire, r kpl.Record) bool {
	return w.Key == string(r.PartitionKey) && bytes.Equal(w.Data, r.Data) && (w.Hash == nil) == (r.ExplicitHashKey == nil) &&
		(w.Hash == nil || *w.Hash == string(r.ExplicitHashKey))
}

func TestAmazonsLibraryReadsOurAggregates(t *testing.T) {
	want := lists(100)
	aggregates := make([][]byte, len(want))
	for i, list := range want {
		var b kpl.Builder
		for _, w := range list {
			r := kpl.Record{PartitionKey: []byte(w.Key), Data: w.Data}
			if w.Hash != nil {
				r.ExplicitHashKey = []byte(*w.Hash)
			}
			b.Add(r)
		}
		aggregates[i] = b.Append(nil)
	}
	var got [][]wire
	script(t, reads, aggregates, &got)
	if !slices.EqualFunc(got, want, func(a, b []wire) bool {
		return slices.EqualFunc(a, b, func(x, y wire) bool {
			r := kpl.Record{PartitionKey: []byte(y.Key), Data: y.Data}
			if y.Hash != nil {
				r.ExplicitHashKey = []byte(*y.Hash)
			}
			// protobufjs gives the first hash key's place for none at all.
			return same(x, r) || y.Hash == nil && x.Key == y.Key && bytes.Equal(x.Data, y.Data)
		})
	}) {
		t.Error("Amazon's library reads other records than were written")
	}
}

func TestWeReadAggregatesOfAmazonsLibrary(t *testing.T) {
	want := lists(100)
	var aggregates [][]byte
	script(t, writes, want, &aggregates)
	if len(aggregates) != len(want) {
		t.Fatalf("%d aggregates, want %d", len(aggregates), len(want))
	}
	for i, data := range aggregates {
		if got := read(t, data); !slices.EqualFunc(want[i], got, same) {
			t.Fatalf("aggregate %d: other records than were written", i)
		}
	}
}
