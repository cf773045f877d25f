//go:build e2e

package kinesis_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
)

// A follower has all that is there before it says so, and then what comes, through a
// split: records of one key in their order. What nobody can read is told and passed over.
func TestAFollowerHasAllOfAStream(t *testing.T) {
	front := kinesistest.Real(t)
	client, name := kinesistest.Client(t, front.Endpoint()), "facts"
	kinesistest.CreateStream(t, front.Endpoint(), name, 1)
	put := func(key string, n int) {
		t.Helper()
		if _, err := client.PutRecord(t.Context(), &awskinesis.PutRecordInput{StreamName: &name, PartitionKey: &key, Data: fmt.Appendf(nil, "%s %d", key, n)}); err != nil {
			t.Fatal(err)
		}
	}
	keys := []string{"a", "b", "c", "d"}
	const before, after = 10, 20
	for n := range before {
		for _, key := range keys {
			put(key, n)
		}
	}
	middle, shard := "170141183460469231731687303715884105728", "shardId-000000000000"
	if _, err := client.SplitShard(t.Context(), &awskinesis.SplitShardInput{StreamName: &name, ShardToSplit: &shard, NewStartingHashKey: &middle}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if all, err := kinesis.Shards(t.Context(), client, name); err == nil && len(all) == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the stream was not split")
		}
	}
	for n := before; n < after; n++ {
		for _, key := range keys {
			put(key, n)
		}
	}
	var mu sync.Mutex
	got, refused, logs := map[string][]string{}, 0, &strings.Builder{}
	count := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, all := range got {
			n += len(all)
		}
		return n
	}
	whole := make(chan int, 1)
	f := kinesis.Follower{
		Client: client, Stream: name, Poll: 250 * time.Millisecond, Log: slog.New(slog.NewTextHandler(logs, nil)),
		Take: func(value []byte) error {
			mu.Lock()
			defer mu.Unlock()
			key, n, _ := strings.Cut(string(value), " ")
			got[key] = append(got[key], n)
			if n == "3" {
				refused++
				return fmt.Errorf("no fact: %s", value)
			}
			return nil
		},
		Whole: func() { whole <- count() },
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { f.Run(ctx) })
	defer done.Wait()
	defer cancel()
	select {
	case n := <-whole:
		if n != after*len(keys) {
			t.Errorf("whole with %d records of %d", n, after*len(keys))
		}
	case <-time.After(patience):
		t.Fatal("it never has all")
	}
	put("a", after)
	for deadline := time.Now().Add(patience); count() <= after*len(keys); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what came later was not followed")
		}
	}
	cancel()
	done.Wait()
	for key, all := range got {
		want := make([]string, after, after+1)
		for n := range want {
			want[n] = fmt.Sprint(n)
		}
		if key == "a" {
			want = append(want, fmt.Sprint(after))
		}
		if !slices.Equal(all, want) {
			t.Errorf("%s: %v", key, all)
		}
	}
	if refused != len(keys) || strings.Count(logs.String(), "passed over") != refused {
		t.Errorf("%d refused: %s", refused, logs)
	}
}
