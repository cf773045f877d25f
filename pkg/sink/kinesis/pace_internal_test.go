package kinesis

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A shard that takes a share of what it could is found out: little is refused, most
// of the share is used, and once the others are gone nothing is held back.
func TestTheRateFindsAShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, share := range []int{64 << 10, 256 << 10, 768 << 10} {
			var p pacer
			l := laneName{"s", "k"}
			const size, seconds = 16 << 10, 600 // so long that no draw of waits decides
			taken, refused, bucket, last := 0, 0, float64(share), time.Now()
			for end := time.Now().Add(seconds * time.Second); time.Now().Before(end); {
				time.Sleep(max(time.Until(p.notBefore(l)), time.Millisecond))
				bucket = min(float64(share), bucket+time.Since(last).Seconds()*float64(share))
				if last = time.Now(); bucket < size {
					refused++
					p.slow(l, "shardId-1", true)
					continue
				}
				bucket -= size
				taken++
				p.sent(l, "shardId-1", size)
			}
			if used := float64(taken*size) / float64(share*seconds); used < 0.6 || refused > taken/2 {
				t.Errorf("share %d: used %.2f, %d refused, %d taken", share, used, refused, taken)
			}
			for range 1000 {
				time.Sleep(time.Until(p.notBefore(l)))
				p.sent(l, "shardId-1", size)
			}
			if len(p.shards) != 0 {
				t.Errorf("share %d: still held back once the shard is free", share)
			}
		}
	})
}

// A fault of the service's own asks for a wait, not for a lower rate, and waits grow
// to their bound.
func TestFaultsOnlyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		l := laneName{"s", "k"}
		longest := time.Duration(0)
		for range 200 {
			p.slow(l, "", false)
			wait := time.Until(p.notBefore(l))
			longest = max(longest, wait)
			time.Sleep(wait)
		}
		if longest < longestWait/2 || longest > longestWait+time.Millisecond {
			t.Errorf("the longest wait is %v", longest)
		}
		if rate := p.shards[p.shardOf(l)].rate; rate != shardRate {
			t.Errorf("the rate is %v", rate)
		}
		p.sent(l, "shardId-1", 1000)
		if !p.notBefore(l).Before(time.Now().Add(time.Millisecond)) {
			t.Errorf("held back until %v after a success", p.notBefore(l))
		}
	})
}

// What is remembered of keys and shards is bounded.
func TestThePacerForgets(t *testing.T) {
	var p pacer
	for i := range 3 * maxPlaces {
		l := laneName{"s", fmt.Sprint(i)}
		p.put(l, fmt.Sprintf("shardId-%d", i))
		p.slow(l, "", true)
	}
	if len(p.places) > maxPlaces || len(p.shards) > maxPlaces {
		t.Errorf("%d places, %d shards", len(p.places), len(p.shards))
	}
}

func TestTheShardIsReadFromTheWords(t *testing.T) {
	for message, want := range map[string]string{
		"Rate exceeded for shard shardId-000000000001 in stream s under account 1.": "shardId-000000000001",
		"shardId-7": "shardId-7",
		"no shard":  "",
	} {
		if got := shardIn(message); got != want {
			t.Errorf("%q: %q", message, got)
		}
	}
}
