package osqueryd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/plugin/logger"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

const patience = 30 * time.Second

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sj")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "em")
}

// output keeps what extension processes print.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// lines decodes what was printed in full so far.
func (o *output) lines(t *testing.T) []told {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []told
	for line := range strings.Lines(o.text.String()) {
		var one told
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("the extension printed %q", o.text.String())
		}
		list = append(list, one)
	}
	return list
}

// start starts a daemon whose extension is this test binary in the given role.
func start(t *testing.T, role string) (*osqueryd.Daemon, *output, string) {
	t.Helper()
	printed := &output{}
	socket := socketPath(t)
	d, err := osqueryd.Start(osqueryd.Config{
		Socket: socket, Logger: "stackjoin", Timeout: patience, Interval: time.Second, WatcherInterval: 20 * time.Millisecond,
		Extension: &osqueryd.Extension{
			Path: os.Args[0], Env: []string{roleVariable + "=" + role}, Verbose: true, Respawn: true, Output: printed,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, d) })
	return d, printed, socket
}

// shutdown ends a daemon. A second time it does nothing that could fail.
func shutdown(t *testing.T, d *osqueryd.Daemon) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := d.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func activate(t *testing.T, d *osqueryd.Daemon) {
	t.Helper()
	if err := d.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStartsTheExtensionAsAutoloadDoes(t *testing.T) {
	d, printed, socket := start(t, "extension")
	activate(t, d)
	if err := d.LogString(t.Context(), "a row"); err != nil {
		t.Fatal(err)
	}
	shutdown(t, d)
	got := printed.lines(t)
	if want := "--verbose --socket " + socket + " --timeout 30 --interval 1"; strings.Join(got[0].Start, " ") != want {
		t.Errorf("started with %q, want %q", got[0].Start, want)
	}
	if got[0].Env != strconv.Itoa(os.Getpid()) {
		t.Errorf("OSQUERY_EXTENSION=%q", got[0].Env)
	}
	if len(got) != 2 || got[1].Payload != "a row" {
		t.Errorf("the extension told %+v", got)
	}
	if left, _ := filepath.Glob(socket + "*"); len(left) != 0 {
		t.Errorf("sockets left: %v", left)
	}
}

func TestCrashingExtension(t *testing.T) {
	d, _, _ := start(t, "crash")
	activate(t, d)
	var exit *osqueryd.ExitError
	if err := d.LogString(t.Context(), "x"); !errors.As(err, &exit) || exit.Code != 78 {
		t.Fatalf("the row that crashed it: %v, want exit 78", err)
	}
	limit := time.Now().Add(patience)
	for _, starts := d.PID(); starts < 2; _, starts = d.PID() {
		if time.Now().After(limit) {
			t.Fatal("the watcher did not start it again")
		}
		time.Sleep(5 * time.Millisecond)
	}
	activate(t, d)
}

// SIGTERM reaches every process of the unit at once; results are logged until
// osqueryd itself says goodbye.
func TestExtensionOutlivesSIGTERM(t *testing.T) {
	d, printed, _ := start(t, "extension")
	activate(t, d)
	if err := d.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := d.LogString(t.Context(), "late"); err != nil {
			t.Fatal(err)
		}
	}
	shutdown(t, d)
	if got := printed.lines(t); len(got) != 101 {
		t.Errorf("the extension told %d of 100 late rows", len(got)-1)
	}
}

func TestNoLoggerNoStart(t *testing.T) {
	d, err := osqueryd.Start(osqueryd.Config{Socket: socketPath(t), Logger: "stackjoin", Timeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Kill()
	var exit *osqueryd.ExitError
	if err := d.Activate(t.Context()); !errors.As(err, &exit) || exit.Reason != "Cannot activate stackjoin logger plugin" {
		t.Errorf("got %v", err)
	}
	if err := d.LogString(t.Context(), "x"); !errors.As(err, &exit) || !strings.HasSuffix(exit.Reason, "Cannot call registry item: stackjoin") {
		t.Errorf("got %v", err)
	}
	if a := d.LogStatus(t.Context(), osqueryd.StatusLine{}); a.Code != 1 {
		t.Errorf("a status line without a logger: %+v", a)
	}
}

// An extension made with osquery-go shows that the driver speaks what others
// understand, and that an error answered to it has osqueryd's consequences.
func TestOsqueryGoExtension(t *testing.T) {
	socket := socketPath(t)
	d, err := osqueryd.Start(osqueryd.Config{Socket: socket, Logger: "other", Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[logger.LogType][]string{}
	server, err := osquery.NewExtensionManagerServer("other_extension", socket, osquery.ServerTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	server.RegisterPlugin(logger.NewPlugin("other", func(_ context.Context, kind logger.LogType, text string) error {
		mu.Lock()
		defer mu.Unlock()
		seen[kind] = append(seen[kind], text)
		if text == "bad" {
			return errors.New("no")
		}
		return nil
	}))
	ended := make(chan error, 1)
	go func() { ended <- server.Start() }()
	activate(t, d)

	l := osqueryd.Line{Name: "q", HostIdentifier: "h", Time: time.Unix(1, 0)}
	if err := d.LogBatch(t.Context(), l, nil, nil); err != nil {
		t.Error(err)
	}
	if err := d.LogSnapshot(t.Context(), l.Snapshot(nil)); err != nil {
		t.Error(err)
	}
	d.LogStatus(t.Context(), osqueryd.StatusLine{Message: "one"}, osqueryd.StatusLine{Message: "two"})
	var exit *osqueryd.ExitError
	if err := d.LogString(t.Context(), "bad"); !errors.As(err, &exit) || exit.Code != 78 {
		t.Errorf("a refused row: %v, want exit 78", err)
	}
	if err := d.LogRun(t.Context(), "bad", "good"); err != nil {
		t.Errorf("only the last row's answer counts, got %v", err)
	}
	var codes []string
	for _, a := range d.Answers() {
		codes = append(codes, a.Request+"="+strconv.Itoa(a.Code))
	}
	if got, want := strings.Join(codes, " "), "init=0 features=1 string=0 snapshot=0 status=0 string=1 string=1 string=0"; got != want {
		t.Errorf("answers %s, want %s", got, want)
	}
	shutdown(t, d)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := server.Shutdown(context.Background()); err != nil {
		t.Logf("osquery-go's own goodbye to a stopped osqueryd: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen[logger.LogTypeString]) != 4 || len(seen[logger.LogTypeSnapshot]) != 1 || len(seen[logger.LogTypeStatus]) != 2 {
		t.Errorf("the extension saw %v", seen)
	}
}
