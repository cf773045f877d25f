//go:build osqueryd && linux

package osqueryd

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// record is what is looked at of a row.
type record struct {
	Name    string `json:"name"`
	Action  string `json:"action"`
	Counter int    `json:"counter"`
	Columns struct {
		TargetPath string `json:"target_path"`
	} `json:"columns"`
}

// records reads the results topic, each name once; two rows under one name are an
// error.
func (h *host) records() []record {
	h.t.Helper()
	var list []record
	seen := map[string]string{}
	for _, r := range kafkatest.Read(h.t, h.broker.Addrs(), "osquery.results") {
		name := nameOf(r)
		if before, ok := seen[name]; ok {
			if before != string(r.Value) {
				h.fatal("%s names\n%s\nand\n%s", name, before, r.Value)
			}
			continue
		}
		seen[name] = string(r.Value)
		var one record
		if err := json.Unmarshal(r.Value, &one); err != nil {
			h.fatal("row %s: %v", r.Value, err)
		}
		list = append(list, one)
	}
	return list
}

func nameOf(r *kgo.Record) string {
	var parts []string
	for _, header := range r.Headers {
		switch header.Key {
		case "agent", "run", "seq", "row":
			parts = append(parts, header.Key+"="+string(header.Value))
		}
	}
	return strings.Join(parts, " ")
}

// lastRun is the highest counter of the query clock on the topic, -1 without one.
func (h *host) lastRun() int {
	last := -1
	for _, r := range h.records() {
		if r.Name == "clock" {
			last = max(last, r.Counter)
		}
	}
	return last
}

// moreRuns waits until further runs of the query clock have arrived.
func (h *host) moreRuns() {
	h.t.Helper()
	before := h.lastRun()
	h.until("more rows", func() bool {
		h.keepUp()
		return h.lastRun() >= before+3
	})
}

// seesFiles makes files and waits for a row of the event table for each.
func (h *host) seesFiles() {
	h.t.Helper()
	missing := map[string]bool{}
	h.until("rows of the event table", func() bool {
		h.keepUp()
		// The watch begins some time after osqueryd does, so files are made until
		// one of them is seen.
		path := h.path("watched/" + strconv.Itoa(len(missing)))
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			h.fatal("make a file: %v", err)
		}
		missing[path] = true
		for _, r := range h.records() {
			if r.Name == "files" && missing[r.Columns.TargetPath] {
				return true
			}
		}
		return false
	})
}

// nothingIsMissing looks for runs of the query clock that are not on the topic.
// osqueryd counts the runs that it logs, and keeps the count in its database, so
// one that was answered OK and is missing leaves a hole. A run that was under way
// when osqueryd ended, or refused, may be missing too.
func (h *host) nothingIsMissing() {
	h.t.Helper()
	arrived := map[string]bool{}
	last := 0
	for _, r := range h.records() {
		if r.Name == "clock" {
			arrived[r.Action+strconv.Itoa(r.Counter)] = true
			last = max(last, r.Counter)
		}
	}
	var holes []int
	for counter := 1; counter < last; counter++ { // of the last run a part may still be spooled
		if !arrived["added"+strconv.Itoa(counter)] || !arrived["removed"+strconv.Itoa(counter)] {
			holes = append(holes, counter)
		}
	}
	if len(holes) > h.unlogged {
		h.fatal("runs %v of %d are missing; %d can have been under way when osqueryd ended", holes, last, h.unlogged)
	}
	h.t.Logf("%d runs, %d missing, %d ends of osqueryd in the middle of things", last, len(holes), h.unlogged)
}

func TestUnderARealOsqueryd(t *testing.T) {
	if _, err := exec.LookPath("osqueryd"); err != nil {
		t.Skip("no osqueryd on the PATH")
	}
	h := newHost(t)
	h.start()
	h.moreRuns()
	h.seesFiles()
	h.until("a snapshot", func() bool {
		h.keepUp()
		for _, r := range h.records() {
			if r.Name == "uptime" && r.Action == "snapshot" {
				return true
			}
		}
		return false
	})
	for range 3 {
		h.killExtension()
		h.moreRuns()
	}
	for range 2 {
		h.killOsqueryd()
		h.start()
		h.moreRuns()
	}
	h.stop()
	h.start()
	h.moreRuns()
	h.stop()
	h.nothingIsMissing()
}
