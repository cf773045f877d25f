package kafka

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// unstamped is Kafka's "no timestamp" (-1), which brokers take whatever their
// clock says.
var unstamped = time.UnixMilli(-1) //nolint:gochecknoglobals // a constant, but for the language

// attempt is one Write: its records and what became of each. Its memory serves the
// next Write too.
type attempt struct {
	ctx     context.Context
	sink    *Sink
	client  *kgo.Client
	recs    []kgo.Record
	headers []kgo.RecordHeader // of all records, of which each has its part
	errs    []error            // by index; nil is durable once run has returned
	gone    bool               // the client was closed under the attempt
	// settled is how many records of the last chunk have no fate yet.
	settled sync.WaitGroup
	// index finds a record that failed; made when there is one.
	mu    sync.Mutex
	index map[*kgo.Record]int
}

// begin makes the attempt one at batch.
func (a *attempt) begin(ctx context.Context, client *kgo.Client, batch []sink.Record) {
	a.ctx, a.client, a.gone = ctx, client, false
	a.recs, a.errs, a.headers = slices.Grow(a.recs, len(batch)), slices.Grow(a.errs, len(batch))[:len(batch)], a.headers[:0]
	for i := range batch {
		for _, h := range batch[i].Headers {
			a.headers = append(a.headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	headers := a.headers
	for i := range batch {
		r, n := &batch[i], len(batch[i].Headers)
		a.recs = append(a.recs, kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: r.Time, Headers: headers[:n:n]})
		headers = headers[n:]
	}
}

// end lets go of what the batch holds, which may be large.
func (a *attempt) end() {
	clear(a.recs)
	clear(a.headers)
	clear(a.errs)
	a.ctx, a.client, a.recs, a.headers, a.errs, a.index = nil, nil, a.recs[:0], a.headers[:0], a.errs[:0], nil
}

// fate is told what became of one record, by the client.
func (a *attempt) fate(r *kgo.Record, err error) {
	if err != nil {
		a.errs[a.indexOf(r)] = err
	}
	a.settled.Done()
}

func (a *attempt) indexOf(r *kgo.Record) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.index == nil {
		a.index = make(map[*kgo.Record]int, len(a.recs))
		for i := range a.recs {
			a.index[&a.recs[i]] = i
		}
	}
	return a.index[r]
}

// run sends the records chunk by chunk and stops at the first chunk of which
// something failed. Each chunk is acknowledged before the next is sent, so a
// partition never has two batches in flight and cannot take the second without
// the first.
func (a *attempt) run() {
	for from := 0; from < len(a.recs); {
		to := a.chunkEnd(from)
		if !a.settle(span(from, to)) {
			a.holdBack(span(to, len(a.recs)))
			return
		}
		from = to
	}
}

// chunkEnd returns the end of the chunk that begins at from: at least one
// record, and no more bytes than one batch of the broker's may have.
func (a *attempt) chunkEnd(from int) int {
	size := 0
	for i := from; i < len(a.recs) && i-from < maxChunkRecords; i++ {
		if size += wireSize(&a.recs[i]); size > a.sink.batchBytes && i > from {
			return i
		}
	}
	return min(len(a.recs), from+maxChunkRecords)
}

// wireSize is no less than r takes in a batch before compression.
func wireSize(r *kgo.Record) int {
	size := 32 + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += 10 + len(h.Key) + len(h.Value)
	}
	return size
}

// settle sends the records at these indexes, again as long as there is another
// way to send them, and tells whether all are durable.
func (a *attempt) settle(index []int) bool {
	a.produce(index)
	durable := true
	for _, group := range a.failed(index) {
		switch err := a.errs[group[0]]; {
		case refused(err):
			durable = a.narrow(group) && durable
		case clockFault(err):
			durable = a.restamp(group) && durable
		default:
			durable = false
		}
	}
	return durable
}

// produce sends the records at these indexes in one batch a partition and
// waits for their fate. When ctx ends first, it closes the client, which is the
// only way to make it let go of records that may be in flight.
func (a *attempt) produce(index []int) {
	fate := a.fate
	a.settled.Add(len(index))
	for _, i := range index {
		a.errs[i] = nil
		a.client.Produce(context.Background(), &a.recs[i], fate)
	}
	ended := a.client.Flush(a.ctx)
	if ended != nil {
		ended = a.sink.trouble.explain(fmt.Errorf("not acknowledged in time: %w", ended))
		a.gone = true
		a.client.Close()
	}
	a.settled.Wait()
	if ended != nil {
		a.blame(index, ended)
	}
}

// blame replaces the errors of records whose fate ctx's end left open.
func (a *attempt) blame(index []int, err error) {
	for _, i := range index {
		if a.errs[i] != nil && !refused(a.errs[i]) {
			a.errs[i] = err
		}
	}
}

// failed returns the failed ones of these indexes by topic and partition, in
// order: the client fails all of a partition's batch alike.
func (a *attempt) failed(index []int) [][]int {
	type partition struct {
		topic string
		n     int32
	}
	var groups [][]int
	place := map[partition]int{}
	for _, i := range index {
		if a.errs[i] == nil {
			continue
		}
		p := partition{a.recs[i].Topic, a.recs[i].Partition}
		at, known := place[p]
		if !known {
			at = len(groups)
			place[p] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], i)
	}
	return groups
}

// narrow sends a refused group in halves. Of one record alone the refusal is
// permanent.
func (a *attempt) narrow(group []int) bool {
	if len(group) == 1 {
		a.errs[group[0]] = sink.Permanent(a.errs[group[0]])
		return false
	}
	left, right := group[:len(group)/2], group[len(group)/2:]
	if a.gone || !a.settle(left) {
		a.holdBack(right)
		return false
	}
	return a.settle(right)
}

// restamp sends a group again with the present time, and where that was not
// taken either, without any.
func (a *attempt) restamp(group []int) bool {
	changed, now := false, time.Now()
	for _, i := range group {
		r := &a.recs[i]
		switch {
		case r.Timestamp.Equal(unstamped):
			continue
		case now.Sub(r.Timestamp).Abs() < time.Minute:
			r.Timestamp = unstamped
		default:
			r.Timestamp = now
		}
		changed = true
	}
	if !changed || a.gone {
		return false
	}
	a.sink.restamped.Add(uint64(len(group)))
	return a.settle(group)
}

// holdBack gives errNotSent to records that must not go before earlier ones.
func (a *attempt) holdBack(index []int) {
	for _, i := range index {
		a.errs[i] = errNotSent
	}
}

// spoiled tells whether the next Write needs another client.
func (a *attempt) spoiled() bool {
	return a.gone || slices.ContainsFunc(a.errs, func(err error) bool { return !sound(err) })
}

// result is Write's answer.
func (a *attempt) result() error {
	failed := map[int]error{}
	permanent := false
	for i, err := range a.errs {
		if err != nil {
			failed[i] = fmt.Errorf("kafka: topic %q: %w", a.recs[i].Topic, err)
			permanent = permanent || sink.IsPermanent(err)
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case len(failed) == len(a.recs) && !permanent:
		return failed[0]
	}
	return &sink.BatchError{Failed: failed}
}

// span is the indexes from (included) to (not included).
func span(from, to int) []int {
	out := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}
