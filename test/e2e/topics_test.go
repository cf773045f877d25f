//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// topicsSite is a broker that allows nothing but to its administrator, with two
// configurations of one enricher: the administrator's, and the program's own.
type topicsSite struct {
	t           *testing.T
	broker      *kafkatest.Broker
	enricher    string
	admin, user string
}

func newTopicsSite(t *testing.T) *topicsSite {
	t.Helper()
	x := &topicsSite{t: t, enricher: filepath.Join(programs(t), "enricher")}
	x.broker = kafkatest.Real(t, kafkatest.With(kafkatest.SASL),
		kafkatest.Set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
		kafkatest.Set("super.users", "User:ANONYMOUS"))
	x.admin = x.config("admin.yaml", x.broker.Addr(kafkatest.Plaintext), "")
	x.user = x.config("user.yaml", x.broker.Addr(kafkatest.SASL),
		fmt.Sprintf(", sasl: {mechanism: scram-sha-256, username: %s, password: %s}", kafkatest.User, kafkatest.Password))
	return x
}

func (x *topicsSite) config(name, broker, login string) string {
	x.t.Helper()
	path := filepath.Join(x.t.TempDir(), name)
	text := fmt.Sprintf("kafka: {brokers: [%q]%s}\ngroup: joiners\nsessions: 2\ntopics: {partitions: 3, retention: 48h}\n", broker, login)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		x.t.Fatal(err)
	}
	return path
}

// topics runs enricher topics.
func (x *topicsSite) topics(args ...string) (out string, code int) {
	x.t.Helper()
	cmd := exec.Command(x.enricher, append([]string{"topics"}, args...)...)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		x.t.Fatalf("enricher topics: %v", err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// want runs enricher topics and wants an exit code, and these words.
func (x *topicsSite) want(code int, words string, args ...string) {
	x.t.Helper()
	if out, got := x.topics(args...); got != code || !strings.Contains(out, words) {
		x.t.Errorf("topics %v: exit code %d, want %d and %q:\n%s", args, got, code, words, out)
	}
}

// One row goes through an enricher that may do what the plan's rights allow, and
// nothing else, on topics that the plan made.
func TestPlannedTopicsAndRightsAreWhatTheEnricherNeeds(t *testing.T) {
	x := newTopicsSite(t)
	x.want(2, "+ joiners.state: 3 partitions", "plan", "--config", x.admin)
	x.want(0, "+ osquery.enriched: 3 partitions", "apply", "--config", x.admin)
	x.want(0, "as they should be", "plan", "--config", x.admin)

	rights, code := x.topics("plan", "--acls", "User:"+kafkatest.User, "--config", x.admin)
	if code != 0 {
		t.Fatalf("rights: exit code %d:\n%s", code, rights)
	}
	log := filepath.Join(t.TempDir(), "log")
	run := exec.Command("sh", "-c", `exec "$0" run --config "$1" 2>"$2"`, x.enricher, x.user, log)
	if err := run.Run(); err == nil {
		t.Error("the enricher starts without any right")
	}
	for line := range strings.Lines(rights) {
		args, ok := strings.CutPrefix(strings.TrimSpace(line), "kafka-acls.sh ")
		if !ok {
			t.Fatalf("no command: %q", line)
		}
		x.broker.Tool(t, "org.apache.kafka.tools.AclCommand", strings.Fields(args)...)
	}
	run = exec.Command(x.enricher, "run", "--config", x.user)
	words, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer words.Close()
	run.Stderr = words
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	row := &kgo.Record{Topic: "osquery.results", Key: []byte("h"), Value: []byte(`{"name":"q","hostIdentifier":"h","unixTime":1760000000,"columns":{"n":"1"},"action":"added"}`)}
	if err := kafkatest.Client(t, x.broker.Addrs()).ProduceSync(t.Context(), row).FirstErr(); err != nil {
		t.Fatal(err)
	}
	x.arrives(words)
	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := run.Wait(); err != nil {
		t.Errorf("enricher: %v\n%s", err, text(words))
	}
	x.refuses()
}

// arrives waits for the row on the enriched topic.
func (x *topicsSite) arrives(words *os.File) {
	x.t.Helper()
	client := kafkatest.Client(x.t, x.broker.Addrs(), kgo.ConsumeTopics("osquery.enriched"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx, cancel := context.WithTimeout(x.t.Context(), 2*time.Minute)
	defer cancel()
	for client.PollFetches(ctx).NumRecords() == 0 {
		if ctx.Err() != nil {
			x.t.Fatalf("no row comes out:\n%s", text(words))
		}
	}
}

// refuses wants what would lose the row refused, by a real broker's numbers.
func (x *topicsSite) refuses() {
	x.t.Helper()
	config, err := os.ReadFile(x.admin)
	if err != nil {
		x.t.Fatal(err)
	}
	for old, change := range map[string][2]string{
		"retention: 48h": {"retention: 1h", "! osquery.enriched: retention.ms 172800000 -> 3600000 is refused"},
		"partitions: 3":  {"partitions: 6", "! osquery.results: partitions 3 -> 6 is refused"},
	} {
		path := filepath.Join(x.t.TempDir(), "refused.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(string(config), old, change[0], 1)), 0o600); err != nil {
			x.t.Fatal(err)
		}
		x.want(2, change[1], "plan", "--config", path)
		x.want(1, "nothing was changed", "apply", "--config", path)
	}
	x.want(0, "as they should be", "plan", "--config", x.admin)
}
