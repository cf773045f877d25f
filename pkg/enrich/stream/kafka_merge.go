package stream

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// mergePatience is how long a topic that brings nothing of what it holds is waited for
// by the one it is merged with: twice as long as a transaction of stage 1 lasts. A leader
// that is away, or a transaction of somebody who died, would hold up the hosts' own rows.
const mergePatience = 2 * linger

// aheadBytes is how much is held of a topic that waits for the other; then it is fetched
// no more.
const aheadBytes = 2 * maxBytes

// horizon asks where the topics that are merged end now. Whatever was gathered was
// appended before, so a source that has been read to there has nothing older to come.
func (s *KafkaSession) horizon(ctx context.Context) {
	if s.cfg.Side == "" || !s.merging() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, idleWait)
	defer cancel()
	ends, err := kadm.NewClient(s.client).ListEndOffsets(ctx, s.cfg.Inputs...)
	if err != nil {
		s.fetchError(s.cfg.Side, -1, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for id, w := range s.workers {
		for topic, src := range w.sources {
			if end, ok := ends.Lookup(topic, id); ok && end.Err == nil {
				src.reach(end.Offset, now)
			} else {
				src.reach(math.MaxInt64, now)
			}
		}
	}
}

// merging tells whether a worker has records and several sources.
func (s *KafkaSession) merging() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		for _, src := range w.sources {
			if len(w.sources) > 1 && len(src.queue) > 0 {
				return true
			}
		}
	}
	return false
}

// reach notes where the source ends.
func (src *source) reach(end int64, now time.Time) {
	src.end = end
	switch {
	case src.fetched >= end:
		src.behind = time.Time{}
	case src.behind.IsZero():
		src.behind = now
	}
}

// holds tells whether the source may still bring something appended before t, and is
// waited for.
func (src *source) holds(t time.Time) bool {
	return src.lacks(t) && time.Since(src.behind) < src.patience
}

// lacks tells whether the source may still bring something appended before t.
func (src *source) lacks(t time.Time) bool {
	return src.open && src.fetched < src.end && src.latest.Before(t)
}

// hand moves up to n records of up to size bytes of the worker into the transaction: of
// its sources that are not under suspicion, as one, by the time they were appended.
// Those of one source stay in order. It stops where a source has yet to bring what may
// come before.
func (w *worker) hand(n, size int) (merged []enrich.Input, bytes int) {
	sources := w.trusted()
	if len(sources) == 0 || n <= 0 || size <= 0 {
		return nil, 0
	}
	if len(sources) == 1 && len(w.sources) == 1 {
		return sources[0].hand(n, size)
	}
	merged = make([]enrich.Input, 0, min(n, w.queued()))
	for len(merged) < n && bytes < size {
		src := earliest(sources)
		if src == nil {
			break
		}
		in := src.head()
		if w.early(src, in.Appended) {
			break
		}
		src.handed++
		merged, bytes = append(merged, *in), bytes+weight(in)
	}
	return merged, bytes
}

func (w *worker) queued() (n int) {
	for _, src := range w.sources {
		n += len(src.queue)
	}
	return n
}

// trusted are the sources that are not under suspicion, by topic.
func (w *worker) trusted() (sources []*source) {
	for _, topic := range slices.Sorted(maps.Keys(w.sources)) {
		if src := w.sources[topic]; !src.suspect() {
			sources = append(sources, src)
		}
	}
	return sources
}

// earliest is the source whose next record was appended first, nil when none has one.
func earliest(sources []*source) (first *source) {
	for _, src := range sources {
		if in := src.head(); in != nil && (first == nil || in.Appended.Before(first.head().Appended)) {
			first = src
		}
	}
	return first
}

// early tells whether another source than src may still bring what was appended before t,
// and counts what no longer waits for it.
func (w *worker) early(src *source, t time.Time) bool {
	for _, other := range w.sources {
		if other == src || other.handed < len(other.queue) || !other.lacks(t) {
			continue
		}
		if other.holds(t) {
			return true
		}
		w.unmerged++
	}
	return false
}

// due counts what could be handed out of a source, as far as is known.
func (w *worker) due(src *source) (records, bytes int) {
	if src.trial.active() {
		return min(len(src.queue), 1), 0 // those under suspicion go by themselves
	}
	for i := range src.queue {
		in := &src.queue[i]
		for _, other := range w.sources {
			if other != src && other.holds(in.Appended) {
				return records, bytes
			}
		}
		records, bytes = records+1, bytes+weight(in)
	}
	return records, bytes
}

// restrain stops fetching sources of which much is held that waits for others, and
// fetches them again once it went.
func (s *KafkaSession) restrain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, w := range s.workers {
		for topic, src := range w.sources {
			if len(w.sources) == 1 || !src.open {
				continue
			}
			held := 0
			for i := range src.queue {
				held += weight(&src.queue[i])
			}
			m := map[string][]int32{topic: {id}}
			switch {
			case !src.paused && held > aheadBytes:
				src.paused = true
				s.client.PauseFetchPartitions(m)
			case src.paused && held < maxBytes/2:
				src.paused = false
				s.client.ResumeFetchPartitions(m)
			}
		}
	}
}
