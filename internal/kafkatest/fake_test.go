package kafkatest_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

func TestFakeKeepsItsDataOverStop(t *testing.T) {
	f := kafkatest.Fake(t)
	kafkatest.CreateTopic(t, f.Addrs(), "t", 2, map[string]string{"max.message.bytes": "1000"})
	client := kafkatest.Client(t, f.Addrs())
	for _, key := range []string{"a", "b", "c", "d"} {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Key: []byte(key)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	client.Close()
	f.Stop(t)
	f.Start(t)
	if got := kafkatest.Read(t, f.Addrs(), "t"); len(got) != 4 {
		t.Errorf("%d records after the restart, want 4", len(got))
	}
	if got := kafkatest.Read(t, f.Addrs(), "t"); len(got) > 0 && got[0].Partition > got[len(got)-1].Partition {
		t.Error("partitions are out of order")
	}
}

// Read does not wait for a transaction that is open, nor for records of one that is
// aborted after Read has begun.
func TestReadGoesAsFarAsTheTopicIsDecided(t *testing.T) {
	f := kafkatest.Fake(t)
	kafkatest.CreateTopic(t, f.Addrs(), "t", 1, nil)
	client := kafkatest.Client(t, f.Addrs(), kgo.TransactionalID("x"))
	finish := func(end kgo.TransactionEndTry) {
		t.Helper()
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t"}, &kgo.Record{Topic: "t"}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	want := func(n int) {
		t.Helper()
		if got := kafkatest.Read(t, f.Addrs(), "t", kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords()); len(got) != n {
			t.Errorf("%d records, want %d", len(got), n)
		}
	}
	begin()
	want(0)
	finish(kgo.TryCommit)
	want(3) // and the marker
	begin()
	want(3)
	finish(kgo.TryAbort)
	want(4) // of that nothing but its marker
}
