package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
	"github.com/stackjoin/stackjoin/schemas/schematest"
	"github.com/twmb/franz-go/pkg/kgo"
)

// until waits for something to hold.
func (s *site) until(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("in a minute: not %s\n%s", what, s.out)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *site) says(text string) bool { return strings.Contains(s.out.String(), text) }

// kinds are the records of a topic of that kind.
func kinds(t *testing.T, brokers []string, topic, kind string) (of []*kgo.Record) {
	t.Helper()
	for _, r := range kafkatest.Read(t, brokers, topic) {
		if header(r, "kind") == kind {
			schematest.Validate(t, header(r, "schema"), r.Value)
			of = append(of, r)
		}
	}
	return of
}

// A changed file takes effect without a restart, a wrong one changes nothing and
// is told, and SIGHUP asks for a look at once.
func TestConfigurationIsTakenUpWhileRunning(t *testing.T) {
	broker := fake(t)
	kafkatest.CreateTopic(t, broker.Addrs(), "second", 1, nil)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd()
	log(t, d, row(0))
	await(t, broker.Addrs(), "osquery.results", 1)
	before, _ := d.PID()

	s.write(yaml(broker.Addrs()[0]) + "topics: {results: second}\n")
	s.until("in use", func() bool { return s.says("configuration in use") })
	log(t, d, row(1))
	await(t, broker.Addrs(), "second", 1)

	s.write("nonsense: 1\n")
	s.until("told", func() bool { return s.says("the new configuration is wrong") })
	log(t, d, row(2))
	if got := await(t, broker.Addrs(), "second", 2); number(t, got[1]) != "2" {
		t.Errorf("row %s", number(t, got[1]))
	}

	s.write(yaml(broker.Addrs()[0]))
	if err := d.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.until("in use again", func() bool { return strings.Count(s.out.String(), "configuration in use") >= 2 })
	log(t, d, row(3))
	await(t, broker.Addrs(), "osquery.results", 2)
	if after, _ := d.PID(); after != before {
		t.Error("it was restarted")
	}
	s.shutdown(d)
}

// A broker that cannot be reached does not keep a corrected address from being
// used.
func TestAWrongBrokerIsCorrectedWhileTheLineIsHeld(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml("127.0.0.1:1"))
	d := s.osqueryd()
	log(t, d, row(0))
	s.write(yaml(broker.Addrs()[0]))
	await(t, broker.Addrs(), "osquery.results", 1)
	s.shutdown(d)
}

const rules = `
routes:
  - {query: "security_*", topic: second}
  - {kind: status, topic: third}
redact:
  key: 0123456789abcdef
  rules:
    - {preset: url_credentials}
`

// Routes and redaction are in force before a call is durable.
func TestRoutesAndRedaction(t *testing.T) {
	broker := fake(t)
	for _, topic := range []string{"second", "third"} {
		kafkatest.CreateTopic(t, broker.Addrs(), topic, 1, nil)
	}
	s := newSite(t, yaml(broker.Addrs()[0])+rules)
	d := s.osqueryd()
	line := osqueryd.Line{Name: "security_ports", HostIdentifier: "h", Time: time.Unix(1_760_000_000, 0)}
	log(t, d, line.Event("added", osqueryd.Row{"i": 1, "cmdline": "curl https://bob:hunter2@example.com/"}))
	log(t, d, row(2))
	d.LogStatus(context.Background(), osqueryd.StatusLine{Severity: 1, Message: "hello", Host: "h", Time: time.Now()})
	got := await(t, broker.Addrs(), "second", 1)
	if v := string(got[0].Value); strings.Contains(v, "hunter2") || !strings.Contains(v, "[redacted:") || !strings.Contains(v, "bob:") {
		t.Errorf("row %s", v)
	}
	if got := await(t, broker.Addrs(), "osquery.results", 1); number(t, got[0]) != "2" {
		t.Errorf("row %s on the default topic", number(t, got[0]))
	}
	await(t, broker.Addrs(), "third", 1)
	s.shutdown(d)
}

// While the configuration is wrong calls are spooled as they come; what its rules
// would have hidden is hidden before it is sent, and the row says so.
func TestCallsSpooledWithoutRulesAreRedactedWhenSent(t *testing.T) {
	broker := fake(t)
	kafkatest.CreateTopic(t, broker.Addrs(), "second", 1, nil)
	s := newSite(t, "nonsense: 1\nspool: {dir: SPOOL, min_free: 0}\n")
	d := s.osqueryd()
	line := osqueryd.Line{Name: "q", HostIdentifier: "h", Time: time.Unix(1_760_000_000, 0)}
	log(t, d, line.Event("added", osqueryd.Row{"i": 1, "cmdline": "curl https://bob:hunter2@example.com/"}))
	log(t, d, row(2))
	s.write(yaml(broker.Addrs()[0]) + rules)
	got := await(t, broker.Addrs(), "osquery.results", 2)
	if v := string(got[0].Value); strings.Contains(v, "hunter2") || !strings.Contains(v, `"redacted_late":true`) {
		t.Errorf("row %s", v)
	}
	if v := string(got[1].Value); strings.Contains(v, "redacted_late") {
		t.Errorf("nothing was hidden in %s", v)
	}
	s.shutdown(d)
}

func TestHeartbeatsAreInLine(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0])+"heartbeat: 1s\n")
	d := s.osqueryd()
	log(t, d, row(0))
	s.until("two heartbeats", func() bool { return len(kinds(t, broker.Addrs(), "osquery.results", "heartbeat")) >= 2 })
	var beat struct {
		ConfigState string `json:"config_state"`
		Config      string
		Delivery    struct{ Prev string }
	}
	if err := json.Unmarshal(kinds(t, broker.Addrs(), "osquery.results", "heartbeat")[0].Value, &beat); err != nil {
		t.Fatal(err)
	}
	if beat.ConfigState != "ok" || beat.Config == "" || !strings.HasSuffix(beat.Delivery.Prev, "/1") {
		t.Errorf("heartbeat %+v", beat)
	}
	s.shutdown(d)
}

// What logger-ext itself warns of is a row of the status topic.
func TestOwnWarningsAreStatusRows(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd()
	s.write("nonsense: 1\n")
	s.until("a status row of its own", func() bool {
		for _, r := range kinds(t, broker.Addrs(), "osquery.status", "status") {
			if v := string(r.Value); strings.Contains(v, `"filename":"logger-ext"`) && strings.Contains(v, "the new configuration is wrong") && strings.Contains(v, `"severity":2`) {
				return true
			}
		}
		return false
	})
	s.shutdown(d)
}

// Each time without a way to us has its marker: a kill -9, and being forgotten.
func TestAbsencesHaveMarkers(t *testing.T) {
	broker := fake(t)
	s := newSite(t, yaml(broker.Addrs()[0]))
	d := s.osqueryd()
	log(t, d, row(0))
	unregistered := func() (n int) {
		for _, r := range kinds(t, broker.Addrs(), "osquery.results", "gap") {
			if strings.Contains(string(r.Value), `"reason":"unregistered"`) {
				n++
			}
		}
		return n
	}
	_, starts := d.PID()
	if err := d.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := d.WaitExtension(context.Background()); err != nil {
		t.Fatal(err)
	}
	awaitStart(t, d, starts)
	s.until("a marker after kill -9", func() bool { return unregistered() == 1 })
	d.Forget()
	s.until("a marker after being forgotten", func() bool { return unregistered() == 2 })
	s.shutdown(d)

	d = s.osqueryd() // an orderly end leaves no absence
	log(t, d, row(1))
	await(t, broker.Addrs(), "osquery.results", 2)
	if n := unregistered(); n != 2 {
		t.Errorf("%d markers after an orderly restart, want 2", n)
	}
	s.shutdown(d)
}

func TestMetricsAndHealthOfTheProgram(t *testing.T) {
	broker := fake(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	s := newSite(t, yaml(broker.Addrs()[0])+"metrics: {listen: '"+address+"'}\n")
	d := s.osqueryd()
	log(t, d, row(0))
	await(t, broker.Addrs(), "osquery.results", 1)
	get := func(path string) string {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return fmt.Sprint(resp.StatusCode, " ", string(b))
	}
	s.until("healthy", func() bool { return strings.HasPrefix(get("/healthz"), "200 ") })
	for _, want := range []string{"stackjoin_logger_registered 1", "stackjoin_logger_sent_records_total 1", `stackjoin_logger_shipping_state{state="running"} 1`} {
		s.until(want, func() bool { return strings.Contains(get("/metrics"), want) })
	}
	s.shutdown(d)
}
