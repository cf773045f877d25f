//go:build e2e

package kinesis_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/enrich/kinesis"
)

// fanOut has the site's consumers subscribe.
func (s *site) fanOut() {
	s.t.Helper()
	var err error
	s.consumer, err = kinesis.Register(s.t.Context(), s.client, s.stream, "joins")
	must(s.t, err)
}

// pushed has the site's consumers subscribe to a server that ends subscriptions, shards
// and its own guard as the service does, only sooner.
func (s *site) pushed(cut int) *kinesistest.Subscriptions {
	s.t.Helper()
	s.fanOut()
	subscriptions := &kinesistest.Subscriptions{Next: s.front, Client: s.client, Life: 3 * time.Second, Guard: 2 * time.Second, Cut: cut}
	server := httptest.NewServer(subscriptions)
	s.t.Cleanup(server.Close)
	s.endpoint = server.URL
	return subscriptions
}

// Records are pushed in order and once, though subscriptions end, and break off inside
// an event; after one that ended the next goes on from its continuation.
func TestPushedRecordsComeOnceAndInOrder(t *testing.T) {
	s := newSite(t, 1)
	subscriptions := s.pushed(20)
	s.consume("a")
	const n = 60
	for i := range n {
		s.put("h", []byte(plain("h", i)))
		time.Sleep(200 * time.Millisecond)
	}
	out := s.await(n)
	for i, o := range out {
		if read(t, o).Columns.N != i || len(out) != n {
			t.Fatalf("output %d of %d is row %d", i, len(out), read(t, o).Columns.N)
		}
	}
	if c := subscriptions.Counts(); c.Begun < 3 || c.GoneOn < 2 {
		t.Errorf("%+v", c)
	}
}

// The end of a shard comes with its children, which then begin.
func TestPushedShardsEndAndTheirChildrenBegin(t *testing.T) {
	s := newSite(t, 1)
	subscriptions := s.pushed(0)
	s.put("h", exec(7))
	s.split()
	s.merge()
	s.put("h", connect(7))
	s.consume("a")
	v := read(t, s.await(2)[1])
	if v.Enrichment.Event.Revision != 0 || v.Enrichment.Process.Executable != "/bin/p7" {
		t.Errorf("%+v", v.Enrichment)
	}
	if c := subscriptions.Counts(); c.Ended != 3 {
		t.Errorf("%+v", c)
	}
}

// The next owner of a shard waits until the service lets it subscribe, and calls that no
// failure.
func TestANewOwnerWaitsForItsSubscription(t *testing.T) {
	s := newSite(t, 1)
	subscriptions := s.pushed(0)
	subscriptions.Guard, subscriptions.Life = 4*time.Second, time.Minute
	s.put("h", []byte(plain("h", 0)))
	stop := s.consume("a")
	s.await(1)
	stop()
	s.put("h", []byte(plain("h", 1)))
	s.consume("b")
	if v := read(t, s.await(2)[1]); v.Columns.N != 1 {
		t.Errorf("row %d", v.Columns.N)
	}
	if c := subscriptions.Counts(); c.Refused == 0 {
		t.Errorf("%+v", c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(s.logs.String(), "cannot read") {
		t.Error("it was told as a failure")
	}
}

// The emulator's own subscriptions, for what they are.
func TestKinesisLocalPushes(t *testing.T) {
	s := newSite(t, 1)
	s.fanOut()
	s.consume("a")
	const n = 20
	for i := range n {
		s.put("h", []byte(plain("h", i)))
	}
	for i, o := range s.await(n) {
		if read(t, o).Columns.N != i {
			t.Fatalf("output %d is row %d", i, read(t, o).Columns.N)
		}
	}
}

// A consumer is registered once, by whoever comes first. Where it cannot be, that is
// refused in words that say what to do.
func TestAConsumerIsRegisteredOnce(t *testing.T) {
	s := newSite(t, 1)
	s.fanOut()
	first := s.consumer
	s.fanOut()
	if s.consumer != first || !strings.HasPrefix(first, "arn:aws:kinesis:") {
		t.Errorf("%s, then %s", first, s.consumer)
	}
	for kind, want := range map[string]string{
		"LimitExceededException": "deregister one, or set fan_out to false",
		"AccessDeniedException":  "fan_out: false reads without one",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".RegisterStreamConsumer") {
				s.front.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, kind)
		}))
		_, err := kinesis.Register(t.Context(), kinesistest.Client(t, server.URL), s.stream, "joins")
		server.Close()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), kind) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
