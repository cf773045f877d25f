package stream_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/enricherconf"
	"github.com/stackjoin/stackjoin/internal/joins"
	"github.com/stackjoin/stackjoin/internal/kafkatest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// watcher is an enricher whose feed learns.
type watcher struct {
	t       *testing.T
	cluster *kfake.Cluster
	cfg     stream.KafkaConfig
	conf    *enricherconf.Config
	feed    reputation.Feed
	loader  reputation.Loader
	store   *reputation.Store
	told    time.Time
	rows    int
	stop    func()
}

func newWatcher(t *testing.T, set ...func(*watcher)) *watcher {
	t.Helper()
	c, cfg := cluster(t)
	cfg.StateDir = t.TempDir()
	conf, err := enricherconf.Load("")
	if err != nil {
		t.Fatal(err)
	}
	conf.Joins.Emit = "immediate" // nothing here waits for a name
	conf.Lenses = []enricherconf.Lens{{Name: "hello", Match: enricherconf.LensMatch{Query: "hellos"}, Kind: "tls", Fields: map[string]string{"ja3": "ja3"}, TimeUnit: "seconds"}}
	w := &watcher{t: t, cluster: c, cfg: cfg, conf: conf, feed: reputation.NewFeed("list", filepath.Join(t.TempDir(), "list.csv")), told: time.Now()}
	w.feed.Preset, w.feed.MaxShrink, w.feed.MaxRefused, w.feed.Confidence = "csv", 100, 100, 90
	w.feed.Fields = map[string]string{"value": "value", "valid_from": "valid_from", "type": "type"}
	w.loader = reputation.Loader{Dir: t.TempDir(), Keep: conf.Retro.Window.Std()}
	for _, set := range set {
		set(w)
	}
	w.says()
	w.start()
	return w
}

// says is a new list, beside a first indicator, which says that it is valid from now
// on. It takes the place of the old within a moment.
func (w *watcher) says(typesAndValues ...string) {
	w.t.Helper()
	text := "type,value,valid_from\nip,46.0.0.1,\n"
	for i := 0; i < len(typesAndValues); i += 2 {
		text += typesAndValues[i] + "," + typesAndValues[i+1] + "," + time.Now().UTC().Format(time.DateTime) + "\n"
	}
	if err := os.WriteFile(w.feed.Path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.told = w.told.Add(time.Minute)
	if err := os.Chtimes(w.feed.Path, w.told, w.told); err != nil {
		w.t.Fatal(err)
	}
	w.load()
}

func (w *watcher) load() {
	w.t.Helper()
	var prev *reputation.Index
	if w.store != nil {
		prev = w.store.Current()
	}
	x, report := w.loader.Load(w.t.Context(), []reputation.Feed{w.feed}, prev)
	if err := report.Err(); err != nil {
		w.t.Fatal(err)
	}
	if w.store == nil {
		w.store = reputation.NewStore(x)
	}
	w.store.Swap(x)
}

func (w *watcher) start() {
	w.t.Helper()
	builder := joins.NewBuilder(w.conf, w.store, nil)
	builder.LookBack(w.store)
	w.stop = running(w.t, w.cfg, 1, stream.Job{
		Build: func(p stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
			return builder.Build(fmt.Sprint(p.Topic, "/", p.ID), p.ID, state)
		},
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}

// restart is another process: it knows of the feed what the disk has.
func (w *watcher) restart(while ...func()) {
	w.t.Helper()
	w.stop()
	w.store = nil
	for _, do := range while {
		do()
	}
	if w.store == nil {
		w.load()
	}
	w.start()
}

const learnedLater = 10 * time.Minute

// row has a row come that is ten minutes old, and waits until it is taken.
func (w *watcher) row(table, columns string) {
	w.t.Helper()
	w.rows++
	at := time.Now().Add(-learnedLater).Unix()
	value := fmt.Sprintf(`{"name":%q,"hostIdentifier":"web","unixTime":%d,"action":"added","columns":{%s,"time":"%d"}}`, table, at, columns, at)
	send(w.t, w.cfg, []*kgo.Record{{Topic: in, Key: []byte("web"), Value: []byte(value)}})
	collect(w.t, w.cfg, out, w.rows)
}

// found are the findings by what met the list, once there are n ids of them, and a
// moment later. Each is to have come once.
func (w *watcher) found(n int) map[string]foundLater {
	w.t.Helper()
	collect(w.t, w.cfg, counts, n)
	time.Sleep(1500 * time.Millisecond) // what should not come would come now
	all := map[string]foundLater{}
	for _, r := range collect(w.t, w.cfg, counts, n) {
		schematest.Validate(w.t, finding.Schema, r.Value)
		var f foundLater
		if err := json.Unmarshal(r.Value, &f); err != nil {
			w.t.Fatal(err)
		}
		value := f.Threat.Enrichments[0].Matched.Atomic
		if _, again := all[value]; again || f.Event.Revision != 0 || f.Finding.Count != 1 {
			w.t.Errorf("%s came again: %s", value, r.Value)
		}
		all[value] = f
	}
	if len(all) != n {
		w.t.Errorf("%d findings, want %d", len(all), n)
	}
	return all
}

type foundLater struct {
	Message string
	Event   struct{ Revision int }
	Host    struct{ ID string }
	Finding struct {
		Count int
		Retro bool
	}
	Evidence []struct{ ID string }
	Process  struct{ Executable string }
	Threat   struct {
		Enrichments []struct {
			Matched struct{ Atomic string }
			Feed    struct {
				BeforeValidFrom bool      `json:"before_valid_from"`
				FirstSeenHere   time.Time `json:"first_seen_here"`
			}
		}
	}
}

// A feed learns of what was met ten minutes ago and says that it is valid from now on:
// there is one finding of each kind, over restarts too.
func TestWhatAFeedLearnsIsFoundInWhatHasPassed(t *testing.T) {
	t.Parallel()
	const ja3, sha256 = "6271f898ce5be7dd52b0fc260d0662b3", "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999"
	w := newWatcher(t)
	w.row("process_events", `"pid":"7","parent":"1","path":"/usr/bin/curl","cmdline":"curl x","uid":"0","syscall":"execve"`)
	w.row("socket_events", `"action":"connect","pid":"7","path":"/usr/bin/curl","remote_address":"45.0.0.9","remote_port":"443"`)
	w.row("socket_events", `"action":"connect","pid":"7","path":"/usr/bin/curl","remote_address":"47.1.2.3","remote_port":"443"`)
	w.row("dns_lookup_events", `"name":"c2.evil.example","pid":"7","path":"/usr/bin/curl","response":"45.9.9.9","status":"0","type":"A","type_id":"1"`)
	w.row("hellos", `"ja3":"`+ja3+`"`)
	w.row("file_events", `"target_path":"/tmp/x","action":"CREATED","category":"c","sha256":"`+sha256+`"`)
	w.row("socket_events", `"action":"connect","pid":"7","path":"/usr/bin/curl","remote_address":"48.0.0.9","remote_port":"443"`)

	w.says("ip", "45.0.0.9")
	f := w.found(1)["45.0.0.9"]
	if !f.Finding.Retro || len(f.Evidence) != 1 || !strings.HasPrefix(f.Evidence[0].ID, in+"/") || f.Process.Executable != "/usr/bin/curl" ||
		!strings.Contains(f.Message, "It was found afterwards") {
		t.Errorf("%+v", f)
	}
	if m := f.Threat.Enrichments[0].Feed; !m.BeforeValidFrom || time.Since(m.FirstSeenHere) > time.Minute {
		t.Errorf("%+v", m)
	}
	w.restart()
	w.found(1)
	w.says("ip", "45.0.0.9", "ip", "47.1.0.0/20", "domain", "evil.example", "ja3", ja3, "hash", sha256)
	all := w.found(5)
	for _, value := range []string{"47.1.2.3", "c2.evil.example", ja3, sha256} {
		if !all[value].Finding.Retro {
			t.Errorf("%s: %+v", value, all[value])
		}
	}
	// While nothing runs; and what comes live is no finding of what has passed.
	w.restart(func() {
		w.says("ip", "45.0.0.9", "ip", "47.1.0.0/20", "domain", "evil.example", "ja3", ja3, "hash", sha256, "ip", "48.0.0.9", "ip", "49.0.0.9")
	})
	w.row("socket_events", `"action":"connect","pid":"7","path":"/usr/bin/curl","remote_address":"49.0.0.9","remote_port":"443"`)
	all = w.found(7)
	if !all["48.0.0.9"].Finding.Retro || all["49.0.0.9"].Finding.Retro {
		t.Errorf("%+v and live %+v", all["48.0.0.9"], all["49.0.0.9"])
	}
	w.restart()
	w.found(7)
}

// Patterns of paths, and values of columns that only one feed names, are found in what
// has passed as all else is.
func TestPatternsAndValuesAreFoundInWhatHasPassed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typ             string
		set             func(*reputation.Feed)
		indicators      []string
		table, columns  string
		matched, passes string
	}{
		"anchored": {
			"path", nil, []string{"/opt/.cache/*.so"}, "process_events", `"pid":"7","parent":"1","path":"/opt/.cache/x.so","cmdline":"x","uid":"0","syscall":"execve"`,
			"/opt/.cache/x.so", `"pid":"8","parent":"1","path":"/opt/cache/x.so","cmdline":"x","uid":"0","syscall":"execve"`,
		},
		"last part": {
			"path", nil, []string{"mimi*.exe"}, "file_events", `"target_path":"C:\\Temp\\MimiKatz.exe","action":"CREATED","category":"c"`,
			`C:\Temp\MimiKatz.exe`, `"target_path":"C:\\Temp\\other.exe","action":"CREATED","category":"c"`,
		},
		"value": {
			"value", func(f *reputation.Feed) {
				f.Type, f.Columns = "value", []string{"identifier"}
				delete(f.Fields, "type")
			}, []string{"aapbdbdomjkkjkaonfhkkikfgjllcleb"}, "chrome_extensions",
			`"identifier":"aapbdbdomjkkjkaonfhkkikfgjllcleb","name":"x","uid":"1"`, "aapbdbdomjkkjkaonfhkkikfgjllcleb", `"identifier":"gighmmpiobklfepjocnamgkkbiglidom","name":"y","uid":"1"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatcher(t, func(w *watcher) {
				if c.set != nil {
					c.set(&w.feed)
				}
			})
			w.row(c.table, c.columns)
			w.row(c.table, c.passes)
			w.says(c.typ, c.indicators[0])
			if f := w.found(1)[c.matched]; !f.Finding.Retro || len(f.Evidence) != 1 {
				t.Errorf("%+v", f)
			}
			w.restart()
			w.found(1)
		})
	}
}

// An input that forgets before the window is over is told at start.
func TestShortRetentionIsTold(t *testing.T) {
	t.Parallel()
	c, cfg := cluster(t)
	kafkatest.CreateTopic(t, c.ListenAddrs(), "short", 1, map[string]string{"retention.ms": "3600000", "retention.bytes": "1000000"})
	kafkatest.CreateTopic(t, c.ListenAddrs(), "long", 1, map[string]string{"retention.ms": "-1"})
	cfg.Inputs = []string{"short", "long"}
	all := strings.Join(stream.CheckRetention(t.Context(), cfg, 24*time.Hour), "\n")
	if strings.Count(all, "\n") != 1 || !strings.Contains(all, "topic short keeps records for 1h0m0s, retro.window is 24h0m0s") || !strings.Contains(all, "topic short keeps at most 1000000 bytes") {
		t.Error(all)
	}
	if again := stream.CheckRetention(t.Context(), cfg, time.Hour); len(again) != 1 {
		t.Error(again)
	}
}

// Transactions fail, members leave and come, and the feed learns meanwhile: in the end
// each host's finding counts each of its events once.
func TestWhatIsLearnedIsFoundOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	const hosts, addresses, rounds = 6, 5, 4
	w := newWatcher(t)
	refused := sabotage(w.cluster)
	at := time.Now().Add(-learnedLater).Unix()
	for n := range rounds {
		var records []*kgo.Record
		for h := range hosts {
			for a := range addresses {
				host := fmt.Sprint("host-", h)
				records = append(records, &kgo.Record{Topic: in, Key: []byte(host), Value: fmt.Appendf(nil,
					`{"name":"socket_events","hostIdentifier":%q,"unixTime":%d,"action":"added","columns":{"action":"connect","pid":"7","path":"/usr/bin/curl","remote_address":"45.0.0.%d","remote_port":"443","time":"%d"}}`,
					host, at, a+1, at)})
			}
		}
		send(t, w.cfg, records)
		w.rows += len(records)
		collect(t, w.cfg, out, w.rows)
		var learned []string
		for a := range n + 1 {
			learned = append(learned, "ip", fmt.Sprint("45.0.0.", a+1))
		}
		if n == 1 {
			w.restart(func() { w.says(learned...) })
		} else {
			w.says(learned...)
		}
		if n == 2 { // another owner, while the first may be reading
			stop := w.stop
			w.start()
			stop()
		}
	}
	type key struct {
		host, value string
	}
	last := map[key]foundLater{}
	for clock := range 40 { // the hosts' clocks move, so that all is told
		time.Sleep(time.Second)
		var records []*kgo.Record
		for h := range hosts {
			host := fmt.Sprint("host-", h)
			records = append(records, &kgo.Record{Topic: in, Key: []byte(host), Value: fmt.Appendf(nil,
				`{"name":"process_events","hostIdentifier":%q,"unixTime":%d,"action":"added","columns":{"pid":"7","path":"/bin/ls"}}`,
				host, time.Now().Unix()+61*int64(clock))})
		}
		send(t, w.cfg, records)
		clear(last)
		total := 0
		for _, r := range collect(t, w.cfg, counts, 0) {
			var f foundLater
			if err := json.Unmarshal(r.Value, &f); err != nil {
				t.Fatal(err)
			}
			k := key{f.Host.ID, f.Threat.Enrichments[0].Matched.Atomic}
			if f.Event.Revision != 0 && last[k].Event.Revision != f.Event.Revision-1 {
				t.Errorf("%v: revision %d came after %d", k, f.Event.Revision, last[k].Event.Revision)
			}
			last[k] = f
		}
		for _, f := range last {
			total += f.Finding.Count
		}
		if len(last) == hosts*rounds && total >= hosts*rounds*rounds {
			break
		}
	}
	for k, f := range last {
		if f.Finding.Count != rounds {
			t.Errorf("%v counts %d events of %d", k, f.Finding.Count, rounds)
		}
	}
	if len(last) != hosts*rounds || refused.Load() == 0 {
		t.Errorf("%d findings, %d refusals", len(last), refused.Load())
	}
}

// What did not come keyed by its host is read again from the side topic, where this
// partition read it.
func TestWhatCameByTheSideTopicIsFoundToo(t *testing.T) {
	t.Parallel()
	w := newWatcher(t, func(w *watcher) {
		const side = "side"
		kafkatest.CreateTopic(t, w.cluster.ListenAddrs(), side, partitions, nil)
		w.cfg.Inputs, w.cfg.Side = append(w.cfg.Inputs, side), side
		w.conf.Inputs.Rekey = []string{"foreign"}
	})
	at := time.Now().Add(-learnedLater)
	record := &enrich.Side{
		Host: "web", Kind: enrich.SideRow, Time: at, Position: enrich.Position{Topic: "foreign", Offset: 7000}, Appended: at,
		Value: fmt.Appendf(nil, `{"name":"socket_events","hostIdentifier":"web","unixTime":%d,"action":"added","columns":{"action":"connect","pid":"7","path":"/usr/bin/curl","remote_address":"45.0.0.9","remote_port":"443","time":"%d"}}`,
			at.Unix(), at.Unix()),
	}
	value, err := record.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	send(t, w.cfg, []*kgo.Record{{Topic: w.cfg.Side, Key: []byte("web"), Value: value}})
	collect(t, w.cfg, out, 1)
	w.says("ip", "45.0.0.9")
	if f := w.found(1)["45.0.0.9"]; !f.Finding.Retro || len(f.Evidence) != 1 || !strings.HasPrefix(f.Evidence[0].ID, "foreign/") {
		t.Errorf("%+v", f)
	}
}
