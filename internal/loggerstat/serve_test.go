package loggerstat

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines takes log lines.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.b.String()), "\n")
}

func TestAPortThatIsTakenIsTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := taken.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	var said lines
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(ctx, address, Handler(healthy), slog.New(slog.NewTextHandler(&said, nil)), time.Millisecond)
	}()
	await(t, "the taken port is told", func() bool { return strings.Contains(said.all()[0], "trying again") })
	_ = taken.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	await(t, "it is served once it is free", func() bool {
		answer, err := client.Get("http://" + address + "/healthz")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	stop()
	<-done
	told := slices.DeleteFunc(said.all(), func(line string) bool { return !strings.Contains(line, "trying again") })
	if len(told) != 1 {
		t.Errorf("told %d times: %q", len(told), told)
	}
	if _, err := client.Get("http://" + address + "/healthz"); err == nil {
		t.Error("the port is still served")
	}
}

func TestWithoutAnAddressNothingIsServed(t *testing.T) {
	Serve(t.Context(), "", healthy, slog.New(slog.DiscardHandler)) // returns
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !holds(); {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
