package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/metrics"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// manyFacts are n facts as a busy month leaves them: most are of keys and of their use.
func manyFacts(b *testing.B, n int) (all []*kgo.Record) {
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	stated := func(f cloudtrail.Fact) {
		value, err := json.Marshal(&f)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, &kgo.Record{Key: []byte(f.CompactionKey("route")), Value: value})
	}
	for i := 0; len(all) < n; i++ {
		key, at := fmt.Sprintf("ASIA%016d", i), start.Add(time.Duration(i)*time.Second)
		f := cloudtrail.Fact{Subject: key, EventID: fmt.Sprint("e-", i), Account: "111122223333", Region: "eu-west-1", Time: at}
		issued, used := f, f
		issued.Kind, issued.Via, issued.Until = cloudtrail.FactIssuedKey, "AssumeRole", at.Add(time.Hour)
		issued.Key = &cloudtrail.IssuedKey{ARN: "arn:aws:sts::111122223333:assumed-role/web/" + key, Role: "arn:aws:iam::111122223333:role/web", SessionName: key}
		stated(issued)
		used.Kind, used.Use = cloudtrail.FactUse, &cloudtrail.Use{Address: "203.0.113.80"}
		stated(used)
		if i%8 != 0 {
			continue
		}
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		o, err := (&owner.Fact{Kind: owner.HostAddress, Host: enrich.Host(fmt.Sprint("host-", i)), Address: addr, From: at, To: at.Add(time.Hour)}).Output()
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, &kgo.Record{Key: o.Key, Value: o.Value})
	}
	return all
}

// How long a new process waits before it joins: it reads the facts first.
func BenchmarkFactsAreKnown(b *testing.B) {
	const topic, n = "joins.facts", 200_000
	broker := kafkatest.Fake(b, kfake.SeedTopics(6, topic))
	connection := []kgo.Opt{kgo.SeedBrokers(broker.Addrs()...)}
	client, err := kgo.NewClient(append(connection, kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(b.Context(), manyFacts(b, n)...).FirstErr(); err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for b.Loop() {
		r := routing{
			kafka:     stream.KafkaConfig{Connection: connection, Outputs: map[enrich.Stream]string{enrich.Facts: topic}, Log: log},
			factsRead: newFactsRead(route.NewFacts(nil), metrics.New(), log),
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- r.follow(ctx) }()
		<-r.known
		b.StopTimer()
		if got := r.facts.Trail().Len() + r.facts.Uses().Len(); got < n*8/10 {
			b.Fatalf("%d facts are known", got)
		}
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "facts/s")
}
