package kinesistest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Subscriptions answers SubscribeToShard as the service does, with what a Kinesis behind
// it holds, and hands on all else. kinesis-local has the call, but tells neither when a
// shard ends nor that somebody else subscribed, and never ends a subscription. It is safe
// for concurrent use.
type Subscriptions struct {
	Next   http.Handler
	Client *kinesis.Client // of the Kinesis behind
	// Life is how long a subscription is kept up, Guard how long after one began no
	// other of the same shard is taken: the service's are five minutes and five
	// seconds.
	Life, Guard time.Duration
	// Cut, when set, has every such event break off in its middle.
	Cut int

	mu      sync.Mutex
	running map[string]*subscription
	counts  SubscriptionCounts
	events  int
}

// SubscriptionCounts is what was asked so far: subscriptions that were begun, of them
// those that followed on a continuation, those that were refused, and those that ended
// with their shard.
type SubscriptionCounts struct{ Begun, GoneOn, Refused, Ended int }

type subscription struct {
	began time.Time
	over  chan struct{} // closed when another takes its place
}

type subscribeInput struct {
	ConsumerARN      string
	ShardId          string //nolint:revive // the protocol's name
	StartingPosition struct {
		Type           types.ShardIteratorType
		SequenceNumber *string
		Timestamp      *float64
	}
}

// Counts returns what was asked so far.
func (s *Subscriptions) Counts() SubscriptionCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// ServeHTTP implements http.Handler.
func (s *Subscriptions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if action(r) != "SubscribeToShard" {
		s.Next.ServeHTTP(w, r)
		return
	}
	var in subscribeInput
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, Error{"SerializationException", err.Error()})
		return
	}
	iterator, err := s.iterator(r, &in)
	if err != nil {
		refuse(w, Error{"InvalidArgumentException", err.Error()})
		return
	}
	own := s.begin(&in)
	if own == nil {
		refuse(w, Error{"ResourceInUseException", "Another active subscription exists for this consumer: " + in.ConsumerARN})
		return
	}
	s.push(w, r, &in, iterator, own)
}

func (s *Subscriptions) iterator(r *http.Request, in *subscribeInput) (*string, error) {
	_, rest, _ := strings.Cut(in.ConsumerARN, ":stream/")
	stream, _, ok := strings.Cut(rest, "/consumer/")
	if !ok {
		return nil, fmt.Errorf("%s is no consumer", in.ConsumerARN)
	}
	ask := &kinesis.GetShardIteratorInput{
		StreamName: &stream, ShardId: &in.ShardId,
		ShardIteratorType: in.StartingPosition.Type, StartingSequenceNumber: in.StartingPosition.SequenceNumber,
	}
	if at := in.StartingPosition.Timestamp; at != nil {
		ask.Timestamp = aws.Time(time.UnixMilli(int64(*at * 1000)))
	}
	out, err := s.Client.GetShardIterator(r.Context(), ask)
	if err != nil {
		return nil, err //nolint:wrapcheck // it is handed on
	}
	return out.ShardIterator, nil
}

// begin notes a subscription, in the place of an earlier one; nil when that is too young.
func (s *Subscriptions) begin(in *subscribeInput) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := in.ConsumerARN + " " + in.ShardId
	if was := s.running[name]; was != nil {
		if time.Since(was.began) < s.Guard {
			s.counts.Refused++
			return nil
		}
		close(was.over)
	}
	if s.running == nil {
		s.running = map[string]*subscription{}
	}
	s.running[name] = &subscription{began: time.Now(), over: make(chan struct{})}
	s.counts.Begun++
	if in.StartingPosition.Type == types.ShardIteratorTypeAfterSequenceNumber {
		s.counts.GoneOn++
	}
	return s.running[name]
}

// push sends events until the subscription's life, the shard or the reader ends.
func (s *Subscriptions) push(w http.ResponseWriter, r *http.Request, in *subscribeInput, iterator *string, own *subscription) {
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	w.WriteHeader(http.StatusOK)
	if sendMessage(w, "event", "initial-response", []byte("{}")) != nil {
		return
	}
	last := aws.ToString(in.StartingPosition.SequenceNumber)
	if last == "" {
		last = "0"
	}
	for time.Since(own.began) < s.Life {
		out, err := s.Client.GetRecords(r.Context(), &kinesis.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			cutOff(w) // the reader is gone, or is to see that this is no end
			return
		}
		if n := len(out.Records); n > 0 {
			last = aws.ToString(out.Records[n-1].SequenceNumber)
		}
		event := eventOf(out, last)
		if s.cut() {
			breakOff(w, event)
			return
		}
		if sendMessage(w, "event", "SubscribeToShardEvent", event) != nil {
			return
		}
		if iterator = out.NextShardIterator; iterator == nil {
			s.mu.Lock()
			s.counts.Ended++
			s.mu.Unlock()
			return
		}
		select {
		case <-own.over:
			_ = sendMessage(w, "exception", "ResourceInUseException", []byte(`{"message":"Another subscription took over"}`))
			return
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Subscriptions) cut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events++
	return s.Cut > 0 && s.events%s.Cut == 0
}

// breakOff sends half of an event and cuts the connection.
func breakOff(w http.ResponseWriter, event []byte) {
	var whole bytes.Buffer
	_ = encodeMessage(&whole, "event", "SubscribeToShardEvent", event) // the connection goes anyway
	_, _ = w.Write(whole.Bytes()[:whole.Len()/2])
	_ = http.NewResponseController(w).Flush()
	cutOff(w)
}

// cutOff closes the connection before the answer's end.
func cutOff(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// eventOf is the JSON of a SubscribeToShardEvent.
func eventOf(out *kinesis.GetRecordsOutput, last string) []byte {
	event := map[string]any{"MillisBehindLatest": aws.ToInt64(out.MillisBehindLatest)}
	records := []any{}
	for i := range out.Records {
		records = append(records, map[string]any{
			"Data": out.Records[i].Data, "PartitionKey": aws.ToString(out.Records[i].PartitionKey), "SequenceNumber": aws.ToString(out.Records[i].SequenceNumber),
			"ApproximateArrivalTimestamp": float64(aws.ToTime(out.Records[i].ApproximateArrivalTimestamp).UnixMilli()) / 1000,
		})
	}
	event["Records"] = records
	if out.NextShardIterator == nil {
		var children []any
		for _, c := range out.ChildShards {
			children = append(children, map[string]any{
				"ShardId": aws.ToString(c.ShardId), "ParentShards": c.ParentShards,
				"HashKeyRange": map[string]string{"StartingHashKey": aws.ToString(c.HashKeyRange.StartingHashKey), "EndingHashKey": aws.ToString(c.HashKeyRange.EndingHashKey)},
			})
		}
		event["ChildShards"] = children
	} else {
		event["ContinuationSequenceNumber"] = last
	}
	text, _ := json.Marshal(event) // of strings and numbers: it never fails
	return text
}

// sendMessage sends one message of an event stream, at once.
func sendMessage(w http.ResponseWriter, kind, name string, payload []byte) error {
	if err := encodeMessage(w, kind, name, payload); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush() //nolint:wrapcheck // the caller only asks whether
}

func encodeMessage(w io.Writer, kind, name string, payload []byte) error {
	m := eventstream.Message{Payload: payload}
	m.Headers.Set(":message-type", eventstream.StringValue(kind))
	m.Headers.Set(":"+kind+"-type", eventstream.StringValue(name))
	m.Headers.Set(":content-type", eventstream.StringValue("application/x-amz-json-1.1"))
	if err := eventstream.NewEncoder().Encode(w, m); err != nil {
		return fmt.Errorf("event stream: %w", err)
	}
	return nil
}
