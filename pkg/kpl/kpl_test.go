package kpl_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/kpl"
)

// vectors are aggregates that public libraries wrote.
var vectors = []struct {
	name, bytes string
	records     []kpl.Record
}{
	{
		// The example in the documentation of ExKpl 0.2.0 (hex.pm, lib/ex_kpl.ex).
		name:    "ex_kpl",
		bytes:   "f3899ac2" + "0a0d706172746974696f6e5f6b65791a0808001a0464617461" + "d03699da5a222fa32108ad1bd955a14e",
		records: []kpl.Record{{PartitionKey: []byte("partition_key"), Data: []byte("data")}},
	},
	{
		// What aggregate of aws-kinesis-agg 4.2.8 (npm, Amazon's own) makes of these.
		name: "aws-kinesis-agg",
		bytes: "f3899ac20a06686f73742d310a06686f73742d3212013012273334303238323336363932303933383436333436333337343630373433313736383231313435351a0b" +
			"08001a077b2261223a317d1a0d080110001a077b2262223a327d1a09080010011a0300ff80313b81663280f65b46ad30233e7d5bbf",
		records: []kpl.Record{
			{PartitionKey: []byte("host-1"), Data: []byte(`{"a":1}`)},
			// The library numbers a table by first use, and writes it in the order of
			// JavaScript's objects, in which "0" comes first: its record 1 has the
			// hash key meant for record 2. What counts is what the bytes say.
			{PartitionKey: []byte("host-2"), ExplicitHashKey: []byte("0"), Data: []byte(`{"b":2}`)},
			{PartitionKey: []byte("host-1"), ExplicitHashKey: []byte("340282366920938463463374607431768211455"), Data: []byte{0, 255, 128}},
		},
	},
}

func TestAggregatesOfPublicLibrariesAreRead(t *testing.T) {
	for _, v := range vectors {
		got := read(t, unhex(t, v.bytes))
		if !slices.EqualFunc(got, v.records, equal) {
			t.Errorf("%s: %q, want %q", v.name, got, v.records)
		}
	}
}

func TestAggregatesAreWrittenAsPublicLibrariesDo(t *testing.T) {
	v := vectors[0]
	if got := hex.EncodeToString(build(v.records)); got != v.bytes {
		t.Errorf("%s, want %s", got, v.bytes)
	}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func build(records []kpl.Record) []byte {
	var b kpl.Builder
	for _, r := range records {
		b.Add(r)
	}
	return b.Append(nil)
}

func read(t testing.TB, data []byte) []kpl.Record {
	t.Helper()
	a, ok, err := kpl.Parse(data)
	if err != nil || !ok {
		t.Fatalf("aggregate %v: %v", ok, err)
	}
	var out []kpl.Record
	for i, r := range a.All() {
		if i != len(out) {
			t.Fatalf("record %d has sub-sequence %d", len(out), i)
		}
		out = append(out, r)
	}
	if a.Len() != len(out) {
		t.Fatalf("%d records, Len is %d", len(out), a.Len())
	}
	return out
}

func equal(a, b kpl.Record) bool {
	return bytes.Equal(a.PartitionKey, b.PartitionKey) && bytes.Equal(a.Data, b.Data) &&
		bytes.Equal(a.ExplicitHashKey, b.ExplicitHashKey) && (a.ExplicitHashKey == nil) == (b.ExplicitHashKey == nil)
}

func drawRecord(t *rapid.T) kpl.Record {
	r := kpl.Record{
		PartitionKey: []byte(rapid.StringN(1, 20, 200).Draw(t, "key")),
		Data:         rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"),
	}
	if rapid.Bool().Draw(t, "explicit") {
		r.ExplicitHashKey = []byte(rapid.StringMatching(`[0-9]{1,38}`).Draw(t, "hash"))
	}
	return r
}

// What is added comes back in order, the sizes told are those written, and a
// Builder is as good as new after Reset.
func TestWhatIsAddedIsRead(t *testing.T) {
	var b kpl.Builder
	rapid.Check(t, func(rt *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(drawRecord), 1, 40).Draw(rt, "records")
		b.Reset()
		for _, r := range records {
			want := b.SizeWith(r)
			b.Add(r)
			if b.Size() != want {
				rt.Fatalf("size %d, told %d", b.Size(), want)
			}
		}
		out := b.Append([]byte("before"))
		if len(out) != len("before")+b.Size() || b.Len() != len(records) {
			rt.Fatalf("%d bytes and %d records, told %d and %d", len(out)-6, len(records), b.Size(), b.Len())
		}
		if got := read(t, out[len("before"):]); !slices.EqualFunc(got, records, equal) {
			rt.Fatalf("%q, want %q", got, records)
		}
	})
}

// Amazon's readers take these for records of their own: so do we.
func TestWhatIsNoAggregateIsARecord(t *testing.T) {
	whole := unhex(t, vectors[0].bytes)
	flipped := bytes.Clone(whole)
	flipped[10] ^= 1
	for name, data := range map[string][]byte{
		"nothing": nil, "short": []byte("No"), "magic alone": whole[:4], "no room for a checksum": whole[:19],
		"no magic": whole[1:], "cut": whole[:len(whole)-1], "damaged": flipped, "JSON": []byte(`{"a":1}`),
	} {
		if _, ok, err := kpl.Parse(data); ok || err != nil {
			t.Errorf("%s: aggregate %v, %v", name, ok, err)
		}
	}
}

// seal makes an aggregate of any message.
func seal(message []byte) []byte {
	sum := md5.Sum(message)
	return append(append([]byte("\xf3\x89\x9a\xc2"), message...), sum[:]...)
}

func field(number protowire.Number, value string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value))
}

func index(number protowire.Number, value uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value))
}

func TestAHostileAggregateIsAnError(t *testing.T) {
	key := field(1, "k")
	for name, message := range map[string]string{
		"key index out of range":   key + field(3, index(1, 1)+field(3, "d")),
		"key index far out":        key + field(3, index(1, 1<<63)+field(3, "d")),
		"no table":                 field(3, index(1, 0)+field(3, "d")),
		"hash index out of range":  key + field(3, index(1, 0)+index(2, 0)+field(3, "d")),
		"no key index":             key + field(3, field(3, "d")),
		"no data":                  key + field(3, index(1, 0)),
		"key index is text":        key + field(3, field(1, "0")+field(3, "d")),
		"data is a number":         key + field(3, index(1, 0)+index(3, 7)),
		"table is a number":        index(1, 7),
		"records are a number":     key + index(3, 7),
		"cut in a record":          key + field(3, index(1, 0)+field(3, "d"))[:4],
		"cut in a record's data":   key + field(3, (index(1, 0) + field(3, "data"))[:5]),
		"length beyond the end":    "\x1a\xff\xff\xff\xff\x0f",
		"field number zero":        "\x00\x00",
		"endless varint":           strings.Repeat("\xff", 40),
		"group that does not end":  "\x23\x23\x23",
		"second record is wrong":   key + field(3, index(1, 0)+field(3, "d")) + field(3, index(1, 9)+field(3, "d")),
		"hash table for its keys":  field(2, "5") + field(3, index(1, 0)+field(3, "d")),
		"explicit hash is no text": key + field(2, "5") + field(3, index(1, 0)+field(2, "0")+field(3, "d")),
	} {
		a, ok, err := kpl.Parse(seal([]byte(message)))
		if !ok || !errors.Is(err, kpl.ErrMalformed) || a.Len() != 0 {
			t.Errorf("%s: aggregate %v of %d, %v", name, ok, a.Len(), err)
		}
	}
}

// What a later version adds, and an order of fields that ours does not write, is read.
func TestALiberalReader(t *testing.T) {
	tags := field(4, field(1, "name")+field(2, "value"))
	message := field(3, tags+field(3, "d")+index(9, 1)+index(1, 1)) + field(17, "later") + field(1, "a") + index(5, 3) + field(1, "b")
	got := read(t, seal([]byte(message)))
	if want := (kpl.Record{PartitionKey: []byte("b"), Data: []byte("d")}); len(got) != 1 || !equal(got[0], want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A hostile table of a million entries takes memory in proportion to its bytes.
func TestAHostileTableTakesLittleMemory(t *testing.T) {
	data := seal([]byte(strings.Repeat(field(1, ""), 1<<20)))
	got := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, _, err := kpl.Parse(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	if most := int64(16 * len(data)); got.AllocedBytesPerOp() > most {
		t.Errorf("%d bytes for %d", got.AllocedBytesPerOp(), len(data))
	}
}

func TestHashes(t *testing.T) {
	const last = "340282366920938463463374607431768211455"
	for text, good := range map[string]bool{
		"0": true, "7": true, last: true, "00000000000000000000000000000000000007": true,
		"": false, "-1": false, "+1": false, "1e3": false, "0x10": false, "1_0": false, " 1": false,
		"340282366920938463463374607431768211456": false, strings.Repeat("9", 39): false, strings.Repeat("0", 40): false,
	} {
		h, err := kpl.ParseHash(text)
		if good != (err == nil) {
			t.Errorf("%q: %v", text, err)
		}
		if trimmed := strings.TrimLeft(text, "0"); good && h.String() != max(trimmed, "0") {
			t.Errorf("%q is %s", text, h)
		}
	}
	// The MD5 of nothing, d41d8cd98f00b204e9800998ecf8427e, in decimal.
	if got := kpl.HashOf(nil).String(); got != "281949768489412648962353822266799178366" {
		t.Errorf("hash of nothing is %s", got)
	}
}

// A record of a split shard is in exactly one of the children, whichever it is.
func TestEachRecordIsInOneChild(t *testing.T) {
	const middle = "170141183460469231731687303715884105728"
	left, err := kpl.ParseHashRange("0", "170141183460469231731687303715884105727")
	right, err2 := kpl.ParseHashRange(middle, "340282366920938463463374607431768211455")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		h, err := drawRecord(rt).Hash()
		if err != nil {
			rt.Fatal(err)
		}
		if left.Contains(h) == right.Contains(h) {
			rt.Fatalf("%s: left %v, right %v", h, left.Contains(h), right.Contains(h))
		}
	})
	edge, err := kpl.Record{ExplicitHashKey: []byte(middle)}.Hash()
	if err != nil || left.Contains(edge) || !right.Contains(edge) || !right.Contains(right.End) || !left.Contains(left.Start) {
		t.Errorf("the edges are in the wrong child (%v)", err)
	}
	if _, err := (kpl.Record{PartitionKey: []byte("k"), ExplicitHashKey: []byte("x")}).Hash(); err == nil {
		t.Error("a hash key that is no number has a place")
	}
	for _, ends := range [][2]string{{"2", "1"}, {"x", "1"}, {"1", "x"}} {
		if _, err := kpl.ParseHashRange(ends[0], ends[1]); err == nil {
			t.Errorf("range %v is taken", ends)
		}
	}
}

// Whatever is sealed as an aggregate is an error or reads the same twice, and what
// was read can be written and read again.
func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		data := unhex(f, v.bytes)
		f.Add(data[4 : len(data)-16])
	}
	f.Add([]byte(field(1, "k") + field(3, index(1, 1)+field(3, "d"))))
	f.Add([]byte("\x1a\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, message []byte) {
		if _, ok, err := kpl.Parse(message); ok || err != nil {
			return // the fuzzer has found a checksum
		}
		a, ok, err := kpl.Parse(seal(message))
		if err != nil || !ok {
			if len(message) > 0 && !errors.Is(err, kpl.ErrMalformed) {
				t.Fatalf("aggregate %v: %v", ok, err)
			}
			return
		}
		var first []kpl.Record
		for _, r := range a.All() {
			_, _ = r.Hash()
			first = append(first, r)
		}
		if len(first) != a.Len() {
			t.Fatalf("%d records, Len is %d", len(first), a.Len())
		}
		if len(first) > 0 && !slices.EqualFunc(read(t, build(first)), first, equal) {
			t.Fatal("what was read is not what is written")
		}
	})
}
