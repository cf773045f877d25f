//go:build e2e

package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/testserver"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

const patience = 2 * time.Minute

// site is moto's S3 and SQS, and a Kafka.
type site struct {
	t      *testing.T
	files  *s3.Client
	queues *sqs.Client
	kafka  *kfake.Cluster
	bucket string
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := testserver.Fetched("moto", "MOTO_VERSION", "moto.sh")
	if err != nil {
		testserver.Absent(t, "S3 and SQS (moto)", err)
	}
	port, log := testserver.FreePorts(t, 1)[0], filepath.Join(t.TempDir(), "moto.log")
	server, err := testserver.Start(log, "", nil, filepath.Join(dir, "bin", "python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	if err != nil {
		t.Fatalf("start moto: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("moto's last words:\n%s", testserver.LastWords(log))
		}
		if err := server.End(syscall.SIGKILL); err != nil {
			t.Errorf("end moto: %v", err)
		}
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		if server.Ended() || time.Now().After(deadline) {
			t.Fatalf("moto does not answer:\n%s", testserver.LastWords(log))
		}
		pause(t.Context(), 50*time.Millisecond)
	}
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "cloudtrail", "dead"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	cfg := aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "test", "")}
	endpoint := "http://" + address
	s := &site{
		t: t, files: Client(cfg, endpoint), kafka: kafka, bucket: "trail",
		queues: sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = &endpoint }),
	}
	if _, err := s.files.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &s.bucket}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) ingest(t *testing.T) *Ingest {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &Ingest{Files: s.files, Kafka: client, Topic: "cloudtrail", DeadLetter: "dead", Log: slog.New(slog.DiscardHandler)}
}

// queue makes a queue.
func (s *site) queue(name string) (address, arn string) {
	s.t.Helper()
	made, err := s.queues.CreateQueue(s.t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		s.t.Fatal(err)
	}
	told, err := s.queues.GetQueueAttributes(s.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: made.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
	if err != nil {
		s.t.Fatal(err)
	}
	return *made.QueueUrl, told.Attributes["QueueArn"]
}

// put stores a file of records with these ids.
func (s *site) put(key string, ids ...string) {
	s.t.Helper()
	var records []string
	for _, id := range ids {
		records = append(records, fmt.Sprintf(`{"eventID":%q,"eventTime":"2026-11-23T10:00:00Z","eventSource":"sts.amazonaws.com","eventName":"GetCallerIdentity","recipientAccountId":"111122223333"}`, id))
	}
	s.putText(key, `{"Records":[`+strings.Join(records, ",")+`]}`)
}

func (s *site) putText(key, text string) {
	s.t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprint(w, text)
	w.Close()
	if _, err := s.files.PutObject(s.t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(b.Bytes())}); err != nil {
		s.t.Fatal(err)
	}
}

// keys are those of the n records in a topic.
func (s *site) keys(topic string, n int) (keys []string, values [][]byte) {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.ListenAddrs()...), kgo.ConsumeTopics(topic))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for len(keys) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("%d of %d records are in topic %s: %q", len(keys), n, topic, keys)
		}
		for _, r := range fetches.Records() {
			keys, values = append(keys, string(r.Key)), append(values, r.Value)
		}
	}
	slices.Sort(keys)
	return keys, values
}

const day = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/"

// Files below a prefix come once, from the first day that matters on; a later run goes
// on with what is new.
func TestListGoesOnWhereItEnded(t *testing.T) {
	s := newSite(t)
	s.put(day+"20/a.json.gz", "old/1")
	s.put(day+"22/a.json.gz", "a1", "a2")
	s.put(day+"23/b.json.gz", "b1")
	s.put("AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/11/23/d.json.gz", "digest")
	s.put("AWSLogs/444455556666/CloudTrail/us-east-1/2026/11/23/c.json.gz", "c1")
	s.putText("AWSLogs/444455556666/CloudTrail/us-east-1/2026/11/23/d.json.gz", `{"Records":[{"eventID":"d1","recipientAccountId":"1","eventName":"x"},{"eventID":`)
	p := Prefix{
		Bucket: s.bucket, Prefix: "AWSLogs/", Since: time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC), Now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		State: filepath.Join(t.TempDir(), "state.json"),
	}
	first := s.ingest(t)
	if err := first.List(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if c := first.Counts(); c.Files != 4 || c.Records != 5 || c.Unreadable != 2 || c.Bytes == 0 {
		t.Errorf("the first run counts %+v", c)
	}
	letters, values := s.keys("dead", 2) // the record that is cut, and the list around it
	if len(letters) != 2 || !strings.HasSuffix(letters[0], "/d.json.gz") {
		t.Errorf("dead letters %q", letters)
	}
	schematest.Validate(t, "stackjoin.deadletter/1", values[0])
	s.put(day+"23/e.json.gz", "e1")
	second := s.ingest(t)
	if err := second.List(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if c := second.Counts(); c.Files != 1 || c.Records != 1 {
		t.Errorf("the second run counts %+v", c)
	}
	want := []string{"a1/111122223333", "a2/111122223333", "b1/111122223333", "c1/111122223333", "d1/1", "e1/111122223333"}
	if keys, _ := s.keys("cloudtrail", len(want)); !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	p.Prefix = "other/"
	if err := s.ingest(t).List(t.Context(), p); err == nil || !strings.Contains(err.Error(), "each source has its own") {
		t.Errorf("a state file of another source: %v", err)
	}
}

// What S3 tells a queue is taken; a message goes only once Kafka has its records.
func TestFollowTakesWhatTheQueueNames(t *testing.T) {
	s := newSite(t)
	address, arn := s.queue("notices")
	if _, err := s.files.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{
		Bucket: &s.bucket, NotificationConfiguration: &s3types.NotificationConfiguration{
			QueueConfigurations: []s3types.QueueConfiguration{{QueueArn: &arn, Events: []s3types.Event{"s3:ObjectCreated:*"}}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	s.put(day+"23/a b+c.json.gz", "a1", "a2") // S3 writes such keys in another way
	send := func(body string) {
		t.Helper()
		if _, err := s.queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &address, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
	s.bucket = "trail"
	own, _ := json.Marshal(map[string]any{"Type": "Notification", "Message": fmt.Sprintf(`{"s3Bucket":"trail","s3ObjectKey":[%q,"gone.json.gz"]}`, day+"23/a b+c.json.gz")})
	send(string(own))
	send("not about files")
	q := Queue{SQS: s.queues, URL: address, Wait: time.Second, Hidden: time.Minute, Once: true}
	// Kafka is away at first: nothing may be acknowledged.
	dead, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"), kgo.RecordDeliveryTimeout(time.Second), kgo.UnknownTopicRetries(0), kgo.RecordRetries(1))
	if err != nil {
		t.Fatal(err)
	}
	away := s.ingest(t)
	away.Kafka = dead
	short := q
	short.Hidden = time.Second
	err = away.Follow(t.Context(), short)
	dead.Close()
	if err == nil {
		t.Fatal("records are acknowledged that Kafka does not have")
	}
	pause(t.Context(), 1500*time.Millisecond) // until the queue shows them again
	in := s.ingest(t)
	if err := in.Follow(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if c := in.Counts(); c.Files != 2 || c.Records != 4 || c.Missing != 1 || c.Unreadable+away.counts.Unreadable != 1 {
		t.Errorf("counts %+v, and %+v before", c, away.counts)
	}
	if keys, _ := s.keys("cloudtrail", 4); !slices.Equal(keys, []string{"a1/111122223333", "a1/111122223333", "a2/111122223333", "a2/111122223333"}) {
		t.Errorf("keys %q", keys)
	}
	again := s.ingest(t)
	if err := again.Follow(t.Context(), q); err != nil || again.Counts() != (Counts{}) {
		t.Errorf("%v, %+v: the queue is not empty", err, again.Counts())
	}
}
