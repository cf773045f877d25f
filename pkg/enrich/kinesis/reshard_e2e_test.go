//go:build e2e

package kinesis_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// shardIDs waits until the stream has n shards, closed ones too.
func (s *site) shardIDs(n int) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out, err := s.client.ListShards(s.t.Context(), &awskinesis.ListShardsInput{StreamName: &s.stream})
		must(s.t, err)
		if len(out.Shards) == n {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d shards, want %d", len(out.Shards), n)
		}
	}
}

// split splits the first shard of a stream in the middle; its children are 1 and 2.
func (s *site) split() {
	s.t.Helper()
	_, err := s.client.SplitShard(s.t.Context(), &awskinesis.SplitShardInput{
		StreamName: &s.stream, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("170141183460469231731687303715884105728"),
	})
	must(s.t, err)
	s.shardIDs(3)
}

// merge merges what split left; the child is 3.
func (s *site) merge() {
	s.t.Helper()
	_, err := s.client.MergeShards(s.t.Context(), &awskinesis.MergeShardsInput{
		StreamName: &s.stream, ShardToMerge: aws.String("shardId-000000000001"), AdjacentShardToMerge: aws.String("shardId-000000000002"),
	})
	must(s.t, err)
	s.shardIDs(4)
}

// What a shard took over from its parents goes on to its own children, though nothing
// was ever written to it.
func TestAChildThatGotNoRecordsHandsOnWhatItsParentsKnew(t *testing.T) {
	s := newSite(t, 1)
	s.put("h", exec(7))
	s.split()
	s.merge()
	s.put("h", connect(7))
	s.consume("a")
	v := read(t, s.await(2)[1])
	if v.Enrichment.Event.Revision != 0 || v.Enrichment.Process.Executable != "/bin/p7" {
		t.Errorf("%+v", v.Enrichment)
	}
}

// What a child told before it got a record of its own is not told by its next owner
// again under the same revision in other words.
func TestAChildsNextOwnerGoesOnFromWhatItTold(t *testing.T) {
	s := newSite(t, 1)
	s.wait = 8 * time.Second // time enough to get through the parent
	s.put("h", connect(7))   // of a process that is not known yet: it is held
	s.split()
	stop := s.consume("a")
	first := read(t, s.await(1)[0])
	if first.Enrichment.Process.Executable != "" || first.Enrichment.Event.Revision != 0 {
		t.Fatalf("%+v", first.Enrichment)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		leases, err := s.table.All(t.Context())
		must(t, err)
		told := false
		for _, l := range leases {
			told = told || l.Key != "shardId-000000000000" && l.Journal != "" && !l.Number()
		}
		if told {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it was the parent that told it")
		}
	}
	stop()
	s.put("h", exec(7))
	s.consume("b")
	s.await(3)
	s.repeatsAreEqual()
}

// Without a journal, what an owner told and could not note any more is told by the next
// under a higher revision.
func TestWithoutAJournalTheNextOwnersRevisionsAreHigher(t *testing.T) {
	s := newSite(t, 1)
	s.journal = ""
	s.after = func() { // the lease goes to somebody who dies
		_, err := s.table.Client.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
			TableName: &s.table.Name, Key: map[string]types.AttributeValue{"leaseKey": &types.AttributeValueMemberS{Value: "shardId-000000000000"}},
			UpdateExpression: aws.String("SET leaseOwner = :dead"), ExpressionAttributeValues: map[string]types.AttributeValue{":dead": &types.AttributeValueMemberS{Value: "dead"}},
		})
		if err != nil {
			t.Error(err)
		}
	}
	s.put("h", connect(7))
	s.put("h", exec(7))
	s.consume("a")
	s.await(4)
	highest := 0
	for _, o := range s.output() {
		highest = max(highest, read(t, o).Enrichment.Event.Revision)
	}
	if highest < 1<<20 {
		t.Errorf("told again, with revisions up to %d", highest)
	}
	s.repeatsAreEqual()
}

// repeatsAreEqual holds everything told against what was told before under the same id
// and revision.
func (s *site) repeatsAreEqual() {
	s.t.Helper()
	first := map[string][]byte{}
	for _, o := range s.output() {
		name := fmt.Sprint(o.ID, " revision ", read(s.t, o).Enrichment.Event.Revision)
		if was, repeat := first[name]; repeat && !bytes.Equal(was, o.Value) {
			s.t.Errorf("%s is told as\n%s\nand as\n%s", name, was, o.Value)
		}
		first[name] = o.Value
	}
}
