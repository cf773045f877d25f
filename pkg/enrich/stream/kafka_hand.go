package stream

import (
	"cmp"
	"maps"
	"slices"
)

// hand moves the next records into the transaction: those of one source under
// suspicion by itself, or those of all others. The two take turns, so that a bad
// record does not keep the good ones waiting.
func (s *KafkaSession) hand() []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var suspects []*source
	others := 0
	ids := slices.Sorted(maps.Keys(s.workers))
	for _, id := range ids {
		if !s.workers[id].ready {
			continue
		}
		for _, src := range s.workers[id].sources {
			if src.suspect() {
				suspects = append(suspects, src)
			} else {
				others += len(src.queue)
			}
		}
	}
	s.turn++
	if len(suspects) > 0 && (others == 0 || s.turn%2 == 0) {
		slices.SortFunc(suspects, func(a, b *source) int {
			return cmp.Or(cmp.Compare(a.queue[0].Position.Partition, b.queue[0].Position.Partition), cmp.Compare(a.topic, b.topic))
		})
		return s.handSuspect(suspects[s.turn/2%len(suspects)])
	}
	return s.handAll(ids)
}

func (s *KafkaSession) handSuspect(src *source) []Batch {
	records, _ := src.hand(maxRecords, maxBytes)
	first := records[0].Position
	batch := Batch{Partition: s.partition(first.Partition), Records: records}
	if batch.Poison = src.trial.poison(first.Offset); batch.Poison != "" {
		s.cfg.Log.Error("record given up, dead-lettered", "topic", first.Topic, "partition", first.Partition, "offset", first.Offset, "reason", batch.Poison)
	}
	return []Batch{batch}
}

// handAll takes from every source that is not under suspicion, from another one
// first each time.
func (s *KafkaSession) handAll(ids []int32) (batches []Batch) {
	records, bytes, _ := s.limits.now()
	for i := range ids {
		w := s.workers[ids[(i+s.turn)%len(ids)]]
		if !w.ready {
			continue
		}
		part, size := w.hand(records, bytes)
		if len(part) > 0 {
			batches = append(batches, Batch{Partition: s.partition(w.id), Records: part})
		}
		records, bytes = records-len(part), bytes-size
	}
	return batches
}
