package osqueryd

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// witness is an extension that notes what is asked on each connection.
type witness struct {
	hang chan struct{} // pings wait for its end

	mu    sync.Mutex
	conns [][]string
	wg    sync.WaitGroup
}

// connection is the part of a witness that serves one connection.
type connection struct {
	w *witness
	n int
}

func (c connection) note(what string) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.conns[c.n] = append(c.w.conns[c.n], what)
}

func (c connection) Ping(context.Context) (*osquery.ExtensionStatus, error) {
	c.note("ping")
	<-c.w.hang
	return &osquery.ExtensionStatus{}, nil
}

func (c connection) Call(context.Context, string, string, osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	c.note("call")
	return &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{}}, nil
}

func (c connection) Shutdown(context.Context) error { return nil }

// serve takes connections until l is closed.
func (w *witness) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		c := connection{w, len(w.conns)}
		w.conns = append(w.conns, nil)
		w.mu.Unlock()
		w.wg.Go(func() {
			defer conn.Close()
			p := binaryOver(thrift.NewTSocketFromConnConf(conn, nil), nil)
			for more := true; more; {
				more, _ = osquery.NewExtensionProcessor(c).Process(context.Background(), p, p)
			}
		})
	}
}

// witnessed starts a daemon with a registered witness.
func witnessed(t *testing.T, cfg Config) (*Daemon, *witness) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sj") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg.Socket, cfg.Logger = dir+"/em", "stackjoin"
	d, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	status, err := d.registry.RegisterExtension(t.Context(), &osquery.InternalExtensionInfo{Name: "stackjoin"},
		osquery.ExtensionRegistry{"logger": {"stackjoin": osquery.ExtensionPluginResponse{}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", d.socketOf(int64(status.UUID)))
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{hang: make(chan struct{})}
	w.wg.Go(func() { w.serve(l) })
	t.Cleanup(func() {
		d.Kill()
		_ = l.Close()
		w.wg.Wait()
	})
	return d, w
}

func TestEachCallIsPrecededByAPingAndBothHaveConnectionsOfTheirOwn(t *testing.T) {
	d, w := witnessed(t, Config{Interval: time.Hour})
	close(w.hang)
	for range 3 {
		if err := d.LogString(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if want := [][]string{{"ping"}, {"call"}, {"ping"}, {"call"}, {"ping"}, {"call"}}; !slices.EqualFunc(w.conns, want, slices.Equal) {
		t.Errorf("connections carried %v, want %v", w.conns, want)
	}
}

func TestOneFailedPingEndsTheRoute(t *testing.T) {
	d, w := witnessed(t, Config{Interval: time.Millisecond, PingTimeout: 50 * time.Millisecond})
	defer close(w.hang)
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, ok := d.UUID(); !ok {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("an extension that answers no ping is still registered")
		}
	}
	var exit *ExitError
	if err := d.LogString(t.Context(), "x"); !errors.As(err, &exit) || exit.Code != 78 {
		t.Errorf("got %v, want exit 78", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.conns) != 1 {
		t.Errorf("it was pinged %d times, want once", len(w.conns))
	}
}

func TestAMutePingFailsTheCall(t *testing.T) {
	d, w := witnessed(t, Config{Interval: time.Hour, PingTimeout: 50 * time.Millisecond})
	defer close(w.hang)
	if a := d.Call(t.Context(), osquery.ExtensionPluginRequest{"string": "x"}); a.Code != 1 {
		t.Errorf("answered %+v", a)
	}
}
