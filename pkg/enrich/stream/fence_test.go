package stream_test

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What an owner left open that died holds up all who read what is committed, for minutes
// here: who takes its partitions over ends it.
func TestADeadOwnersTransactionIsEndedByWhoFollowsIt(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t)
	const hosts, rows = 8, 20
	produce(t, cfg, hosts, 0, rows)
	stop := running(t, cfg, 1, job())
	check(t, collect(t, cfg, out, hosts*rows), hosts, rows)
	stop()
	const writer = "00000000000000dd"
	died, err := kgo.NewClient(append(cfg.Connection, kgo.TransactionalID(cfg.Group+"-"+writer), kgo.TransactionTimeout(10*time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer died.Close()
	if err := died.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{out, states} {
		for p := range int32(partitions) {
			if err := died.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: p, Key: []byte("dead"), Value: []byte("{}")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	admin := kadm.NewClient(died)
	offsets, err := admin.FetchOffsets(t.Context(), cfg.Group)
	if err != nil {
		t.Fatal(err)
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		o.Metadata = "writer=" + writer
		offsets[o.Topic][o.Partition] = o
	})
	if err := admin.CommitAllOffsets(t.Context(), cfg.Group, offsets.Offsets()); err != nil {
		t.Fatal(err)
	}
	produce(t, cfg, hosts, rows, 2*rows)
	running(t, cfg, 1, job())
	check(t, collect(t, cfg, out, hosts*2*rows), hosts, 2*rows)
}

// A member that gives partitions to another one lives: nothing of its own is ended.
func TestAMemberThatLivesIsNotFenced(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	var mu sync.Mutex
	begun := map[string]int{}
	c.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if r, ok := req.(*kmsg.InitProducerIDRequest); ok && r.TransactionalID != nil {
			begun[*r.TransactionalID]++
		}
		return nil, nil, false
	})
	const hosts, rows = 8, 60
	produce(t, cfg, hosts, 0, rows/3)
	running(t, cfg, 1, job())
	check(t, collect(t, cfg, out, hosts*rows/3), hosts, rows/3)
	second := running(t, cfg, 1, job())
	for n := rows / 3; n < rows; n++ {
		produce(t, cfg, hosts, n, n+1)
		<-time.After(50 * time.Millisecond)
	}
	second() // and back
	produce(t, cfg, hosts, rows, rows+1)
	check(t, collect(t, cfg, out, hosts*(rows+1)), hosts, rows+1)
	mu.Lock()
	defer mu.Unlock()
	once := 0
	for _, n := range begun {
		if n == 1 {
			once++
		}
	}
	if once < 1 || len(begun) != 2 {
		t.Errorf("transactional ids were begun so often: %v", begun) // that of who left may be, again
	}
}
