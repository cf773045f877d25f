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
