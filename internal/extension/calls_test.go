package extension_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

func TestResultsKeepTheirOrderBesideStatusLines(t *testing.T) {
	socket := socketPath(t)
	d, r := daemon(t, socket), run(t, socket, nil)
	activate(t, d)

	const n = 300
	var status sync.WaitGroup
	status.Go(func() {
		for i := range n {
			d.LogStatus(t.Context(), osqueryd.StatusLine{Message: fmt.Sprint(i)})
		}
	})
	var want []string
	for i := range n {
		line := fmt.Sprintf(`{"name":"q","counter":%d}`, i)
		want = append(want, line)
		log := d.LogString
		if i%3 == 0 {
			log = d.LogSnapshot
		}
		if err := log(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	status.Wait()
	if got := r.payloads(extension.StreamResults); !slices.Equal(got, want) {
		t.Errorf("results came as %d calls in another order or form", len(got))
	}
	if got := r.payloads(extension.StreamStatus); len(got) != n || !strings.Contains(got[n-1], fmt.Sprintf(`"m":"%d"`, n-1)) {
		t.Errorf("got %d status calls, the last %q", len(got), got[len(got)-1])
	}
	if got := r.counters.Accepted.Load(); got != 2*n {
		t.Errorf("counted %d accepted calls, want %d", got, 2*n)
	}
}

func TestAnswersAndForms(t *testing.T) {
	socket := socketPath(t)
	d, r := daemon(t, socket), run(t, socket, nil)
	activate(t, d)
	if got, want := d.Answers(), []osqueryd.Answer{{Request: "init", Code: 0, Message: "OK"}, {Request: "features", Code: 1, Message: "OK"}}; !slices.Equal(got, want) {
		t.Errorf("answers to init and features: %v, want %v", got, want)
	}

	tests := map[string]struct {
		request osquery.ExtensionPluginRequest
		want    extension.Call
	}{
		"string":       {osquery.ExtensionPluginRequest{"string": "a", "category": "event"}, extension.Call{Stream: "results", Type: extension.TypeString, Payload: []byte("a")}},
		"empty string": {osquery.ExtensionPluginRequest{"string": ""}, extension.Call{Stream: "results", Type: extension.TypeString, Payload: []byte{}}},
		"snapshot":     {osquery.ExtensionPluginRequest{"snapshot": "b"}, extension.Call{Stream: "results", Type: extension.TypeSnapshot, Payload: []byte("b")}},
		"string_batch": {osquery.ExtensionPluginRequest{"string_batch": `["c"]`}, extension.Call{Stream: "results", Type: extension.TypeStringBatch, Payload: []byte(`["c"]`)}},
		"status":       {osquery.ExtensionPluginRequest{"status": "true", "log": "[]"}, extension.Call{Stream: "status", Type: extension.TypeStatus, Payload: []byte("[]")}},
		"event":        {osquery.ExtensionPluginRequest{"event": "{}"}, extension.Call{Stream: "results", Type: extension.TypeEvent, Payload: []byte("{}")}},
		"unknown":      {osquery.ExtensionPluginRequest{"health": "\xff<"}, extension.Call{Stream: "results", Type: extension.TypeUnknown, Payload: []byte(`{"health":{"base64":"/zw="}}`)}},
		"no keys":      {osquery.ExtensionPluginRequest{}, extension.Call{Stream: "results", Type: extension.TypeUnknown, Payload: []byte(`{}`)}},
		"status, void": {osquery.ExtensionPluginRequest{"status": "true"}, extension.Call{Stream: "results", Type: extension.TypeUnknown, Payload: []byte(`{"status":"true"}`)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := d.Call(t.Context(), test.request); got.Code != 0 {
				t.Errorf("answered with status %d: %s", got.Code, got.Message)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			got := r.calls[len(r.calls)-1]
			if got.Stream != test.want.Stream || got.Type != test.want.Type || !bytes.Equal(got.Payload, test.want.Payload) {
				t.Errorf("accepted %q %c %q, want %q %c %q", got.Stream, got.Type, got.Payload, test.want.Stream, test.want.Type, test.want.Payload)
			}
		})
	}
	if got := r.counters.Unknown.Load(); got != 3 {
		t.Errorf("counted %d unknown requests, want 3", got)
	}
}

func TestPayloadsAreKeptByteForByte(t *testing.T) {
	socket := socketPath(t)
	d, r := daemon(t, socket), run(t, socket, nil)
	activate(t, d)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	want := []string{"\x00", string(every), "\xff\xfe{", strings.Repeat("\xc3", 3<<20), `{"name":"é\u0000"}`}
	for _, payload := range want {
		if err := d.LogSnapshot(t.Context(), payload); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.payloads(extension.StreamResults); !slices.Equal(got, want) {
		t.Error("payloads changed on their way")
	}
}

// Thrift's own limit is 100 MiB, and its way to read a string takes several times
// the string's memory.
func TestGiantPayload(t *testing.T) {
	socket := socketPath(t)
	var got atomic.Pointer[extension.Call]
	// Nothing else may allocate meanwhile: no pings, no questions.
	d, err := osqueryd.Start(osqueryd.Config{Socket: socket, Logger: "stackjoin", Timeout: patience, Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	run(t, socket, func(c *extension.Config) {
		c.Interval = time.Hour
		c.Accept = func(_ context.Context, c extension.Call) error {
			got.Store(&c) // no memory is used again for what is this large
			return nil
		}
	})
	activate(t, d)
	giant := strings.Repeat("0123456789abcdef", 101<<16)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := d.LogString(t.Context(), giant); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if c := got.Load(); c == nil || string(c.Payload) != giant {
		t.Error("the giant payload changed on its way")
	}
	if took, limit := after.TotalAlloc-before.TotalAlloc, uint64(len(giant))*5/4; took > limit {
		t.Errorf("reading %d bytes allocated %d, want at most %d", len(giant), took, limit)
	}
}

// The memory of a call takes the next one, but not that of a call which ended in a
// panic: nobody knows who still reads it.
func TestAPanicKeepsItsCall(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	var kept []byte
	r := run(t, socket, func(c *extension.Config) {
		keep := c.Accept
		c.Accept = func(ctx context.Context, c extension.Call) error {
			if kept == nil {
				kept = c.Payload
				panic("a defect")
			}
			return keep(ctx, c)
		}
	})
	activate(t, d)
	first, want := strings.Repeat("a", 50_000), []string(nil)
	for i := range 50 {
		line := first
		if i > 0 {
			line = strings.Repeat(string(rune('b'+i%20)), 50_000-i)
			want = append(want, line)
		}
		if err := d.LogString(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	if string(kept) != first {
		t.Error("the call of the panic changed")
	}
	if got := r.payloads(extension.StreamResults); !slices.Equal(got, want) {
		t.Error("calls changed on their way")
	}
}

func TestPanicsAndErrorsAreNeverAnswered(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	r := run(t, socket, func(c *extension.Config) {
		keep := c.Accept
		c.Accept = func(ctx context.Context, c extension.Call) error {
			switch string(c.Payload) {
			case "panic":
				panic("a defect")
			case "error":
				return errors.New("the disk is on fire")
			}
			return keep(ctx, c)
		}
	})
	activate(t, d)
	for _, line := range []string{"1", "panic", "2", "error", "3"} {
		if err := d.LogString(t.Context(), line); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
	}
	if got := r.payloads(extension.StreamResults); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("accepted %q", got)
	}
	if p, f := r.counters.Panics.Load(), r.counters.Failed.Load(); p != 1 || f != 1 {
		t.Errorf("counted %d panics and %d failures, want one each", p, f)
	}
}

// osqueryd's scheduler waits for a slow logger; pings and status lines do not.
func TestSlowAcceptBlocksOnlyItsCall(t *testing.T) {
	socket := socketPath(t)
	entered, release := make(chan struct{}), make(chan struct{})
	d := daemon(t, socket)
	r := run(t, socket, func(c *extension.Config) {
		keep := c.Accept
		c.Accept = func(ctx context.Context, c extension.Call) error {
			if c.Stream == extension.StreamResults {
				close(entered)
				<-release
			}
			return keep(ctx, c)
		}
	})
	activate(t, d)
	uuid, _ := d.UUID()

	slow := make(chan error)
	go func() { slow <- d.LogString(t.Context(), "slow") }()
	<-entered
	for i := range 20 {
		if a := d.LogStatus(t.Context(), osqueryd.StatusLine{Line: i}); a.Code != 0 {
			t.Fatalf("a status call beside the slow one was answered with %v", a)
		}
	}
	if now, ok := d.UUID(); !ok || now != uuid {
		t.Error("osqueryd dropped an extension that was only slow")
	}
	close(release)
	if err := <-slow; err != nil {
		t.Error(err)
	}
	if got := r.payloads(extension.StreamResults); !slices.Equal(got, []string{"slow"}) {
		t.Errorf("accepted %q", got)
	}
}

func TestOtherRegistriesAreRefused(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	run(t, socket, nil)
	activate(t, d)
	uuid, _ := d.UUID()
	response, err := rawClient(t, fmt.Sprintf("%s.%d", socket, uuid)).Call(t.Context(), "table", "stackjoin", nil)
	if err != nil || response.Status.Code == 0 {
		t.Errorf("a table call was answered with %v, %v", response, err)
	}
}
