package kinesis

import (
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// How the rate towards a shard adapts. A shard takes 1 MiB a second from all its
// writers together, so what is left of that for one is found by trying.
const (
	shardRate  = 1 << 20  // bytes a second; from here on nothing is held back
	lowestRate = 8 << 10  // no throughput error slows down further
	rateGrowth = 64 << 10 // by how much the rate grows in each second without one
	cutEvery   = 100 * time.Millisecond
	// burstSeconds of a shard's rate may go in one request.
	burstSeconds = 0.25
	firstWait    = 100 * time.Millisecond
	longestWait  = 5 * time.Second
	// maxPlaces bounds what is remembered of keys. To forget costs no more than
	// finding a rate again.
	maxPlaces = 10_000
)

// pacer knows when each shard may be written to. One goroutine uses it; the zero
// value is ready.
type pacer struct {
	places map[laneName]shard // where a key's records were last put
	shards map[shard]*pace
}

// laneName is what order is kept in: a stream and a partition key.
type laneName struct{ stream, key string }

// shard is a stream's shard, or while that is not known, a key in place of one.
type shard struct{ stream, name string }

// pace is that of one shard.
type pace struct {
	rate   float64 // bytes a second
	next   time.Time
	cut    time.Time // when the rate was last cut
	grown  time.Time // when the rate last grew
	delays backoff.BackOff
}

// notBefore is when the next entry of a lane may be sent.
func (p *pacer) notBefore(l laneName) time.Time {
	if at, ok := p.shards[p.shardOf(l)]; ok {
		return at.next
	}
	return time.Time{}
}

func (p *pacer) shardOf(l laneName) shard {
	if s, ok := p.places[l]; ok {
		return s
	}
	return shard{l.stream, "key " + l.key}
}

// put remembers where a lane's records go.
func (p *pacer) put(l laneName, name string) {
	if name == "" || p.places[l].name == name {
		return
	}
	if p.places == nil || len(p.places) >= maxPlaces {
		p.places = map[laneName]shard{}
	}
	p.places[l] = shard{l.stream, name}
}

// sent notes that a shard took an entry.
func (p *pacer) sent(l laneName, name string, bytes int) {
	p.put(l, name)
	s := p.shardOf(l)
	at, slowed := p.shards[s]
	if !slowed {
		return
	}
	now := time.Now()
	at.delays.Reset()
	at.rate += rateGrowth * now.Sub(at.grown).Seconds()
	at.grown = now
	if at.rate >= shardRate {
		delete(p.shards, s)
		return
	}
	if at.next.Before(now) {
		at.next = now
	}
	at.next = at.next.Add(at.room(bytes))
}

// burst is how many bytes may be sent to a lane's shard at once.
func (p *pacer) burst(l laneName) int {
	if at, slowed := p.shards[p.shardOf(l)]; slowed {
		return int(at.rate * burstSeconds)
	}
	return math.MaxInt
}

// room is how long a shard's rate, which grows meanwhile, takes to make room for an
// entry of that size.
func (p *pace) room(bytes int) time.Duration {
	seconds := (math.Sqrt(p.rate*p.rate+2*rateGrowth*float64(bytes)) - p.rate) / rateGrowth
	return time.Duration(seconds * float64(time.Second))
}

// slow notes that a shard did not take an entry: for its throughput, or for a fault
// of the service, which asks for a wait and not for a lower rate.
func (p *pacer) slow(l laneName, name string, throughput bool) {
	p.put(l, name)
	s, now := p.shardOf(l), time.Now()
	at := p.shards[s]
	if at == nil {
		at = &pace{rate: shardRate, grown: now, delays: newDelays()}
		if p.shards == nil || len(p.shards) >= maxPlaces {
			p.shards = map[shard]*pace{}
		}
		p.shards[s] = at
	}
	// Of entries that were sent together the first tells all; one that was refused
	// when its time had come tells that the rate is still too high.
	if throughput && now.Sub(at.cut) >= cutEvery && !now.Before(at.next) {
		at.rate, at.cut, at.grown = max(at.rate/2, lowestRate), now, now
	}
	at.next = now.Add(at.delays.NextBackOff())
}

// newDelays draws waits evenly between zero and a bound that doubles, so that the
// writers of a shard do not come back in step.
func newDelays() backoff.BackOff {
	d := &backoff.ExponentialBackOff{
		InitialInterval: firstWait / 2, RandomizationFactor: 1, Multiplier: 2, MaxInterval: longestWait / 2,
		Stop: backoff.Stop, Clock: backoff.SystemClock,
	}
	d.Reset()
	return d
}
