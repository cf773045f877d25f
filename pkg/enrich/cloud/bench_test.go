package cloud_test

import (
	"os"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/trailtest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// BenchmarkRecords is all that one record of CloudTrail's costs in enricher run, but for
// Kafka: it is read, what it states is kept, it is written enriched, and where it is of
// an instance's credentials what the joins ask of it goes through an envelope and is
// joined. Every 94 records are the story of an instance of their own, with its launch,
// keys, addresses and sessions, and with 70 calls of five kinds that state nothing.
func BenchmarkRecords(b *testing.B) {
	text, err := os.ReadFile(records)
	if err != nil {
		b.Fatal(err)
	}
	facts, uses := cloudtrail.NewTable(0), cloudtrail.NewTable(0)
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	made, err := trailtest.Records(text, 47_000, start)
	if err != nil {
		b.Fatal(err)
	}
	joined := cloud.New(cloud.Config{Facts: facts, Uses: uses, Apart: true}, state.NewMemory())
	enricher := cloudtrail.Enricher{Facts: facts}
	var out enrich.Out
	var line []byte
	var decoder cloudtrail.Decoder
	take := func(found cloudtrail.Found) (err error) {
		r := found.Record
		for _, f := range cloudtrail.Extract(nil, r) {
			facts.Add(f)
		}
		if f, ok := cloudtrail.Uses(r); ok {
			uses.Add(f)
		}
		line, _, err = enricher.Append(line[:0], r, cloudtrail.Place{}, start)
		send(b, joined, facts, r, &out)
		return err
	}
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for b.Loop() {
		if err := decoder.Decode(made[n%len(made)], cloudtrail.Limits{}, take); err != nil {
			b.Fatal(err)
		}
		if n++; n%1000 == 0 { // a transaction ends
			if err := joined.Seal(); err != nil {
				b.Fatal(err)
			}
			if err := joined.OnIdle(&out); err != nil {
				b.Fatal(err)
			}
			out.Reset()
		}
	}
	b.ReportMetric(100*trailtest.Rate*b.Elapsed().Seconds()/float64(b.N), "%core-at-5000/s")
}

// send takes what is of an instance's credentials through the side topic.
func send(b *testing.B, joined *cloud.Operator, facts *cloudtrail.Table, r *cloudtrail.Record, out *enrich.Out) {
	var h cloudtrail.Host
	if h.ID, h.Proof = facts.Instance(r); h.Proof == "" || h.Proof == cloudtrail.ProofSessionName {
		return
	}
	for kind, value := range map[enrich.SideKind][]byte{enrich.SideUse: cloud.UseOf(r, h), enrich.SideCall: cloud.CallOf(r, h)} {
		if value == nil {
			continue
		}
		s := &enrich.Side{Host: enrich.Host(h.ID), Kind: kind, Time: r.Time, Value: value, Source: r.ID()}
		sent, err := s.Append(nil)
		if err == nil {
			s, err = enrich.ReadSide(sent)
		}
		if err == nil {
			err = joined.OnSide(s, out)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
