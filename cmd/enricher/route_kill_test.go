package main

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// byRouting tells whether stage 1 of the group g asks that.
func byRouting(req kmsg.Request) bool {
	id, group := "", ""
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		if r.TransactionID != nil {
			id = *r.TransactionID
		}
	case *kmsg.TxnOffsetCommitRequest:
		id = r.TransactionalID
	case *kmsg.EndTxnRequest:
		id = r.TransactionalID
	case *kmsg.OffsetCommitRequest:
		group = r.Group
	}
	return strings.HasPrefix(id, "g.route-") || group == "g.route"
}

// Promise 5 for stage 1: it is killed at each step of a transaction, before the broker
// did what it was asked and after, while the facts tell of another owner of an address.
// Each record is told once, the link is withdrawn where it was told first, and told once
// where it belongs.
func TestAKillAtAnyStepOfRoutingChangesNothing(t *testing.T) {
	for name, key := range map[string]kmsg.Key{
		"produce": kmsg.Produce, "offsets": kmsg.TxnOffsetCommit, "end": kmsg.EndTxn, "mark": kmsg.OffsetCommit,
	} {
		for when, done := range map[string]bool{"before": false, "after": true} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				killRouting(t, key, done)
			})
		}
	}
}

func killRouting(t *testing.T, key kmsg.Key, done bool) {
	s := newSite(t)
	kill := s.process()
	const address = "10.0.0.1"
	s.host("osquery.results", "aa", "aa", address, 5)
	s.await("g.facts", func(all []linked) bool { return len(all) > 0 })
	s.helloBy("k", "aa", address, 6) // to where aa spoke a second before
	s.host("osquery.results", "aa", "aa", address, 6)
	s.await("osquery.enriched", func(all []linked) bool { return statusOf(all)["aa"] == "attributed" })
	kill() // the one that follows is to do all of its steps

	victim := make(chan func(), 1)
	var killed atomic.Bool
	s.broker.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.broker.KeepControl()
		if !byRouting(req) || killed.Swap(true) {
			return nil, nil, false
		}
		(<-victim)()
		if done {
			return nil, nil, false
		}
		return nil, errors.New("the process was killed"), true
	})
	victim <- s.process()
	s.host("osquery.results", "bb", "bb", address, 6)
	s.send("osquery.results", "bb", row("bb", "interface_addresses", 400, fmt.Sprintf(`"interface":"eth0","address":%q,"mask":"255.0.0.0"`, address)))
	s.helloBy("k", "xx", "10.0.0.9", 7) // in a partition of which something was taken: its owner makes its mark
	for wait := 0; !killed.Load(); wait++ {
		if wait > 600 {
			t.Fatal("nobody was killed: the test shows nothing")
		}
		<-time.After(100 * time.Millisecond)
	}
	s.process()
	all := s.await("osquery.enriched", func(all []linked) bool {
		of := statusOf(all)
		return of["aa"] == "withdrawn" && of["bb"] == "attributed" && sensors(all) >= 2
	})
	if n := sensors(all); n != 2 {
		t.Errorf("%d records of the sensor's were told, 2 were sent", n)
	}
	told := map[string]int{}
	for _, r := range all {
		e := r.Enrichment
		if e.Link == nil {
			continue
		}
		id := fmt.Sprint(e.Event.ID, " ", e.Event.Revision)
		if told[id]++; told[id] > 1 {
			t.Errorf("%s of %s (%s) was told %d times", id, e.Host.ID, e.Link.Status, told[id])
		}
	}
	if of := statusOf(all); of["aa"] != "withdrawn" || of["bb"] != "attributed" || len(of) != 2 {
		t.Errorf("links: %v", of)
	}
}

// statusOf is the last status of each host's link.
func statusOf(all []linked) map[string]string {
	of := map[string]string{}
	for _, r := range all {
		if e := r.Enrichment; e.Link != nil {
			of[e.Host.ID] = e.Link.Status
		}
	}
	return of
}

// sensors counts the sensor's own records.
func sensors(all []linked) (n int) {
	for _, r := range all {
		if r.Enrichment.Event.Dataset == "zeek.ssl" && r.Enrichment.Link == nil {
			n++
		}
	}
	return n
}
