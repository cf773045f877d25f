package kinesistest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// Fault decides what of a PutRecords request is refused: all of it, or the entries
// with these indexes. Nothing of what it refuses reaches the server behind. It is
// called in the order of the requests, one at a time.
type Fault func(p Put) (whole *Error, entries map[int]Error)

// Front is the address of a Kinesis that can be taken away and that refuses what it
// is told to. It is safe for concurrent use.
type Front struct {
	next http.Handler
	addr string

	mu      sync.Mutex
	server  *http.Server // nil while away
	ended   chan struct{}
	fault   Fault
	puts    []Put
	running int
	overlap bool
}

// NewFront puts a front before next. It ends with the test.
func NewFront(t testing.TB, next http.Handler) *Front {
	t.Helper()
	f := &Front{next: next, addr: "127.0.0.1:0"}
	f.Start(t)
	t.Cleanup(func() { f.Stop(t) })
	return f
}

// quiet is for servers of which requests are cut off on purpose.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// Endpoint is the address to talk to. It survives Stop and Start.
func (f *Front) Endpoint() string { return "http://" + f.addr }

// Start takes connections again.
func (f *Front) Start(t testing.TB) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.WithoutCancel(t.Context()), "tcp", f.addr)
	if err != nil {
		t.Fatalf("listen for Kinesis: %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addr = l.Addr().String()
	server, ended := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute, ErrorLog: quiet()}, make(chan struct{})
	f.server, f.ended = server, ended
	go func() {
		defer close(ended)
		_ = server.Serve(l) // until Stop closes it
	}()
}

// Stop cuts every connection and takes no new one. What was under way is lost, or
// taken and not answered. A second Stop does nothing.
func (f *Front) Stop(testing.TB) {
	f.mu.Lock()
	server, ended := f.server, f.ended
	f.server = nil
	f.mu.Unlock()
	if server != nil {
		_ = server.Close()
		<-ended
	}
}

// SetFault changes what is refused; nil refuses nothing.
func (f *Front) SetFault(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// Puts returns the PutRecords requests that came so far, and whether two were ever
// under way at once.
func (f *Front) Puts() (puts []Put, overlapped bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.puts), f.overlap
}

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if action(r) != "PutRecords" {
		f.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	var p Put
	if err == nil {
		err = json.Unmarshal(body, &p)
	}
	if err != nil {
		refuse(w, Error{"SerializationException", err.Error()})
		return
	}
	whole, refused := f.begin(p)
	defer f.end()
	switch {
	case whole != nil:
		refuse(w, *whole)
	case len(refused) > 0:
		f.pass(w, r, p, refused)
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		f.next.ServeHTTP(w, r)
	}
}

func (f *Front) begin(p Put) (whole *Error, entries map[int]Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running++
	f.overlap = f.overlap || f.running > 1
	f.puts = append(f.puts, p)
	if f.fault != nil {
		return f.fault(p)
	}
	return nil, nil
}

func (f *Front) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
}

// pass hands on what is not refused, and answers for both.
func (f *Front) pass(w http.ResponseWriter, r *http.Request, p Put, refused map[int]Error) {
	rest := Put{StreamName: p.StreamName}
	for i, e := range p.Records {
		if _, no := refused[i]; !no {
			rest.Records = append(rest.Records, e)
		}
	}
	taken := putAnswer{EncryptionType: "NONE"}
	if len(rest.Records) > 0 {
		body, err := json.Marshal(rest)
		if err != nil {
			refuse(w, Error{"InternalFailure", err.Error()})
			return
		}
		inner, answered := r.Clone(r.Context()), httptest.NewRecorder()
		inner.Body, inner.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		f.next.ServeHTTP(answered, inner)
		if answered.Code != http.StatusOK || json.Unmarshal(answered.Body.Bytes(), &taken) != nil {
			maps.Copy(w.Header(), answered.Header())
			w.WriteHeader(answered.Code)
			_, _ = w.Write(answered.Body.Bytes())
			return
		}
	}
	answer(w, http.StatusOK, merge(len(p.Records), refused, taken))
}

func merge(n int, refused map[int]Error, taken putAnswer) putAnswer {
	out := putAnswer{EncryptionType: "NONE", FailedRecordCount: taken.FailedRecordCount + len(refused)}
	for i := range n {
		if e, no := refused[i]; no {
			out.Records = append(out.Records, entryAnswer{ErrorCode: e.Code, ErrorMessage: e.Message})
			continue
		}
		out.Records, taken.Records = append(out.Records, taken.Records[0]), taken.Records[1:]
	}
	return out
}
