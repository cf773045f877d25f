//go:build chaos || e2e

package chaos

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
)

// What is read from Kinesis can go to files or to S3, with the state in S3.
func TestKinesisRowsGoToFilesAndToS3WithTheirStateInS3(t *testing.T) {
	binary, address := buildEnricher(t), kinesistest.S3(t)
	client := kinesistest.S3Client(t, address)
	for _, to := range []string{"files", "s3"} {
		t.Run(to, func(t *testing.T) {
			s, rng := newStreams(t), rand.New(rand.NewPCG(1, 1))
			kinesistest.CreateStream(t, s.front.Endpoint(), "rows", 2)
			j := s.newJoin(binary, "joins", "rows")
			b := bucket{t, client, "joins-" + to}
			_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &b.name})
			must(t, err)
			outputs, lines := "dir: "+filepath.Join(j.dir, "out"), func() [][]byte { return linesOfFiles(t, filepath.Join(j.dir, "out", "joins.enriched-*.ndjson")) }
			if to == "s3" {
				outputs, lines = "dir: s3://"+b.name+"/out, endpoint: "+address, func() [][]byte { return b.lines("out/joins.enriched/") }
			}
			text, err := os.ReadFile(j.config)
			must(t, err)
			changed := strings.NewReplacer("outputs: {", "outputs: {to: "+to+", "+outputs+", ", "journal: "+j.journal, "journal: s3://"+b.name+"/a\n  journal_endpoint: "+address).Replace(string(text))
			must(t, os.WriteFile(j.config, []byte(changed), 0o600))
			w := j.start()
			rows := s.tellTo("rows", rng, func() {
				if rng.IntN(8) == 0 {
					w.signal(syscall.SIGKILL)
				}
			})
			told := func() (out []*kgo.Record) {
				for _, line := range lines() {
					out = append(out, named(t, nil, line))
				}
				return out
			}
			once, repeats := distinct(t, j.caughtUp(rows, told))
			w.stop()
			if len(b.objects("a/rows/shardId-")) == 0 {
				t.Error("no state is in the bucket")
			}
			t.Logf("%d rows, %d records, %d repeats, %d starts, %d objects", len(rows), len(once), repeats, j.starts.Load(), len(b.objects("")))
		})
	}
}

// linesOfFiles are the whole lines of files: a killed process leaves half a line.
func linesOfFiles(t *testing.T, pattern string) (all [][]byte) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	must(t, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		for line := range bytes.Lines(text[:bytes.LastIndexByte(text, '\n')+1]) {
			all = append(all, bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	return all
}

// bucket is one of S3.
type bucket struct {
	t      *testing.T
	client *s3.Client
	name   string
}

// objects are the keys that begin with prefix, in their order.
func (b bucket) objects(prefix string) (keys []string) {
	b.t.Helper()
	for pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix}); pages.HasMorePages(); {
		page, err := pages.NextPage(b.t.Context())
		must(b.t, err)
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys
}

// lines are those of all objects whose keys begin with prefix, out of gzip.
func (b bucket) lines(prefix string) (all [][]byte) {
	b.t.Helper()
	for _, key := range b.objects(prefix) {
		out, err := b.client.GetObject(b.t.Context(), &s3.GetObjectInput{Bucket: &b.name, Key: &key})
		must(b.t, err)
		plain, err := gzip.NewReader(out.Body)
		must(b.t, err)
		text, err := io.ReadAll(plain)
		_ = out.Body.Close()
		must(b.t, err)
		for line := range bytes.Lines(text) {
			all = append(all, bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	return all
}
