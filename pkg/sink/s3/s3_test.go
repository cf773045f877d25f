package s3_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/s3"
	"github.com/stackjoin/stackjoin/pkg/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bucket is one in memory, which takes objects and refuses those that it is told to,
// before or after it took them. It is safe for concurrent use.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte // by path
	refuse  func(n int) (kept, refused bool)
	n       int
}

// ServeHTTP implements http.Handler.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if r.Method != http.MethodPut || err != nil {
		http.Error(w, "only objects are put here", http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	kept, refused := true, false
	if b.refuse != nil {
		kept, refused = b.refuse(b.n)
	}
	if kept {
		b.objects[strings.TrimPrefix(r.URL.Path, "/lake/")] = text
	}
	if refused {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
	}
}

func (b *bucket) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.objects))
}

// read is the lines of a topic's objects, in the order of their names.
func (b *bucket) read(t testing.TB, topic string) (text []byte) {
	t.Helper()
	for _, name := range b.names() {
		if strings.HasPrefix(name, "out/"+topic+"/") {
			b.mu.Lock()
			text = append(text, unzipped(t, b.objects[name])...)
			b.mu.Unlock()
		}
	}
	return text
}

func unzipped(t testing.TB, object []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func open(t testing.TB, endpoint string) sink.Sink {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg, err := kinesistest.AWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		o.BaseEndpoint, o.UsePathStyle, o.HTTPClient = &endpoint, true, &http.Client{Transport: transport}
	})
	return alone{s3.New(s3.Config{Client: client, Bucket: "lake", Prefix: "out/"}), transport}
}

// alone is a sink whose client is nobody else's.
type alone struct {
	*s3.Sink
	transport *http.Transport
}

func (a alone) Close(ctx context.Context) error {
	err := a.Sink.Close(ctx)
	a.transport.CloseIdleConnections()
	return err
}

func TestConformance(t *testing.T) {
	b := &bucket{objects: map[string][]byte{}}
	front := kinesistest.NewFront(t, b)
	var topics atomic.Int32
	sinktest.Run(t, sinktest.Harness{
		Open:  func(t testing.TB) sink.Sink { return sinktest.Lines{Sink: open(t, front.Endpoint())} },
		Topic: func(testing.TB) string { return fmt.Sprintf("rows-%d", topics.Add(1)) },
		Read:  func(t testing.TB, topic string) []sink.Record { return sinktest.ReadLines(t, topic, b.read(t, topic)) },
		Stop:  front.Stop, Start: front.Start, NoHeaders: true,
	})
}

// What is written again, since nobody knows whether it is there, takes the place of what
// is; and names are in the order in which objects were written.
func TestWhatIsWrittenAgainIsThereOnce(t *testing.T) {
	for _, kept := range []bool{true, false} {
		b := &bucket{objects: map[string][]byte{}}
		b.refuse = func(n int) (bool, bool) { return kept || n != 2, n == 2 }
		s := open(t, kinesistest.NewFront(t, b).Endpoint())
		batch := func(value string) []sink.Record {
			return []sink.Record{{Topic: "a/b", Value: []byte(value)}, {Topic: "c", Value: []byte("{\n}")}}
		}
		err := s.Write(t.Context(), batch("1"))
		if err == nil || !strings.Contains(err.Error(), "bucket lake") || !strings.Contains(err.Error(), "AccessDenied") {
			t.Fatalf("the second object is refused, and: %v", err)
		}
		for _, value := range []string{"1", "2", "3"} {
			if err := s.Write(t.Context(), batch(value)); err != nil {
				t.Fatal(err)
			}
		}
		form := regexp.MustCompile(`^out/(a_b|c)/\d{4}/\d\d/\d\d/\d\d/\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{16}\.ndjson\.gz$`)
		for _, name := range b.names() {
			if !form.MatchString(name) {
				t.Errorf("an object is called %s", name)
			}
		}
		// The first of the two was acknowledged before the batch failed: it comes again.
		if got := string(b.read(t, "a_b")); got != "1\n1\n2\n3\n" {
			t.Errorf("kept %v: %q", kept, got)
		}
		if got := string(b.read(t, "c")); got != "{ }\n{ }\n{ }\n" {
			t.Errorf("kept %v: %q", kept, got)
		}
	}
}
