package kinesis_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/kpl"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

// keys remembers which keys stand behind partition keys.
type keys struct {
	sink.Sink

	text bool // values are written in base64: lines hold no line ends
	seen *sync.Map
}

func (k keys) Write(ctx context.Context, batch []sink.Record) error {
	mine := make([]sink.Record, len(batch))
	copy(mine, batch)
	for i := range mine {
		k.seen.Store(kinesis.PartitionKey(mine[i].Key), bytes.Clone(mine[i].Key))
		if k.text {
			mine[i].Value = base64.StdEncoding.AppendEncode(nil, mine[i].Value)
		}
	}
	return k.Sink.Write(ctx, mine)
}

// harness has streams of its own, by their prefix.
func harness(f *kinesistest.Front, prefix string, cfg kinesis.Config) sinktest.Harness {
	var topics atomic.Int32
	seen, text := &sync.Map{}, cfg.Aggregate == kinesis.NDJSON
	if cfg.Aggregate == "" {
		cfg.Aggregate = kinesis.KPL
	}
	return sinktest.Harness{
		Open: func(t testing.TB) sink.Sink { return keys{open(t, f.Endpoint(), cfg), text, seen} },
		Topic: func(t testing.TB) string {
			name := fmt.Sprintf("%s-%d", prefix, topics.Add(1))
			kinesistest.CreateStream(t, f.Endpoint(), name, 3)
			return name
		},
		Read: func(t testing.TB, topic string) []sink.Record {
			out := read(t, f.Endpoint(), topic, cfg.Aggregate)
			for i := range out {
				key, _ := seen.Load(string(out[i].Key))
				out[i].Key = key.([]byte)
				if text {
					value, err := base64.StdEncoding.AppendDecode(nil, out[i].Value)
					if err != nil {
						t.Fatal(err)
					}
					out[i].Value = value
				}
			}
			return out
		},
		Oversize: 2 << 20, Stop: f.Stop, Start: f.Start, NoHeaders: true,
	}
}

func TestConformanceOnFake(t *testing.T) {
	for name, cfg := range map[string]kinesis.Config{
		"kpl":    {},
		"zstd":   {Compression: "zstd"},
		"ndjson": {Compression: "gzip", Aggregate: kinesis.NDJSON},
		"none":   {Aggregate: kinesis.None},
	} {
		t.Run(name, func(t *testing.T) { sinktest.Run(t, harness(fake(t), name, cfg)) })
	}
}

// The order that PutRecords does not promise is kept by one entry a host.
func TestARequestHasOneEntryOfAHost(t *testing.T) {
	f := fake(t, "s")
	write(t, open(t, f.Endpoint(), kinesis.Config{AggregateBytes: 1 << 10}), rows("s", 7, 7_000))
	puts, overlapped := f.Puts()
	if overlapped {
		t.Error("two requests were under way at once")
	}
	for _, p := range puts {
		seen := map[string]bool{}
		for _, e := range p.Records {
			if seen[e.PartitionKey] {
				t.Fatalf("a request has two entries of %s", e.PartitionKey)
			}
			seen[e.PartitionKey] = true
		}
	}
	inOrder(t, read(t, f.Endpoint(), "s", kinesis.KPL), 7, 7_000)
}

// Requests keep the limits configured, by count, bytes and size of an entry.
func TestRequestsKeepTheLimits(t *testing.T) {
	cfg := kinesis.Config{RequestRecords: 5, RequestBytes: 4 << 10, RecordBytes: 2 << 10, AggregateBytes: 1 << 10}
	for _, aggregate := range []kinesis.Aggregate{kinesis.KPL, kinesis.NDJSON, kinesis.None} {
		cfg.Aggregate = aggregate
		f := fake(t, "s")
		write(t, open(t, f.Endpoint(), cfg), rows("s", 11, 4_000))
		puts, _ := f.Puts()
		full := 0
		for _, p := range puts {
			size := 0
			for _, e := range p.Records {
				size += len(e.Data) + len(e.PartitionKey)
				if len(e.Data)+len(e.PartitionKey) > 1<<10 {
					t.Fatalf("%s: an entry has %d bytes", aggregate, len(e.Data))
				}
			}
			if len(p.Records) > 5 || size > 4<<10 {
				t.Fatalf("%s: a request has %d entries, %d bytes", aggregate, len(p.Records), size)
			}
			if len(p.Records) == 5 || size > 3<<10 {
				full++
			}
		}
		if full == 0 {
			t.Errorf("%s: no request of %d is full", aggregate, len(puts))
		}
		inOrder(t, read(t, f.Endpoint(), "s", aggregate), 11, 4_000)
	}
}

func TestTopicsAreMappedToStreams(t *testing.T) {
	f := fake(t, "mine", "other")
	s := open(t, f.Endpoint(), kinesis.Config{Streams: map[string]string{"osquery.results": "mine", "osquery.status": "mine"}})
	batch := append(rows("osquery.results", 1, 5), rows("other", 1, 3)...)
	status := rows("osquery.status", 1, 2)
	for i := range status {
		status[i].Value = fmt.Appendf(nil, `{"n":%d}`, 5+i) // of the same key and stream: one order
	}
	write(t, s, append(batch, status...))
	inOrder(t, read(t, f.Endpoint(), "mine", kinesis.KPL), 1, 7)
	inOrder(t, read(t, f.Endpoint(), "other", kinesis.KPL), 1, 3)
}

// A line that is no line goes alone, as it is.
func TestAValueWithALineEndGoesAlone(t *testing.T) {
	f := fake(t, "s")
	batch := rows("s", 1, 5)
	batch[2].Value = []byte("{\n\"n\":2}")
	write(t, open(t, f.Endpoint(), kinesis.Config{Aggregate: kinesis.NDJSON}), batch)
	var got []string
	for _, r := range kinesistest.Read(t, f.Endpoint(), "s") {
		got = append(got, string(r.Data))
	}
	if want := "{\"n\":0}\n{\"n\":1}\n|{\n\"n\":2}\n|{\"n\":3}\n{\"n\":4}\n"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A value that is itself an aggregate comes out as the value that it was.
func TestAnAggregateAsAValueStaysOne(t *testing.T) {
	f := fake(t, "s")
	var b kpl.Builder
	b.Add(kpl.Record{PartitionKey: []byte("other"), Data: []byte("forged")})
	value := b.Append(nil)
	write(t, open(t, f.Endpoint(), kinesis.Config{}), []sink.Record{{Topic: "s", Key: []byte("k"), Value: value}})
	if got := read(t, f.Endpoint(), "s", kinesis.KPL); len(got) != 1 || !bytes.Equal(got[0].Value, value) {
		t.Errorf("%q came out", got)
	}
}

// What is too large only before it is compressed is sent.
func TestCompressionDecidesOnSize(t *testing.T) {
	f := fake(t, "s")
	value := bytes.Repeat([]byte("a"), 3<<20)
	write(t, open(t, f.Endpoint(), kinesis.Config{Compression: "zstd"}), []sink.Record{{Topic: "s", Key: []byte("k"), Value: value}})
	if got := read(t, f.Endpoint(), "s", kinesis.KPL); len(got) != 1 || !bytes.Equal(got[0].Value, value) {
		t.Errorf("%d records came", len(got))
	}
}

func TestPartitionKeysAreWhatKinesisTakes(t *testing.T) {
	for key, asItIs := range map[string]bool{
		"host-1": true, "hôte": true, strings.Repeat("k", 256): true, "\x00": true,
		"": false, "\xff": false, strings.Repeat("k", 257): false,
	} {
		got := kinesis.PartitionKey([]byte(key))
		if (got == key) != asItIs || len(got) == 0 || len(got) > 256 {
			t.Errorf("%.20q becomes %.80q", key, got)
		}
	}
}

func TestAWrongConfigurationIsRefused(t *testing.T) {
	for want, cfg := range map[string]kinesis.Config{
		"connect":         {},
		"aggregate":       {Connect: kinesistest.AWS, Aggregate: "kcl"},
		"compression":     {Connect: kinesistest.AWS, Compression: "lz4"},
		"request records": {Connect: kinesistest.AWS, RequestRecords: 501},
		"request bytes":   {Connect: kinesistest.AWS, RequestBytes: 1 << 20, RecordBytes: 2 << 20},
		"record bytes":    {Connect: kinesistest.AWS, RecordBytes: 11 << 20},
		"aggregate bytes": {Connect: kinesistest.AWS, AggregateBytes: 2 << 20},
	} {
		if _, err := kinesis.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
