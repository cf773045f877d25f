package firehose_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/firehose"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Firehose in memory that keeps the service's limits, and refuses what it is
// told to. It is safe for concurrent use.
type fake struct {
	mu      sync.Mutex
	streams map[string][][]byte // records as they came
	sizes   []int               // records of each request
	fault   func(request int, entry int) (code, message string)
}

type response struct{ RecordId, ErrorCode, ErrorMessage string }

// ServeHTTP implements http.Handler.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		DeliveryStreamName string
		Records            []struct{ Data []byte }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecordBatch") {
		refuse(w, "SerializationException", fmt.Sprint(err))
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.streams[in.DeliveryStreamName]; !known {
		refuse(w, "ResourceNotFoundException", "Firehose "+in.DeliveryStreamName+" under account 1 not found.")
		return
	}
	size := 0
	for i, record := range in.Records {
		if size += len(record.Data); len(record.Data) > 1000<<10 {
			refuse(w, "ValidationException", fmt.Sprintf("1 validation error detected: Value at 'records.%d.member.data' failed to satisfy constraint: Member must have length less than or equal to 1024000", i+1))
			return
		}
	}
	if len(in.Records) > 500 || size > 4<<20 {
		refuse(w, "InvalidArgumentException", "Records size exceeds 4 MB limit")
		return
	}
	f.sizes = append(f.sizes, len(in.Records))
	var out struct {
		FailedPutCount   int
		RequestResponses []response
	}
	for i, record := range in.Records {
		if code, message := f.judge(i); code != "" {
			out.FailedPutCount++
			out.RequestResponses = append(out.RequestResponses, response{ErrorCode: code, ErrorMessage: message})
			continue
		}
		f.streams[in.DeliveryStreamName] = append(f.streams[in.DeliveryStreamName], bytes.Clone(record.Data))
		out.RequestResponses = append(out.RequestResponses, response{RecordId: "1"})
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(out)
}

func (f *fake) judge(entry int) (code, message string) {
	if f.fault == nil {
		return "", ""
	}
	return f.fault(len(f.sizes), entry)
}

func refuse(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}

func newFake(t testing.TB, streams ...string) (f *fake, front *kinesistest.Front) {
	t.Helper()
	f = &fake{streams: map[string][][]byte{}}
	for _, name := range streams {
		f.streams[name] = nil
	}
	return f, kinesistest.NewFront(t, f)
}

// read returns a stream's Firehose records as they came.
func (f *fake) read(stream string) [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]byte(nil), f.streams[stream]...)
}

func open(t testing.TB, endpoint string, cfg firehose.Config) *firehose.Sink {
	t.Helper()
	cfg.Connect, cfg.Endpoint = kinesistest.AWS, endpoint
	s, err := firehose.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func write(t testing.TB, s sink.Sink, batch []sink.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := s.Write(ctx, batch); err != nil {
		t.Fatal(err)
	}
}

// rows makes n records of a few hosts; each host's are numbered from 0.
func rows(stream string, hosts, n int) []sink.Record {
	out := make([]sink.Record, n)
	for i := range out {
		out[i] = sink.Record{Topic: stream, Key: fmt.Appendf(nil, "host-%d", i%hosts), Value: fmt.Appendf(nil, `{"host":%d,"n":%d}`, i%hosts, i/hosts)}
	}
	return out
}

// inOrder wants n rows of the hosts, each once and in order, from records of whole lines.
func inOrder(t testing.TB, records [][]byte, hosts, n int) {
	t.Helper()
	next, got := map[int]int{}, 0
	for line := range bytes.Lines(bytes.Join(records, nil)) {
		var row struct{ Host, N int }
		if err := json.Unmarshal(line, &row); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("line %q: %v", line, err)
		}
		if row.N != next[row.Host] {
			t.Fatalf("host %d: row %d came where %d was due", row.Host, row.N, next[row.Host])
		}
		next[row.Host]++
		got++
	}
	if got != n || len(next) != hosts {
		t.Fatalf("%d rows of %d hosts, want %d of %d", got, len(next), n, hosts)
	}
}
