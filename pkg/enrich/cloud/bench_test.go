package cloud_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// another puts other ids and addresses in the place of those of a story.
func another(ids []string, n int) *strings.Replacer {
	var pairs []string
	for _, id := range ids {
		other := fmt.Sprintf("%s%0*x", id[:min(4, len(id)-4)], max(4, len(id)-4), n)
		if id[0] == '2' {
			other = fmt.Sprintf("100.%d.%d.%s", n>>8&0xff, n&0xff, id[len(id)-2:])
		}
		pairs = append(pairs, id, other)
	}
	return strings.NewReplacer(pairs...)
}

// rate is that of a large estate, in records a second.
const rate = 5000

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
	plain := []string{"get", "scope", "agent", "internal", "forged"}
	ids := regexp.MustCompile(`i-0[0-9a-f]{16}|(ASIA|AKIA|AIDA|AROA)[A-Z0-9]{10,16}|vpc-1a2b3c4d|eipalloc-[0-9]|fleet-a|203\.0\.113\.8[01]`).FindAllString(string(text), -1)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var raw [][]byte
	err = cloudtrail.Read(bytes.NewReader(text), cloudtrail.Limits{}, func(f cloudtrail.Found) error {
		raw = append(raw, bytes.Clone(f.Record.Raw))
		for i := 0; i < 14 && slices.Contains(plain, f.Record.EventID); i++ {
			raw = append(raw, raw[len(raw)-1])
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	made := make([][]byte, 500*len(raw))
	var world *strings.Replacer
	for i := range made { // each another record, at a rate of 5,000 a second
		if i%len(raw) == 0 {
			world = another(ids, i/len(raw))
		}
		one := raw[i%len(raw)]
		from := bytes.Index(one, []byte(`"eventTime":"`)) + len(`"eventTime":"`)
		one = fmt.Appendf(nil, "%s%s%s", one[:from], start.Add(time.Duration(i)*time.Second/rate).Format(time.RFC3339), one[from+len("2026-11-23T10:00:00Z"):])
		one = bytes.Replace(one, []byte(`"eventID":"`), fmt.Appendf(nil, `"eventID":"%d-`, i), 1)
		made[i] = []byte(world.Replace(string(one)))
	}
	joined := cloud.New(cloud.Config{Facts: facts, Uses: uses, Apart: true}, state.NewMemory())
	enricher := cloudtrail.Enricher{Facts: facts}
	var out enrich.Out
	var line []byte
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for b.Loop() {
		r, err := cloudtrail.Parse(made[n%len(made)])
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range cloudtrail.Extract(nil, r) {
			facts.Add(f)
		}
		if f, ok := cloudtrail.Uses(r); ok {
			uses.Add(f)
		}
		line, _, err = enricher.Append(line[:0], r, cloudtrail.Place{}, start)
		if err != nil {
			b.Fatal(err)
		}
		send(b, joined, facts, r, &out)
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
	b.ReportMetric(100*rate*b.Elapsed().Seconds()/float64(b.N), "%core-at-5000/s")
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
