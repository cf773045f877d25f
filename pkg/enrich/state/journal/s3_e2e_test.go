//go:build e2e

package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/enrich/state/journal"
)

// What a folder does, a bucket does: both are written to, read, and told to forget.
func TestObjectsAreKeptInAFolderAndInS3(t *testing.T) {
	client, name := kinesistest.S3Client(t, kinesistest.S3(t)), "joins"
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	for what, objects := range map[string]journal.Objects{
		"folder": journal.Folder(t.TempDir()),
		"bucket": journal.Bucket{Client: client, Name: name, Prefix: "a/b/"},
	} {
		t.Run(what, func(t *testing.T) {
			ctx, data := t.Context(), bytes.Repeat([]byte("0123456789"), 300_000)
			must(t, objects.Put(ctx, "s/shard-1/x", data))
			if got, err := objects.Get(ctx, "s/shard-1/x"); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if _, err := objects.Get(ctx, "s/shard-1/y"); !errors.Is(err, journal.ErrMissing) {
				t.Errorf("one that is not there: %v", err)
			}
			many := []string{"s/shard-1/y", "s/shard-1/x"}
			for i := range 1_100 {
				many = append(many, fmt.Sprint("s/shard-1/none-", i))
			}
			must(t, objects.Delete(ctx, many))
			if _, err := objects.Get(ctx, "s/shard-1/x"); !errors.Is(err, journal.ErrMissing) {
				t.Errorf("one that was removed: %v", err)
			}
			j, model := journal.New(objects, "s/shard-2"), table{}
			changes := []state.Change{{Key: []byte("k"), Value: []byte("v")}}
			entry, err := j.Append(ctx, changes, nil, model.all)
			must(t, errors.Join(err, j.Committed(ctx)))
			if _, err := journal.New(objects, "s/shard-2").Load(ctx, entry, model.apply); err != nil || model["k"] != "v" {
				t.Errorf("%v, %v", model, err)
			}
		})
	}
	if err := (journal.Bucket{Client: client, Name: "none"}).Put(t.Context(), "x", nil); err == nil {
		t.Error("a bucket that is not there takes objects")
	}
}
