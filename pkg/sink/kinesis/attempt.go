package kinesis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// attempt is one Write: its records and what became of each.
type attempt struct {
	ctx   context.Context
	sink  *Sink
	put   Put
	batch []sink.Record
	lanes []*lane // in the order of their first records
	errs  []error // by index; nil is durable once run has returned
	stale bool    // the credentials may have been replaced
}

// lane is the records of one stream and key, which go one entry after the other.
type lane struct {
	laneName

	left  []int // what is not delivered, in order
	most  int   // most records of an entry: lowered when one was refused
	alone bool  // its entry shares no request: one was refused
	head  *entry
	last  error // why the last entry was not taken
	ended bool
}

func newAttempt(ctx context.Context, s *Sink, put Put, batch []sink.Record) *attempt {
	a := &attempt{ctx: ctx, sink: s, put: put, batch: batch, errs: make([]error, len(batch))}
	known := map[laneName]*lane{}
	for i := range batch {
		name := laneName{a.stream(batch[i].Topic), PartitionKey(batch[i].Key)}
		l := known[name]
		if l == nil {
			l = &lane{laneName: name, most: math.MaxInt}
			known[name] = l
			a.lanes = append(a.lanes, l)
		}
		l.left = append(l.left, i)
	}
	return a
}

func (a *attempt) stream(topic string) string {
	if name, ok := a.sink.cfg.Streams[topic]; ok {
		return name
	}
	return topic
}

// run sends request after request until each lane is empty or ended, or ctx has.
func (a *attempt) run() {
	for _, l := range a.lanes {
		if err := CheckStream(l.stream); err != nil {
			a.end(l, err)
		}
	}
	for {
		ready, at := a.ready()
		switch {
		case len(ready) > 0:
			if entries := a.gather(ready); len(entries) > 0 {
				a.send(entries)
			}
		case at.IsZero():
			return
		case !a.waitUntil(at):
			a.endAll(fmt.Errorf("not taken in time: %w", a.ctx.Err()))
			return
		}
	}
}

// ready returns the lanes that may be sent to now, else when the first may, or zero
// when there is nothing left to send.
func (a *attempt) ready() (ready []*lane, at time.Time) {
	now := time.Now()
	for _, l := range a.lanes {
		if l.ended || len(l.left) == 0 {
			continue
		}
		next := a.sink.pacer.notBefore(l.laneName)
		switch {
		case !next.After(now):
			ready = append(ready, l)
		case at.IsZero() || next.Before(at):
			at = next
		}
	}
	return ready, at
}

func (a *attempt) waitUntil(at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.ctx.Done():
		return false
	}
}

// gather makes the entries of one request, to the stream of the first lane that is
// ready.
func (a *attempt) gather(ready []*lane) []*entry {
	var entries []*entry
	size, shards := 0, map[shard]bool{}
	for _, l := range ready {
		at := a.sink.pacer.shardOf(l.laneName)
		_, slowed := a.sink.pacer.shards[at]
		switch {
		case l.stream != ready[0].stream, l.alone && len(entries) > 0:
			continue
		case slowed && shards[at]:
			continue // one entry at a time finds the rate of a shard that is full
		}
		shards[at] = true
		for _, e := range a.entries(l, a.sink.cfg.RequestRecords-len(entries)) {
			if size += e.size; len(entries) > 0 && size > a.sink.cfg.RequestBytes {
				return entries
			}
			entries = append(entries, e)
		}
		if len(entries) == a.sink.cfg.RequestRecords || l.alone && len(entries) > 0 {
			break
		}
	}
	return entries
}

// entries are what a lane may put into one request: one entry, or for None as many
// as there is room for.
func (a *attempt) entries(l *lane, room int) []*entry {
	if a.sink.cfg.Aggregate != None {
		if l.head == nil {
			l.head = a.entry(l, 0)
		}
		if l.head == nil {
			return nil
		}
		return []*entry{l.head}
	}
	if l.alone {
		room = 1
	}
	var all []*entry
	burst := a.sink.pacer.burst(l.laneName)
	for i := 0; i < len(l.left) && len(all) < room && burst > 0; i++ {
		e := a.entry(l, i)
		if e == nil {
			break
		}
		all = append(all, e)
		burst -= e.size
	}
	return all
}

// entry makes the entry that begins with what a lane has left from index from on. It
// is nil for a record that no entry can hold: a record that is the lane's next ends
// it then, any other when its turn has come.
func (a *attempt) entry(l *lane, from int) *entry {
	index := l.left[from:]
	data, n := a.sink.coder.encode(l.key, a.batch, index, l.most)
	e := &entry{lane: l, records: index[:n:n], data: data, size: len(data) + len(l.key)}
	if a.sink.cfg.Keyless {
		e.size = len(data)
	}
	if e.size <= a.sink.cfg.RecordBytes {
		return e
	}
	if from == 0 { // and alone in it, since several are held to less
		a.refuse(l, fmt.Errorf("%d bytes with all that counts, the largest record is %d", e.size, a.sink.cfg.RecordBytes))
	}
	return nil
}

// send sends one request and sorts what came of it.
func (a *attempt) send(entries []*entry) {
	in := make([]Entry, len(entries))
	for i, e := range entries {
		in[i] = Entry{e.lane.key, e.data}
	}
	answers, err := a.put(a.ctx, entries[0].lane.stream, in)
	switch {
	case err != nil:
		a.requestFailed(entries, err)
		return
	case len(answers) != len(entries):
		a.requestFailed(entries, fmt.Errorf("%d answers to %d records", len(answers), len(entries)))
		return
	}
	// Failures first: what else a full shard took says nothing for its rate.
	for i, e := range entries {
		if answers[i].Code != "" {
			a.entryFailed(e, &apiError{answers[i].Code, answers[i].Message})
		}
	}
	for i, e := range entries {
		if answers[i].Code == "" {
			a.delivered(e, answers[i].Shard)
		}
	}
}

func (a *attempt) delivered(e *entry, shard string) {
	l := e.lane
	a.sink.pacer.sent(l.laneName, shard, e.size)
	left := make([]int, 0, len(l.left)-len(e.records))
	for _, i := range l.left {
		if i < e.records[0] || i > e.records[len(e.records)-1] {
			left = append(left, i)
		}
	}
	l.left, l.head, l.last = left, nil, nil
}

// result is Write's answer.
func (a *attempt) result() error {
	failed := map[int]error{}
	permanent := false
	for _, l := range a.lanes {
		for _, i := range l.left {
			failed[i] = fmt.Errorf("%s: stream %q: %w", a.sink.cfg.Name, l.stream, a.errs[i])
			permanent = permanent || sink.IsPermanent(a.errs[i])
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case len(failed) == len(a.batch) && !permanent:
		return a.foremost(failed)
	}
	return &sink.BatchError{Failed: failed}
}

// foremost is the error that tells most: one that is not of being held back.
func (a *attempt) foremost(failed map[int]error) error {
	for i := range a.batch {
		if err := failed[i]; !errors.Is(err, errNotSent) {
			return err
		}
	}
	return failed[0]
}
