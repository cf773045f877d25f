package topicplan_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/internal/topicplan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings() topicplan.Settings {
	return topicplan.Settings{
		Inputs: []string{"osquery.results"}, Outputs: []string{"osquery.enriched", "osquery.findings", "osquery.deadletter"},
		State: "g.state", Side: "g.side", Group: "g", Transactions: true, Window: 48 * time.Hour, MaxMessageBytes: 1_004_096,
	}
}

// site is a cluster with what is done to it.
type site struct {
	*testing.T
	brokers []string
	client  *kgo.Client
	admin   *kadm.Client
}

func newSite(t *testing.T, brokers int) *site {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return siteOn(t, c.ListenAddrs())
}

func siteOn(t *testing.T, brokers []string) *site {
	t.Helper()
	client := kafkatest.Client(t, brokers, kgo.MetadataMinAge(10*time.Millisecond))
	return &site{t, brokers, client, kadm.NewClient(client)}
}

func (x *site) plan(s topicplan.Settings) topicplan.Plan {
	x.Helper()
	have, err := topicplan.Read(x.Context(), x.client, s)
	if err != nil {
		x.Fatal(err)
	}
	return topicplan.Compare(s, have)
}

// lines is the plan as a person reads it.
func (x *site) lines(s topicplan.Settings) (lines []string) {
	x.Helper()
	for _, c := range x.plan(s) {
		lines = append(lines, c.String())
	}
	return lines
}

func (x *site) apply(s topicplan.Settings) error {
	x.Helper()
	return topicplan.Apply(x.Context(), x.client, s, x.plan(s))
}

func (x *site) applied(s topicplan.Settings) {
	x.Helper()
	if err := x.apply(s); err != nil {
		x.Fatal(err)
	}
	if lines := x.lines(s); len(lines) > 0 {
		x.Errorf("after apply there is left:\n%s", strings.Join(lines, "\n"))
	}
}

func (x *site) create(name string, partitions int32, config map[string]string) {
	x.Helper()
	kafkatest.CreateTopic(x, x.brokers, name, partitions, config)
}

func (x *site) fill(name string) {
	x.Helper()
	client := kafkatest.Client(x, x.brokers)
	if err := client.ProduceSync(x.Context(), &kgo.Record{Topic: name, Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
		x.Fatal(err)
	}
}

func (x *site) config(topic, key string) string {
	x.Helper()
	all, err := x.admin.DescribeTopicConfigs(x.Context(), topic)
	if err != nil {
		x.Fatal(err)
	}
	for _, c := range all[0].Configs {
		if c.Key == key {
			return c.MaybeValue()
		}
	}
	return ""
}

func (x *site) partitions(topic string) int {
	x.Helper()
	topics, err := x.admin.ListTopics(x.Context(), topic)
	if err != nil {
		x.Fatal(err)
	}
	return len(topics[topic].Partitions)
}

func TestApplyCreatesWhatIsMissingAndThenNothing(t *testing.T) {
	x := newSite(t, 3)
	if lines := x.lines(settings()); len(lines) != 6 || !strings.HasPrefix(lines[0], "+ osquery.results: 12 partitions, 3 replicas, cleanup.policy=delete") {
		t.Errorf("plan of an empty cluster:\n%s", strings.Join(lines, "\n"))
	}
	x.applied(settings())
	for topic, policy := range map[string]string{"g.state": "compact", "g.side": "delete", "osquery.enriched": "delete"} {
		for key, want := range map[string]string{
			"cleanup.policy": policy, "message.timestamp.type": "LogAppendTime", "min.insync.replicas": "2",
			"max.message.bytes": "1004096", "compression.type": "producer",
		} {
			if got := x.config(topic, key); got != want {
				t.Errorf("%s: %s is %q, want %q", topic, key, got, want)
			}
		}
	}
	if got := x.config("g.side", "retention.ms"); got != "172800000" {
		t.Errorf("the side topic keeps records for %s ms, want the window", got)
	}
}

func TestWhatIsJoinedHasThePartitionsOfTheInputs(t *testing.T) {
	x := newSite(t, 1)
	x.create("osquery.results", 5, nil)
	x.applied(settings())
	for _, topic := range []string{"g.state", "g.side"} {
		if n := x.partitions(topic); n != 5 {
			t.Errorf("%s has %d partitions, want 5", topic, n)
		}
	}
}

// What stage 1 reads and keeps has the partitions of its own inputs, which others made.
func TestWhatIsRoutedHasPartitionsOfItsOwn(t *testing.T) {
	s := settings()
	s.Routed, s.Route, s.Facts = []string{"sensor", "cloudtrail"}, "g.route", "g.facts"
	want := map[string]int32{"osquery.results": 12, "g.side": 12, "g.state": 12, "sensor": 12, "g.route": 12, "g.facts": 12}
	check := func(site *site) {
		t.Helper()
		for _, c := range site.plan(s) {
			if n, ok := want[c.Topic]; ok && (c.Create == nil || c.Create.Partitions != n) {
				t.Errorf("%s, want %d partitions", c, n)
			}
		}
	}
	check(newSite(t, 1))
	second := newSite(t, 1)
	second.create("cloudtrail", 2, nil)
	want["sensor"], want["g.route"] = 2, 2
	check(second)
	acls := topicplan.ACLs(s)
	for _, name := range []string{"sensor", "cloudtrail", "g.route", "g.facts"} {
		if !slices.ContainsFunc(acls, func(a topicplan.ACL) bool { return a.Resource == "topic" && a.Name == name }) {
			t.Errorf("no right to %s", name)
		}
	}
	for _, a := range []topicplan.ACL{{Resource: "group", Name: "g.route"}, {Resource: "transactional-id", Name: "g.route-"}} {
		if !slices.ContainsFunc(acls, func(o topicplan.ACL) bool { return o.Resource == a.Resource && o.Name == a.Name }) {
			t.Errorf("no right to %s %s", a.Resource, a.Name)
		}
	}
}

func TestAnEmptyTopicGrows(t *testing.T) {
	x := newSite(t, 1)
	x.create("osquery.results", 3, nil)
	s := settings()
	s.Partitions = 7
	x.applied(s)
	if n := x.partitions("osquery.results"); n != 7 {
		t.Errorf("%d partitions, want 7", n)
	}
}

func TestSettingsThatAreNotOursAreLeftAlone(t *testing.T) {
	x := newSite(t, 1)
	x.create("osquery.results", 2, map[string]string{"cleanup.policy": "compact", "retention.ms": "1000", "max.message.bytes": "500"})
	x.create("osquery.enriched", 9, map[string]string{"retention.ms": "-1", "segment.ms": "777", "max.message.bytes": "2000000"})
	x.fill("osquery.results")
	x.applied(settings())
	for _, c := range [][3]string{
		{"osquery.results", "cleanup.policy", "compact"}, {"osquery.results", "retention.ms", "1000"}, {"osquery.results", "max.message.bytes", "500"},
		{"osquery.enriched", "retention.ms", "-1"}, {"osquery.enriched", "segment.ms", "777"}, {"osquery.enriched", "max.message.bytes", "2000000"},
	} {
		if got := x.config(c[0], c[1]); got != c[2] {
			t.Errorf("%s: %s was %s and is %s", c[0], c[1], c[2], got)
		}
	}
}

// What could lose a record is refused, names the way out, and keeps everything else
// from being changed. On an empty topic the same is done.
func TestWhatLosesDataIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		topic  string
		has    map[string]string
		parts  int32
		change func(*topicplan.Settings)
		word   string
	}{
		"retention":        {"osquery.enriched", map[string]string{"retention.ms": "-1"}, 4, func(s *topicplan.Settings) { s.Retention = time.Hour }, "by hand"},
		"state by time":    {"g.state", map[string]string{"cleanup.policy": "delete"}, 4, nil, "by hand"},
		"side compacted":   {"g.side", map[string]string{"cleanup.policy": "compact"}, 4, nil, "by hand"},
		"input partitions": {"osquery.results", nil, 3, func(s *topicplan.Settings) { s.Partitions = 4 }, "enricher reshard"},
		"state partitions": {"g.state", map[string]string{"cleanup.policy": "compact"}, 3, nil, "enricher reshard"},
	} {
		t.Run(name, func(t *testing.T) {
			x, s := newSite(t, 1), settings()
			if c.topic != "osquery.results" {
				x.create("osquery.results", 4, nil)
			}
			x.create(c.topic, c.parts, c.has)
			if c.change != nil {
				c.change(&s)
			}
			x.applied(s) // it is empty
			y := newSite(t, 1)
			if c.topic != "osquery.results" {
				y.create("osquery.results", 4, nil)
			}
			y.create(c.topic, c.parts, c.has)
			y.fill(c.topic)
			refused := y.plan(s).Refused()
			if len(refused) != 1 || refused[0].Topic != c.topic || !strings.Contains(refused[0].String(), c.word) {
				t.Errorf("refused: %v, want one change of %s that says %q", refused, c.topic, c.word)
			}
			if err := y.apply(s); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("apply: %v", err)
			}
			if n := y.partitions("osquery.deadletter"); n != 0 {
				t.Error("a topic was created although a change is refused")
			}
		})
	}
}

func TestPartitionsAreNeverTakenAway(t *testing.T) {
	x, s := newSite(t, 1), settings()
	x.create("osquery.results", 6, nil)
	s.Partitions = 3
	if refused := x.plan(s).Refused(); len(refused) != 1 || !strings.Contains(refused[0].Refused, "delete this topic") {
		t.Errorf("refused: %v", refused)
	}
}

func TestAReplicaCountIsNotChangedHere(t *testing.T) {
	x, s := newSite(t, 3), settings()
	x.create("osquery.results", 6, nil)
	s.Replicas = 2
	if refused := x.plan(s).Refused(); len(refused) != 1 || !strings.Contains(refused[0].Refused, "kafka-reassign-partitions") {
		t.Errorf("refused: %v", refused)
	}
}

func TestRightsAreTheLeastAndReadByAShell(t *testing.T) {
	s := settings()
	s.Group = "it's"
	var lines []string
	for _, acl := range topicplan.ACLs(s) {
		lines = append(lines, topicplan.Shell(acl.Command("b:9092", "User:CN=e,O=x y")))
	}
	const start = `--bootstrap-server b:9092 --add --allow-principal 'User:CN=e,O=x y' --operation `
	want := []string{
		start + `Read --topic osquery.results`,
		start + `Write --topic osquery.enriched`,
		start + `Write --topic osquery.findings`,
		start + `Write --topic osquery.deadletter`,
		start + `Read --operation Write --topic g.state`,
		start + `Read --operation Write --topic g.side`,
		start + `Read --group 'it'\''s'`,
		start + `Write --resource-pattern-type prefixed --transactional-id 'it'\''s-'`,
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	s.Transactions = false
	if n := len(topicplan.ACLs(s)); n != len(want)-1 {
		t.Errorf("%d rights without transactions, want %d", n, len(want)-1)
	}
}

func TestAClusterThatIsNotThereIsAnError(t *testing.T) {
	client := kafkatest.Client(t, []string{"127.0.0.1:1"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := topicplan.Read(ctx, client, settings()); err == nil {
		t.Error("no error")
	}
}
