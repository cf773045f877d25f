//go:build e2e

package ingest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// call asks a service of moto's for which the project has no client.
func (s *site) call(service, target, media, body string) []byte {
	s.t.Helper()
	endpoint := *s.queues.Options().BaseEndpoint
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIATEST/20261126/us-east-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %v: %s", service, answer.Status, err, text)
	}
	return text
}

// topic makes a topic of SNS that a queue subscribes to.
func (s *site) topic(queue string) (arn string) {
	s.t.Helper()
	ask := func(words ...string) []byte {
		form := url.Values{"Version": {"2010-03-31"}}
		for i := 0; i < len(words); i += 2 {
			form.Set(words[i], words[i+1])
		}
		return s.call("sns", "", "application/x-www-form-urlencoded", form.Encode())
	}
	var made struct {
		ARN string `xml:"CreateTopicResult>TopicArn"`
	}
	if err := xml.Unmarshal(ask("Action", "CreateTopic", "Name", "files"), &made); err != nil || made.ARN == "" {
		s.t.Fatalf("topic %q: %v", made.ARN, err)
	}
	ask("Action", "Subscribe", "TopicArn", made.ARN, "Protocol", "sqs", "Endpoint", queue)
	return made.ARN
}

// rule has EventBridge send what S3 tells to a queue.
func (s *site) rule(queue string) {
	s.t.Helper()
	for _, ask := range []struct {
		action string
		body   map[string]any
	}{
		{"PutRule", map[string]any{"Name": "files", "EventPattern": `{"source":["aws.s3"],"detail-type":["Object Created"]}`}},
		{"PutTargets", map[string]any{"Rule": "files", "Targets": []any{map[string]any{"Id": "queue", "Arn": queue}}}},
	} {
		body, err := json.Marshal(ask.body)
		if err != nil {
			s.t.Fatal(err)
		}
		s.call("events", "AWSEvents."+ask.action, "application/x-amz-json-1.1", string(body))
	}
}

// A bucket tells of its files straight, over SNS or over EventBridge; each way ends in
// a queue, in envelopes of its own.
func TestFilesComeByEachRoadToTheQueue(t *testing.T) {
	for road, notify := range map[string]func(s *site, queue string) *s3types.NotificationConfiguration{
		"SNS": func(s *site, queue string) *s3types.NotificationConfiguration {
			topic := s.topic(queue)
			return &s3types.NotificationConfiguration{TopicConfigurations: []s3types.TopicConfiguration{{TopicArn: &topic, Events: []s3types.Event{"s3:ObjectCreated:*"}}}}
		},
		"EventBridge": func(s *site, queue string) *s3types.NotificationConfiguration {
			s.rule(queue)
			return &s3types.NotificationConfiguration{EventBridgeConfiguration: &s3types.EventBridgeConfiguration{}}
		},
	} {
		t.Run(road, func(t *testing.T) {
			s := newSite(t)
			address, queue := s.queue("notices")
			if _, err := s.files.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{
				Bucket: &s.bucket, NotificationConfiguration: notify(s, queue),
			}); err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range 3 {
				id := fmt.Sprintf("a%d", i)
				s.put(fmt.Sprintf("%s23/%d b+c.json.gz", day, i), id)
				want = append(want, id+"/111122223333")
			}
			in := s.ingest(t)
			if err := in.Follow(t.Context(), Queue{SQS: s.queues, URL: address, Wait: time.Second, Hidden: time.Minute, Once: true}); err != nil {
				t.Fatal(err)
			}
			if c := in.Counts(); c.Files != 3 || c.Records != 3 || c.Missing+c.Unreadable != 0 {
				t.Errorf("counts %+v", c)
			}
			if keys, _ := s.keys("cloudtrail", 3); !slices.Equal(keys, want) {
				t.Errorf("keys %q, want %q", keys, want)
			}
		})
	}
}
