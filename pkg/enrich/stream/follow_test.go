package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// followed is what a follower was given. It is safe for concurrent use.
type followed struct {
	mu   sync.Mutex
	keys []string
}

func (f *followed) take(key, value []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, string(key))
	if string(value) == "bad" {
		return errors.New("as the value says")
	}
	return nil
}

func (f *followed) all() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.keys, " ")
}

// A follower has all that was committed before it says so, nothing that was aborted,
// and then what comes; a record that says nothing ends it not.
func TestAFollowerReadsAllThenWhatComes(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	kafkatest.CreateTopic(t, c.ListenAddrs(), "facts", 3, nil)
	client := kafkatest.Client(t, c.ListenAddrs(), kgo.TransactionalID("facts"))
	send := func(end kgo.TransactionEndTry, keys ...string) {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			r := &kgo.Record{Topic: "facts", Key: []byte(key), Value: []byte(strings.TrimLeft(key, "0123456789"))}
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprint(i))
	}
	send(kgo.TryCommit, append(keys, "1bad")...)
	send(kgo.TryAbort, "aborted")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got followed
	whole, done := make(chan struct{}), make(chan error, 1)
	f := stream.Follower{Connection: cfg.Connection, Topic: "facts", Take: got.take, Whole: func() { close(whole) }, Log: slog.New(slog.DiscardHandler)}
	go func() { done <- f.Run(ctx) }()
	<-whole
	if n := len(strings.Fields(got.all())); n != 21 || strings.Contains(got.all(), "aborted") {
		t.Errorf("%d records: %s", n, got.all())
	}
	send(kgo.TryCommit, "late")
	for deadline := time.Now().Add(time.Minute); !strings.HasSuffix(got.all(), "late"); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what came later was not read")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAFollowerOfAnEmptyTopicHasAll(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	kafkatest.CreateTopic(t, c.ListenAddrs(), "facts", 3, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	f := stream.Follower{Connection: cfg.Connection, Topic: "facts", Whole: cancel, Log: slog.New(slog.DiscardHandler)}
	go func() { done <- f.Run(ctx) }()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
