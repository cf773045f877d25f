package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// asProgram makes the test binary be logger-ext, so that tests run the real thing
// under the race detector.
const asProgram = "LOGGER_EXT_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// output takes what the program prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// site is a host with osqueryd and logger-ext on it.
type site struct {
	t      *testing.T
	dir    string
	config string
	out    *output
}

func newSite(t *testing.T, config string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "le") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{t: t, dir: dir, config: filepath.Join(dir, "logger-ext.yaml"), out: &output{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logger-ext printed:\n%s", s.out)
		}
	})
	s.write(config)
	return s
}

// write replaces the configuration; SPOOL stands for the spool's folder.
func (s *site) write(config string) {
	s.t.Helper()
	text := strings.ReplaceAll(config, "SPOOL", filepath.Join(s.dir, "spool"))
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// osqueryd starts osqueryd with the extension and waits until it logs.
func (s *site) osqueryd(change ...func(*osqueryd.Config)) *osqueryd.Daemon {
	s.t.Helper()
	cfg := osqueryd.Config{
		Socket: filepath.Join(s.dir, "o.sock"), Logger: "stackjoin", Timeout: 30 * time.Second,
		Interval: time.Second, WatcherInterval: 100 * time.Millisecond,
		Extension: &osqueryd.Extension{
			Path: os.Args[0], Args: []string{"--config", s.config}, Env: []string{asProgram + "=1"}, Output: s.out, Respawn: true,
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	d, err := osqueryd.Start(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(d.Kill)
	if err := d.Activate(context.Background()); err != nil {
		s.t.Fatalf("%v\n%s", err, s.out)
	}
	return d
}

func (s *site) shutdown(d *osqueryd.Daemon) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := d.Shutdown(ctx); err != nil {
		s.t.Fatalf("%v\n%s", err, s.out)
	}
	if strings.Contains(s.out.String(), "goroutine ") || strings.Contains(s.out.String(), "DATA RACE") {
		s.t.Errorf("a stack trace:\n%s", s.out)
	}
}

func fake(t *testing.T) *kafkatest.FakeBroker {
	t.Helper()
	return kafkatest.Fake(t, kfake.SeedTopics(3, "osquery.results", "osquery.status", "osquery.deadletter"))
}

func yaml(brokers string) string {
	return "kafka: {brokers: [" + brokers + "]}\nspool: {dir: SPOOL, min_free: 0}\n"
}

func row(i int) string {
	return osqueryd.Line{Name: "q", HostIdentifier: "h", Time: time.Unix(1_760_000_000, 0)}.Event("added", osqueryd.Row{"i": i})
}

func log(t *testing.T, d *osqueryd.Daemon, line string) {
	t.Helper()
	if err := d.LogString(context.Background(), line); err != nil {
		t.Fatal(err)
	}
}

// await reads topic until it has want records of osqueryd's with different names.
func await(t *testing.T, brokers []string, topic string, want int) []*kgo.Record {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		records := slices.DeleteFunc(kafkatest.Read(t, brokers, topic), func(r *kgo.Record) bool {
			kind := header(r, "kind") // of our own
			return kind == "gap" || kind == "heartbeat"
		})
		names := map[string]bool{}
		for _, r := range records {
			names[name(r)] = true
		}
		if len(names) >= want {
			return records
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d records are on %s", len(names), want, topic)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func name(r *kgo.Record) string {
	return header(r, "agent") + "/" + header(r, "run") + "/" + header(r, "seq") + "/" + header(r, "row")
}

func number(t *testing.T, r *kgo.Record) string {
	t.Helper()
	var v struct{ Columns struct{ I string } }
	if err := json.Unmarshal(r.Value, &v); err != nil {
		t.Fatal(err)
	}
	return v.Columns.I
}

func TestEveryFormOfCallReachesKafka(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd()
	ctx := context.Background()
	line := osqueryd.Line{Name: "q", HostIdentifier: "h", Time: time.Unix(1_760_000_000, 0)}
	log(t, d, row(0))
	for _, err := range []error{
		d.LogBatch(ctx, line, []osqueryd.Row{{"i": 1}}, []osqueryd.Row{{"i": 2}, {"i": 3}}),
		d.LogSnapshot(ctx, line.Snapshot([]osqueryd.Row{{"i": 4}})),
		d.LogSnapshot(ctx, line.Snapshot(nil)),
		d.LogString(ctx, "no json"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if a := d.LogStatus(ctx, osqueryd.StatusLine{Severity: 1, File: "x.cpp", Line: 3, Message: "hello", Host: "h", Time: time.Now()}); a.Code != 0 {
		t.Errorf("status answered %+v", a)
	}
	rows := await(t, broker.Addrs(), "osquery.results", 6)
	status := await(t, broker.Addrs(), "osquery.status", 1)
	dead := await(t, broker.Addrs(), "osquery.deadletter", 1)
	for _, r := range append(append(rows, status...), dead...) {
		schematest.Validate(t, header(r, "schema"), r.Value)
	}
	if !strings.Contains(string(status[0].Value), `"version":"`+osqueryd.Version+`"`) {
		t.Errorf("the status row has no version: %s", status[0].Value)
	}
	s.shutdown(d)
}

// Promise 1: a broker that is away costs nothing but time.
func TestABrokerThatIsAwayIsWaitedFor(t *testing.T) {
	broker := fake(t)
	broker.Stop(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd()
	for i := range 20 {
		log(t, d, row(i))
	}
	s.shutdown(d) // what is unsent stays
	broker.Start(t)
	d = s.osqueryd()
	for i, r := range await(t, broker.Addrs(), "osquery.results", 20) {
		if number(t, r) != fmt.Sprint(i) {
			t.Fatalf("row %s at place %d", number(t, r), i)
		}
	}
	s.shutdown(d)
}

// Promises 1, 2 and 4 with kill -9 in the middle: each row that was answered OK
// arrives, and repeats bear the same name.
func TestKillNineLosesNothing(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd()
	answered := 0
	for round := range 4 {
		for range 25 {
			log(t, d, row(answered))
			answered++
		}
		_, starts := d.PID()
		if err := d.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := d.WaitExtension(context.Background()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		awaitStart(t, d, starts)
	}
	last := -1
	seen := map[string]string{}
	for _, r := range await(t, broker.Addrs(), "osquery.results", answered) {
		if n, ok := seen[name(r)]; ok && n != number(t, r) {
			t.Fatalf("%s names row %s and row %s", name(r), n, number(t, r))
		} else if !ok {
			last++
			if number(t, r) != fmt.Sprint(last) {
				t.Fatalf("row %s came where %d was due", number(t, r), last)
			}
		}
		seen[name(r)] = number(t, r)
	}
	s.shutdown(d)
}

// awaitStart waits until osqueryd has started the extension again and can log.
func awaitStart(t *testing.T, d *osqueryd.Daemon, before int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		if _, starts := d.PID(); starts > before {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the extension was not started again")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := d.Activate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Bad input: under osqueryd a wrong configuration is told, and the extension stays
// registered and spools. The rows go when the configuration is mended.
func TestAWrongConfigurationSpoolsAndSaysSo(t *testing.T) {
	broker := fake(t)
	for name, wrong := range map[string]string{
		"unknown key": "spool: {dir: SPOOL, min_free: 0}\nkafak: {brokers: [x]}\n",
		"wrong value": "spool: {dir: SPOOL, min_free: 0}\nkey: colour\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, wrong)
			d := s.osqueryd()
			log(t, d, row(1))
			s.shutdown(d)
			if !strings.Contains(s.out.String(), "logger-ext.yaml") || !strings.Contains(s.out.String(), "nothing is shipped") {
				t.Errorf("it says\n%s", s.out)
			}
			s.write(yaml(broker.Addrs()[0]))
			before := len(kafkatest.Read(t, broker.Addrs(), "osquery.results"))
			d = s.osqueryd()
			await(t, broker.Addrs(), "osquery.results", before+1)
			s.shutdown(d)
		})
	}
}

func TestTheLastGoodConfigurationIsUsed(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd()
	log(t, d, row(1))
	s.shutdown(d)
	s.write("spool: {dir: SPOOL, min_free: 0}\nnonsense: 1\n")
	d = s.osqueryd()
	log(t, d, row(2))
	await(t, broker.Addrs(), "osquery.results", 2)
	s.shutdown(d)
	if !strings.Contains(s.out.String(), "last good configuration") {
		t.Errorf("it says\n%s", s.out)
	}
}

// A second osqueryd on the same spool gets no logger: registering would take the
// first one's rows.
func TestASecondProcessIdlesUntilTheSpoolIsFree(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	first := s.osqueryd()
	second, err := osqueryd.Start(osqueryd.Config{
		Socket: filepath.Join(s.dir, "p.sock"), Logger: "stackjoin", Timeout: time.Second, WatcherInterval: 50 * time.Millisecond,
		Extension: &osqueryd.Extension{Path: os.Args[0], Args: []string{"--config", s.config}, Env: []string{asProgram + "=1"}, Output: s.out},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Kill)
	var exit *osqueryd.ExitError
	if err := second.Activate(context.Background()); !errors.As(err, &exit) {
		t.Fatalf("the second registered: %v", err)
	}
	s.shutdown(first)
	for deadline := time.Now().Add(30 * time.Second); ; { // its own patience is a second
		err := second.Activate(context.Background())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the spool is free, but %v\n%s", err, s.out)
		}
	}
	log(t, second, row(1))
	s.shutdown(second)
}

func TestSIGTERMKeepsServingUntilOsquerydIsDone(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd(func(c *osqueryd.Config) { c.Extension.Respawn = false })
	if err := d.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		log(t, d, row(i))
	}
	s.shutdown(d)
	again := s.osqueryd()
	await(t, broker.Addrs(), "osquery.results", 10)
	s.shutdown(again)
}

// program runs logger-ext by hand.
func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs)
	return out.String(), errs.String(), code
}

func TestCheckTellsEverythingInOneGo(t *testing.T) {
	good := newSite(t, yaml("127.0.0.1:9092"))
	if out, stderr, code := program(t, "--check", "--config", good.config); code != 0 || !strings.Contains(out, ": ok") {
		t.Errorf("a good configuration: exit %d, %q, %q", code, out, stderr)
	}
	wrong := newSite(t, "kafak: 1\nkey: colour\nmax_record_bytes: 3\nkafka:\n  sasl: {mechanism: plain, username: u, password: hunter2}\n  tls: {enabled: true, ca_file: /no/such/ca}\n")
	_, stderr, code := program(t, "--check", "--config", wrong.config)
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	for _, words := range []string{"logger-ext.yaml:1: kafak: ", `"kafka"`, "logger-ext.yaml:2: key: ", "agent", "logger-ext.yaml:3: max_record_bytes: "} {
		if !strings.Contains(stderr, words) {
			t.Errorf("it does not say %q:\n%s", words, stderr)
		}
	}
	if strings.Contains(stderr, "hunter2") {
		t.Errorf("a secret on standard error: %s", stderr)
	}
	unreadable := newSite(t, "kafka: {tls: {enabled: true, ca_file: /no/such/ca}}\n")
	if _, stderr, code := program(t, "--check", "--config", unreadable.config); code != 1 || !strings.Contains(stderr, "/no/such/ca") {
		t.Errorf("an unreadable file: exit %d, %q", code, stderr)
	}
	if _, stderr, code := program(t, "--check", "--config", "/no/such/file"); code != 1 || !strings.Contains(stderr, "/no/such/file") {
		t.Errorf("a missing file: exit %d, %q", code, stderr)
	}
}

func TestWithoutASocketItSaysWhoStartsIt(t *testing.T) {
	if _, stderr, code := program(t, "--config", "x"); code != 1 || !strings.Contains(stderr, "--extensions_autoload") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if _, stderr, code := program(t, "--colour"); code != 1 || !strings.Contains(stderr, "unknown flag: --colour") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestTheFileIsLookedForInThreePlaces(t *testing.T) {
	fromVariable := newSite(t, yaml("127.0.0.1:9092"))
	t.Setenv("LOGGER_EXT_CONFIG", fromVariable.config)
	if out, stderr, code := program(t, "--check"); code != 0 || !strings.Contains(out, fromVariable.config) {
		t.Errorf("exit %d, %q, %q", code, out, stderr)
	}
	t.Setenv("LOGGER_EXT_CONFIG", "")
	if _, stderr, code := program(t, "--check"); code != 1 || !strings.Contains(stderr, "logger-ext.yaml") {
		t.Errorf("the usual place: exit %d, %q", code, stderr)
	}
}
