package kinesis

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis/lease"
	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// whole is the hash space, all of it.
func whole(t testing.TB) kpl.HashRange {
	t.Helper()
	r, err := kpl.ParseHashRange("0", "340282366920938463463374607431768211455")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	return w.EncodeAll(data, nil)
}

func aggregate(records ...kpl.Record) []byte {
	var b kpl.Builder
	for _, r := range records {
		b.Add(r)
	}
	return b.Append(nil)
}

// shown is what is unpacked, one line a record.
func shown(t testing.TB, u *Unpacker, data []byte) string {
	t.Helper()
	var out []string
	for _, r := range u.Unpack(nil, &Packed{PartitionKey: "outer", Sequence: "49", Data: data}) {
		line := fmt.Sprintf("%d %s=%s", r.Sub, r.Input.Key, r.Input.Value)
		if r.Input.Broken != nil {
			line = fmt.Sprintf("%d broken", r.Sub)
		}
		if want := "s/shardId-0/49/" + strconv.FormatInt(r.Sub, 10); r.Input.Name != want {
			t.Errorf("named %s, want %s", r.Input.Name, want)
		}
		out = append(out, line)
	}
	return strings.Join(out, "|")
}

func TestEachPackingIsTakenApart(t *testing.T) {
	two := aggregate(kpl.Record{PartitionKey: []byte("a"), Data: []byte("1")}, kpl.Record{PartitionKey: []byte("b"), Data: []byte("2")})
	logs := func(kind string) []byte {
		return []byte(`{"messageType":"` + kind + `","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["f"],` +
			`"logEvents":[{"id":"1","timestamp":1,"message":"{\"a\":1}"},{"id":"2","timestamp":2,"message":"{}"}]}`)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"one row":                       {[]byte(`{"a":1}`), `0 outer={"a":1}`},
		"one row with its line end":     {[]byte("{\"a\":1}\r\n"), `0 outer={"a":1}`},
		"a row over several lines":      {[]byte("{\n\"a\":1\n}\n"), "0 outer={\n\"a\":1\n}"},
		"lines":                         {[]byte("{}\n{\"b\":2}\n"), `0 outer={}|1 outer={"b":2}`},
		"lines with an empty one":       {[]byte("{}\n\n{\"b\":2}\n"), `0 outer={}|2 outer={"b":2}`},
		"lines, the last without end":   {[]byte("{}\n{}"), "0 outer={}\n{}"},
		"an aggregate":                  {two, "0 a=1|1 b=2"},
		"an aggregate in gzip":          {zipped(t, two), "0 a=1|1 b=2"},
		"an aggregate in zstd":          {zstandard(t, two), "0 a=1|1 b=2"},
		"lines in zstd":                 {zstandard(t, []byte("{}\n{}\n")), "0 outer={}|1 outer={}"},
		"CloudWatch Logs":               {zipped(t, logs("DATA_MESSAGE")), `0 outer={"a":1}|1 outer={}`},
		"CloudWatch Logs trying":        {zipped(t, logs("CONTROL_MESSAGE")), ""},
		"CloudWatch Logs of later":      {logs("OTHER_MESSAGE"), "0 outer=" + string(logs("OTHER_MESSAGE"))},
		"an event without a message":    {[]byte(`{"messageType":"DATA_MESSAGE","logEvents":[{}]}`), "0 broken"},
		"a row that speaks of events":   {[]byte(`{"messageType":"x","logEvents":"y"}`), `0 outer={"messageType":"x","logEvents":"y"}`},
		"the magic bytes by chance":     {[]byte("\xf3\x89\x9a\xc2 and nothing"), "0 outer=\xf3\x89\x9a\xc2 and nothing"},
		"a hash key that is none":       {aggregate(kpl.Record{PartitionKey: []byte("a"), ExplicitHashKey: []byte("x"), Data: []byte("1")}), "0 broken"},
		"gzip cut short":                {zipped(t, two)[:20], "0 broken"},
		"gzip's magic bytes alone":      {[]byte{0x1f, 0x8b}, "0 broken"},
		"zstd's magic bytes alone":      {[]byte{0x28, 0xb5, 0x2f, 0xfd}, "0 broken"},
		"more than is good":             {zipped(t, make([]byte, maxUnpacked+1)), "0 broken"},
		"more than is good, in zstd":    {zstandard(t, make([]byte, maxUnpacked+1)), "0 broken"},
		"no bytes":                      {nil, "0 outer="},
		"an aggregate whose index lies": {sealed(unhex(t, "0a01611a050809"+"1a0131")), "0 broken"},
	} {
		t.Run(name, func(t *testing.T) {
			u := &Unpacker{Source: "s/shardId-0", Hashes: whole(t)}
			defer u.Close()
			if got := shown(t, u, c.data); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if got := shown(t, u, two); got != "0 a=1|1 b=2" {
				t.Errorf("the next record: %q", got)
			}
		})
	}
}

// sealed is an aggregate of a message that somebody made by hand.
func sealed(message []byte) []byte {
	sum := md5.Sum(message)
	return append(append([]byte("\xf3\x89\x9a\xc2"), message...), sum[:]...)
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// After a split an aggregate made for the parent lies in one child, or is read by both
// after a merge and a split: each record belongs to one range, under one number.
func TestEveryRecordOfAnAggregateIsTakenByOneChild(t *testing.T) {
	const most = "340282366920938463463374607431768211455"
	rapid.Check(t, func(rt *rapid.T) {
		var middle kpl.Hash
		copy(middle[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "middle"))
		if middle.String() == most {
			return
		}
		next := middle
		for i := len(next) - 1; i >= 0; i-- {
			if next[i]++; next[i] != 0 {
				break
			}
		}
		var records []kpl.Record
		for i := range rapid.IntRange(1, 40).Draw(rt, "records") {
			records = append(records, kpl.Record{PartitionKey: fmt.Appendf(nil, "key-%d", rapid.IntRange(0, 9).Draw(rt, "key")), Data: fmt.Appendf(nil, "%d", i)})
		}
		seen := map[string]string{}
		for _, ends := range [][2]string{{"0", middle.String()}, {next.String(), most}} {
			r, err := kpl.ParseHashRange(ends[0], ends[1])
			if err != nil {
				rt.Fatal(err)
			}
			u := &Unpacker{Source: "s", Hashes: r}
			for _, got := range u.Unpack(nil, &Packed{PartitionKey: "outer", Sequence: "1", Data: aggregate(records...)}) {
				if want := records[got.Sub]; !bytes.Equal(want.Data, got.Input.Value) || !bytes.Equal(want.PartitionKey, got.Input.Key) {
					rt.Fatalf("record %d is %s=%s", got.Sub, got.Input.Key, got.Input.Value)
				}
				if by := seen[got.Input.Name]; by != "" {
					rt.Fatalf("%s is in %s and %s", got.Input.Name, by, ends)
				}
				seen[got.Input.Name] = ends[0]
			}
		}
		if len(seen) != len(records) {
			rt.Fatalf("%d of %d records are in a child", len(seen), len(records))
		}
	})
}

// Records that hold far more than they weigh do not come all at once.
func TestHostileRecordsDoNotFillTheMemory(t *testing.T) {
	r := &reader{unpack: Unpacker{Source: "s", Hashes: whole(t)}, pages: make(chan page), at: lease.Checkpoint{Sequence: lease.TrimHorizon}}
	defer r.unpack.Close()
	var records []types.Record
	heavy := zipped(t, make([]byte, 5<<20))
	const n = 20
	for i := range n {
		records = append(records, types.Record{PartitionKey: aws.String("k"), SequenceNumber: aws.String(strconv.Itoa(100 + i)), Data: heavy})
	}
	sent := make(chan error)
	go func() { sent <- r.send(t.Context(), records, page{}, nil) }()
	for got := 0; got < n; {
		p := <-r.pages
		if len(p.records) > 2 {
			t.Fatalf("%d records of 5 MiB at once", len(p.records))
		}
		for _, record := range p.records {
			if want := strconv.Itoa(100 + got); record.at.Sequence != want {
				t.Fatalf("record %s, want %s", record.at.Sequence, want)
			}
			got++
		}
	}
	if p := <-r.pages; p.ended || len(p.records) > 0 {
		t.Errorf("%+v", p)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func FuzzUnpack(f *testing.F) {
	two := aggregate(kpl.Record{PartitionKey: []byte("a"), Data: []byte("1")}, kpl.Record{PartitionKey: []byte("b"), ExplicitHashKey: []byte("7"), Data: []byte("2")})
	for _, seed := range [][]byte{
		nil, []byte("{}\n{}\n"), two, zipped(f, two), zstandard(f, two),
		[]byte(`{"messageType":"DATA_MESSAGE","logEvents":[{"message":"{}"}]}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		u := &Unpacker{Source: "s", Hashes: whole(t)}
		defer u.Close()
		last := int64(-1)
		for _, r := range u.Unpack(nil, &Packed{PartitionKey: "k", Sequence: "1", Data: data}) {
			if r.Sub <= last {
				t.Fatalf("number %d after %d", r.Sub, last)
			}
			last = r.Sub
			if r.Input.Broken == nil && r.Input.Name == "" {
				t.Fatal("a record without a name")
			}
		}
		if last < 0 && len(data) > 0 && json.Valid(data) && !bytes.Contains(data, []byte("CONTROL_MESSAGE")) && !bytes.Contains(data, []byte("DATA_MESSAGE")) {
			t.Fatal("a JSON text gave nothing")
		}
	})
}
