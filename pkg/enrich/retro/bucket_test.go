package retro

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What was put in may be held; what was not is not, but for few that look alike.
func TestAListOfValuesHoldsWhatWasPutIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hashes := rapid.SliceOf(rapid.Uint64()).Draw(t, "values")
		set := map[uint32]struct{}{}
		for _, h := range hashes {
			set[short(h)] = struct{}{}
		}
		value := encodeValues(set)
		asked := rapid.SliceOf(rapid.OneOf(rapid.Uint64(), rapid.SampledFrom(append(hashes, 0)))).Draw(t, "asked")
		slices.Sort(asked)
		want := slices.ContainsFunc(asked, func(h uint64) bool { _, ok := set[short(h)]; return ok })
		got, err := mayHold(value, asked)
		if err != nil || got != want {
			t.Fatalf("%v %v, want %v", got, err, want)
		}
	})
}

func FuzzMayHold(f *testing.F) {
	f.Add(encodeValues(map[uint32]struct{}{1: {}, 1 << 31: {}}), uint64(1)<<63)
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x7f, 1}, uint64(7))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, value []byte, hash uint64) {
		may, err := mayHold(value, []uint64{hash})
		if may && err != nil {
			t.Error("a broken list holds something")
		}
	})
}

func TestABucketIsReadAsItWasWrittenAndACutOneIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		moment := func(label string) time.Time {
			return time.Unix(rapid.Int64Range(1, 1<<40).Draw(t, label), rapid.Int64Range(0, 999_999_999).Draw(t, label)).UTC()
		}
		b := &bucket{number: 3, since: moment("since"), until: moment("until"), listed: rapid.Bool().Draw(t, "listed")}
		for range rapid.IntRange(0, 3).Draw(t, "parts") {
			b.spans = append(b.spans, span{rapid.String().Draw(t, "topic"), rapid.Int64().Draw(t, "from"), rapid.Int64().Draw(t, "to")})
			b.asked = append(b.asked, load{rapid.String().Draw(t, "feed"), rapid.Int64().Draw(t, "at")})
		}
		value := b.encode()
		if got, err := readBucket(3, value); err != nil || !reflect.DeepEqual(got, b) {
			t.Fatalf("%v: %+v, want %+v", err, got, b)
		}
		if _, err := readBucket(3, value[:rapid.IntRange(0, len(value)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a cut bucket was read")
		}
		if _, err := readBucket(3, append(value, 0)); err == nil {
			t.Fatal("what is left over was not told")
		}
	})
}

func FuzzReadBucket(f *testing.F) {
	f.Add((&bucket{since: time.Unix(5, 6).UTC(), spans: []span{{"in", 1, 2}}, asked: []load{{"list", 7}}}).encode())
	f.Add((&bucket{listed: true}).encode())
	f.Add((&bucket{
		since: time.Unix(1<<33, 999_999_999).UTC(), until: time.Unix(1<<33+300, 1).UTC(), listed: true,
		spans: []span{{"in", 0, 1}, {"", math.MaxInt64, math.MinInt64}, {"in", -1, -1}}, asked: []load{{"", math.MinInt64}, {strings.Repeat("l", 300), math.MaxInt64}, {"list", 0}},
	}).encode())
	f.Add(append((&bucket{}).encode(), 0))
	f.Add([]byte{1, 0xff})
	f.Add(bytes.Repeat([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}, 4))
	f.Fuzz(func(t *testing.T, value []byte) {
		b, err := readBucket(1, value)
		if err != nil {
			return
		}
		if again, err := readBucket(1, b.encode()); err != nil || !reflect.DeepEqual(again, b) {
			t.Fatalf("%v: %+v, read again %+v", err, b, again)
		}
	})
}
