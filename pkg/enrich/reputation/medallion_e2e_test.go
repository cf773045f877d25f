//go:build e2e

package reputation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation/fetch"
)

const (
	medallionPatience   = 2 * time.Minute
	medallionCollection = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
	taxiiMedia          = "application/taxii+json;version=2.1"
)

// medallion is the reference TAXII server, with one empty collection and pages of
// two objects. It runs until stop, or the end of the test.
type medallion struct {
	t    *testing.T
	addr string
	stop func()
}

func newMedallion(t *testing.T) *medallion {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &medallion{t: t, addr: l.Addr().String()}
	_, port, _ := net.SplitHostPort(m.addr)
	l.Close()
	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("../../../scripts/medallion.sh", "run", m.configure(), port)
	cmd.Stdout, cmd.Stderr = out, out
	in, err := cmd.StdinPipe() // its end is the server's, and comes with the test's
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start medallion: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends is in its log
	}()
	m.stop = func() {
		in.Close()
		<-ended
		out.Close()
	}
	t.Cleanup(m.stop)
	m.await(ended, log)
	return m
}

// configure writes the server's configuration and data.
func (m *medallion) configure() string {
	m.t.Helper()
	dir, root := m.t.TempDir(), "http://"+m.addr+"/root/"
	data := filepath.Join(dir, "data.json")
	write(m.t, data, fmt.Sprintf(`{"/discovery": {"title": "test", "default": %q, "api_roots": [%q]},
		"root": {"information": {"title": "root", "versions": [%q], "max_content_length": 9765625}, "status": [],
		"collections": [{"id": %q, "title": "ours", "can_read": true, "can_write": true, "media_types": ["application/stix+json;version=2.1"], "objects": [], "manifest": []}]}}`,
		root, root, taxiiMedia, medallionCollection))
	config := filepath.Join(dir, "config.json")
	write(m.t, config, fmt.Sprintf(`{"backend": {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": %q},
		"users": {"reader": "secret"}, "taxii": {"max_page_size": 2}}`, data))
	return config
}

// await returns when the server answers.
func (m *medallion) await(ended <-chan struct{}, log string) {
	m.t.Helper()
	for deadline := time.Now().Add(medallionPatience); ; {
		if conn, err := net.Dial("tcp", m.addr); err == nil {
			conn.Close()
			return
		}
		select {
		case <-ended:
			deadline = time.Now()
		case <-time.After(50 * time.Millisecond):
		}
		if !time.Now().Before(deadline) {
			words, _ := os.ReadFile(log)
			m.t.Fatalf("medallion does not answer:\n%s", words)
		}
	}
}

// post adds objects to the collection.
func (m *medallion) post(objects ...string) {
	m.t.Helper()
	body := `{"objects": [` + strings.Join(objects, ",") + `]}`
	r, err := http.NewRequest(http.MethodPost, "http://"+m.addr+"/root/collections/"+medallionCollection+"/objects/", strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Accept", taxiiMedia)
	r.Header.Set("Content-Type", taxiiMedia)
	r.SetBasicAuth("reader", "secret")
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	var status struct {
		Status   string
		Failures int `json:"failure_count"`
	}
	if err := json.Unmarshal(text, &status); err != nil || status.Status != "complete" || status.Failures > 0 {
		m.t.Fatalf("medallion did not take the objects: %s", text)
	}
}

// indicatorOf is a STIX indicator of a name; more are members after a comma.
func indicatorOf(n int, modified, more string) string {
	return fmt.Sprintf(`{"type": "indicator", "spec_version": "2.1", "id": "indicator--%08d-0000-4000-8000-000000000000", "created": "2020-01-01T00:00:00.000Z",
		"modified": "%sT00:00:00.000Z", "pattern_type": "stix", "pattern": "[domain-name:value = 'n%d.org']", "valid_from": "2020-01-01T00:00:00Z"%s}`, n, modified, n, more)
}

// record notes what is asked for objects, and when the server says that the last
// of an answer was added.
type record struct {
	http.RoundTripper
	asked []url.Values
	added string
}

func (c *record) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.RoundTripper.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, "/objects/") {
		c.asked = append(c.asked, r.URL.Query())
		c.added = max(c.added, answer.Header.Get("X-TAXII-Date-Added-Last"))
	}
	return answer, err
}

// partner is a Loader of the collection after a start, with its record.
func partner(t *testing.T, dir, password string) (*Loader, *record) {
	client := fetch.NewClient()
	c := &record{RoundTripper: client.Transport}
	t.Cleanup(client.CloseIdleConnections)
	r, _ := http.NewRequest(http.MethodGet, "http://none", bytes.NewReader(nil))
	r.SetBasicAuth("reader", password)
	own := &http.Client{Transport: c, CheckRedirect: client.CheckRedirect}
	return &Loader{Dir: dir, Client: own, Header: func(string) (http.Header, error) { return r.Header, nil }}, c
}

// All pages of a real server are read; after a restart only what was added later
// is asked for; a revoked indicator is gone, and one past valid_until is met only
// by events from before. Without the server, and with a wrong password, the last
// good list stays.
func TestMedallionPagesResumesAndRevokes(t *testing.T) {
	m, dir := newMedallion(t), t.TempDir()
	f := NewFeed("partner", "")
	f.Preset, f.URL, f.Collection, f.Every = "taxii", "http://"+m.addr+"/taxii2/", "ours", Lifetime(time.Hour)
	for n := range 5 {
		m.post(indicatorOf(n, "2020-01-01", ""))
	}
	first, c := partner(t, dir, "secret")
	x, r := again(first, f, &Index{})
	if r.Err != nil || r.Entries != 5 || len(askDomain(x, "n4.org")) != 1 {
		t.Fatalf("%+v", r)
	}
	if len(c.asked) != 3 || c.asked[0].Get("added_after") != "" || c.asked[2].Get("next") == "" {
		t.Errorf("5 objects in pages of 2 were asked for as %v", c.asked)
	}

	m.post(indicatorOf(0, "2021-01-01", `, "revoked": true`), indicatorOf(1, "2021-01-01", `, "valid_until": "2022-01-01T00:00:00Z"`), indicatorOf(7, "2021-01-01", ""))
	second, after := partner(t, dir, "secret")
	x, report := second.Load(context.Background(), []Feed{f}, nil)
	if report.Err() != nil || x.Entries() != 5 || len(after.asked) != 0 {
		t.Fatalf("the copy is not used after a restart: %+v", report)
	}
	x, r = again(second, f, x)
	if r.Err != nil || r.Entries != 5 || r.Skipped != 1 {
		t.Errorf("%+v", r)
	}
	for i, q := range after.asked {
		if q.Get("added_after") != c.added {
			t.Errorf("request %d after the restart asks for what came after %q, not %q", i, q.Get("added_after"), c.added)
		}
	}
	if len(after.asked) != 2 { // three objects
		t.Errorf("asked for %v", after.asked)
	}
	m.versions(x)

	third, _ := partner(t, dir, "wrong")
	if x, r = again(third, f, x); r.Err == nil || !r.Kept || r.Entries != 5 || strings.Contains(r.Err.Error(), "wrong") {
		t.Errorf("a wrong password: %+v", r)
	}
	m.stop()
	if x, r = again(second, f, x); r.Err == nil || !r.Kept || r.Entries != 5 {
		t.Errorf("without the server: %+v", r)
	}
	m.versions(x)
}

// versions checks that the last versions of the objects count.
func (m *medallion) versions(x *Index) {
	m.t.Helper()
	before, since := time.Date(2021, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, want := range map[string][2]int{"n0.org": {0, 0}, "n1.org": {1, 0}, "n2.org": {1, 1}, "n7.org": {1, 1}} {
		got := [2]int{len(x.Domain(nil, []byte(name), before)), len(x.Domain(nil, []byte(name), since))}
		if got != want {
			m.t.Errorf("%s is met %v times before and after 2022, want %v", name, got, want)
		}
	}
}
