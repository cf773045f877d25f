//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// held is a logger-ext in front of a broker whose operator gets things wrong.
type held struct {
	t      *testing.T
	broker *kafkatest.Broker
	admin  *kadm.Client
	osqd   *osqueryd.Daemon
	sent   int
}

// log logs n rows of size bytes that do not compress.
func (h *held) log(n, size int) {
	h.t.Helper()
	line := osqueryd.Line{Name: "numbers", HostIdentifier: "h", Time: time.Now()}
	letters := make([]byte, size)
	for range n {
		for i := range letters {
			letters[i] = byte('a' + rand.N(26))
		}
		if err := h.osqd.LogString(context.Background(), line.Event("added", osqueryd.Row{"i": h.sent, "text": string(letters)})); err != nil {
			h.t.Fatal(err)
		}
		h.sent++
	}
}

// rows are the numbers on the results topic, in order, each as often as it is
// there but for repeats under one name.
func (h *held) rows() (numbers []string) {
	names := map[string]bool{}
	for _, r := range kafkatest.Read(h.t, h.broker.Addrs(), "osquery.results") {
		schematest.Validate(h.t, header(r, "schema"), r.Value)
		name := strings.Join([]string{header(r, "run"), header(r, "seq"), header(r, "row")}, "/")
		if header(r, "kind") != "result" || names[name] {
			continue
		}
		names[name] = true
		var v struct{ Columns struct{ I string } }
		if err := json.Unmarshal(r.Value, &v); err != nil {
			h.t.Fatal(err)
		}
		numbers = append(numbers, v.Columns.I)
	}
	return numbers
}

// arrives waits until all that was logged is on the topic, in order, but for the
// rows in without.
func (h *held) arrives(after string, without ...int) {
	h.t.Helper()
	var want []string
	for i := range h.sent {
		if len(without) == 0 || i != without[0] {
			want = append(want, fmt.Sprint(i))
		}
	}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		got := h.rows()
		if strings.Join(got, " ") == strings.Join(want, " ") {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("after %s: rows %v, want all of %d but %v", after, got, h.sent, without)
		}
	}
}

func (h *held) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *held) rights() *kadm.ACLBuilder {
	return kadm.NewACLs().Topics("osquery.results", "osquery.status", "osquery.deadletter").ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(kadm.OpWrite, kadm.OpDescribe).Allow("User:" + kafkatest.User).AllowHosts()
}

func (h *held) allow() {
	results, err := h.admin.CreateACLs(h.t.Context(), h.rights())
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	h.must(err)
}

func (h *held) forbid() {
	results, err := h.admin.DeleteACLs(h.t.Context(), h.rights())
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	h.must(err)
}

func (h *held) limit(bytes string) {
	_, err := h.admin.AlterTopicConfigs(h.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, "osquery.results")
	h.must(err)
}

// Whatever an operator gets wrong holds the line and heals when it is put right,
// by itself: a missing topic, rights taken away, a rotated password, a limit below
// the batch, a quota. Nothing is dead-lettered but the one row that no setting
// would let through.
func TestEachFaultOfAnOperatorHeals(t *testing.T) {
	b := kafkatest.Real(t, kafkatest.With(kafkatest.SASL),
		kafkatest.Set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
		kafkatest.Set("super.users", "User:ANONYMOUS"))
	bin, dir := programs(t), t.TempDir()
	short, err := os.MkdirTemp("", "heal")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	password, config := filepath.Join(dir, "password"), filepath.Join(dir, "logger-ext.yaml")
	h := &held{t: t, broker: b, admin: kadm.NewClient(kafkatest.Client(t, b.Addrs()))}
	h.must(os.WriteFile(password, []byte(kafkatest.Password), 0o600))
	h.must(os.WriteFile(config, []byte(fmt.Sprintf(`kafka:
  brokers: [%s]
  sasl: {mechanism: scram-sha-256, username: %s, password_file: %s}
spool: {dir: %s, min_free: 0}
shipping: {max_delay: 0s}
`, b.Addr(kafkatest.SASL), kafkatest.User, password, filepath.Join(dir, "spool"))), 0o600))
	log, err := os.Create(filepath.Join(dir, "log"))
	h.must(err)
	defer log.Close()
	h.osqd, err = osqueryd.Start(osqueryd.Config{
		Socket: filepath.Join(short, "o"), Logger: "stackjoin", Timeout: 30 * time.Second,
		Extension: &osqueryd.Extension{Path: filepath.Join(bin, "logger-ext"), Args: []string{"--config", config}, Output: log},
	})
	h.must(err)
	defer h.osqd.Kill()
	h.must(h.osqd.Activate(t.Context()))

	h.log(10, 20)
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(text(log), "delivery is held up"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("that the line is held is not told:\n%s", text(log))
		}
	}
	h.allow()
	for _, topic := range []string{"osquery.results", "osquery.status", "osquery.deadletter"} {
		kafkatest.CreateTopic(t, b.Addrs(), topic, 1, nil)
	}
	h.arrives("the topic and the rights came")

	h.forbid()
	h.log(10, 20)
	h.allow()
	h.arrives("the rights came back")

	_, err = h.admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{
		User: kafkatest.User, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: "rotated",
	}})
	h.must(err)
	b.Stop(t) // connections that are logged in stay so
	b.Start(t)
	h.log(10, 20)
	h.must(os.WriteFile(password, []byte("rotated"), 0o600))
	h.arrives("the password was rotated")

	h.limit("20000")
	h.log(60, 1000) // together above the limit, each below
	oversized := h.sent
	h.log(1, 40_000)
	h.log(10, 1000)
	h.arrives("the limit was lowered", oversized)

	component := "stackjoin"
	_, err = h.admin.AlterClientQuotas(t.Context(), []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &component}}, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 20_000}},
	}})
	h.must(err)
	h.log(200, 1000)
	h.arrives("a quota was set", oversized)

	letters := kafkatest.Read(t, b.Addrs(), "osquery.deadletter")
	distinct := map[string]*kgo.Record{}
	for _, r := range letters {
		schematest.Validate(t, header(r, "schema"), r.Value)
		distinct[header(r, "run")+"/"+header(r, "seq")+"/"+header(r, "row")] = r
	}
	if len(distinct) != 1 {
		t.Errorf("%d dead letters, want that of the oversized row", len(distinct))
	}
	for _, r := range distinct {
		if !strings.Contains(string(r.Value), `"reason":"refused"`) {
			t.Errorf("letter %.300s", r.Value)
		}
	}
	if said := text(log); !strings.Contains(said, "delivering again") || strings.Contains(said, kafkatest.Password) || strings.Contains(said, "rotated") {
		t.Errorf("log:\n%s", said)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h.must(h.osqd.Shutdown(ctx))
}

// text is what a program has said so far.
func text(log *os.File) string {
	b, _ := os.ReadFile(log.Name())
	return string(b)
}
