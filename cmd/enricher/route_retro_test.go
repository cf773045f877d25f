package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// learning is a site whose feed learns.
type learning struct {
	*site
	list string
	told time.Time
}

func newLearning(t *testing.T) *learning {
	t.Helper()
	l := &learning{site: newSite(t), list: filepath.Join(t.TempDir(), "list.txt"), told: time.Now().Add(-time.Hour)}
	text, err := os.ReadFile(l.config)
	if err != nil {
		t.Fatal(err)
	}
	l.config = write(t, "enricher.yaml", string(text)+"state: {dir: "+t.TempDir()+"}\nfeeds: [{name: list, path: "+l.list+", confidence: 90, max_shrink: 100}]\n")
	l.says()
	return l
}

// says has the list name addresses.
func (l *learning) says(all ...string) {
	l.told = l.told.Add(time.Minute)
	says(l.t, l.list, l.told, all...)
}

// says has a list name addresses, beside one that nothing meets.
func says(t *testing.T, list string, at time.Time, all ...string) {
	t.Helper()
	if err := os.WriteFile(list, []byte("46.0.0.1\n"+strings.Join(all, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(list, at, at); err != nil {
		t.Fatal(err)
	}
}

// afterwards is what the test reads of a finding.
type afterwards struct {
	Message string
	Event   struct{ ID string }
	Finding struct {
		Count  int
		Retro  bool
		Status string
	}
	Host     struct{ ID string }
	Evidence []struct{ ID, Topic string }
	Threat   struct {
		Enrichments []struct{ Matched struct{ Atomic string } }
	}
}

// findings are those of addresses, by their ids, as they were told last.
func (l *learning) findings() map[string]afterwards {
	l.t.Helper()
	all := map[string]afterwards{}
	for _, r := range l.records("osquery.findings") {
		schematest.Validate(l.t, finding.Schema, r.Value)
		var f afterwards
		if err := json.Unmarshal(r.Value, &f); err != nil {
			l.t.Fatal(err)
		}
		if len(f.Threat.Enrichments) > 0 {
			if _, again := all[f.Event.ID]; again {
				l.t.Errorf("told again: %s", r.Value)
			}
			all[f.Event.ID] = f
		}
	}
	return all
}

// wants waits for n findings, and a moment longer for one too many.
func (l *learning) wants(n int) map[string]afterwards {
	l.t.Helper()
	all := map[string]afterwards{}
	l.await("osquery.findings", func([]linked) bool { return len(l.findings()) >= n })
	for _, f := range l.findings() {
		key := f.Host.ID + " " + f.Threat.Enrichments[0].Matched.Atomic
		if _, twice := all[key]; twice || f.Finding.Count != 1 {
			l.t.Errorf("%s: %+v", key, f)
		}
		all[key] = f
	}
	if len(all) != n {
		l.t.Errorf("%d findings, want %d: %+v", len(all), n, all)
	}
	return all
}

// seen sends what a sensor saw between two ends, and a call from an address.
func (l *learning) seen(from, to string) {
	l.t.Helper()
	l.send("sensor", from+to, fmt.Sprintf(`{"_path":"conn","ts":%d.5,"uid":"C-%s-%s","id.orig_h":%q,"id.orig_p":4000,"id.resp_h":%q,"id.resp_p":443,"proto":"tcp","conn_state":"SF"}`,
		hour, from, to, from, to))
}

func (l *learning) called(id, from string) {
	l.t.Helper()
	l.send("cloudtrail", id, strings.Replace(fmt.Sprintf(apiCall, id), "10.0.0.1", from, 1))
}

// What met no host's rows is found afterwards too, once, over restarts and whoever has
// the partition then: what a sensor saw of ends that are no host's, and API calls. What
// was seen of a host's end is found there.
func TestWhatHasNoHostIsFoundAfterwards(t *testing.T) {
	l := newLearning(t)
	stop := l.enricher()
	l.send("osquery.results", "web", row("web", "interface_addresses", 0, `"interface":"eth0","address":"10.9.0.1","mask":"255.0.0.0"`))
	l.await("g.facts", func(all []linked) bool { return len(all) > 0 })
	<-time.After(time.Second) // until the fact is read
	l.seen("10.7.0.1", "45.0.0.9")
	l.seen("10.9.0.1", "45.0.0.9")
	l.called("one", "45.0.0.7")
	l.called("one", "45.0.0.7")
	l.called("two", "45.0.0.8")
	l.await("osquery.enriched", func(all []linked) bool { return len(all) == 3 }) // the link waits for its process
	l.await("g.side", func(all []linked) bool { return len(all) == 1 })
	l.await("cloudtrail.enriched", func(all []linked) bool { return len(all) == 2 })
	l.says("45.0.0.9", "45.0.0.7")
	all := l.wants(3)
	sensor, host, call := all[" 45.0.0.9"], all["web 45.0.0.9"], all[" 45.0.0.7"]
	if !sensor.Finding.Retro || !strings.HasPrefix(sensor.Message, "A machine at 10.7.0.1 ") || sensor.Evidence[0].Topic != "sensor" {
		t.Errorf("%+v", sensor)
	}
	if !host.Finding.Retro || host.Evidence[0].Topic != "sensor" {
		t.Errorf("%+v", host)
	}
	if !call.Finding.Retro || call.Evidence[0].Topic != "cloudtrail" || call.Evidence[0].ID != "one/111122223333" ||
		!strings.Contains(call.Message, "assumed-role/web/i-0123456789abcdef0 called s3:ListBuckets in account 111122223333 from 45.0.0.7, which list lists. It was found afterwards") {
		t.Errorf("%+v", call)
	}
	stop()
	l.says("45.0.0.9", "45.0.0.7", "45.0.0.8", "45.0.0.6") // while nothing runs
	stop = l.enricher()
	if all = l.wants(4); !all[" 45.0.0.8"].Finding.Retro {
		t.Errorf("%+v", all)
	}
	l.called("three", "45.0.0.6") // and what is listed by then is found at once
	if all = l.wants(5); all[" 45.0.0.6"].Finding.Retro || all[" 45.0.0.6"].Finding.Count != 1 {
		t.Errorf("%+v", all)
	}
	l.enricher() // another shares the partitions
	stop()
	l.wants(5)
}
