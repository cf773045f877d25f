package reputation

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// site is a server whose files a test changes.
type site struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string]string
	asked  []string
	status int
	cut    bool
}

func newSite(t *testing.T, files map[string]string) *site {
	s := &site{files: files}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.files[r.URL.Path]
	s.asked = append(s.asked, r.URL.Path)
	etag := fmt.Sprintf("\"%x\"", sha256.Sum256([]byte(text)))
	switch {
	case s.status != 0:
		w.WriteHeader(s.status)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case r.Header.Get("If-None-Match") == etag:
		w.WriteHeader(http.StatusNotModified)
	case s.cut:
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = w.Write([]byte(text[:len(text)/2]))
	default:
		w.Header().Set("ETag", etag)
		_, _ = w.Write([]byte(text))
	}
}

func (s *site) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// requests returns what was asked for since the last call.
func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *site) feed(path, preset string) Feed {
	f := NewFeed("remote", "")
	f.URL, f.Preset, f.Every = s.URL+path, preset, Lifetime(time.Second)
	f.AllowPrivate = true
	return f
}

// again loads a feed as if its next time had come.
func again(l *Loader, f Feed, x *Index) (*Index, FeedReport) {
	for _, t := range x.tables {
		t.next = time.Time{}
	}
	x, report := l.Load(context.Background(), []Feed{f}, x)
	return x, report.Feeds[0]
}

func gunzipBomb(t *testing.T) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	line := []byte(strings.Repeat("# a list\n", 1<<17))
	for range 10 {
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A download that is broken in any way keeps the last good list in use, and says
// why; the next good one is taken.
func TestBrokenDownloadsKeepTheLastGood(t *testing.T) {
	good := "1.2.3.4\n1.2.3.5\n1.2.3.6\nevil.org\n"
	s := newSite(t, map[string]string{"/list": good})
	l, f := &Loader{Dir: t.TempDir()}, s.feed("/list", "lines")
	x, first := again(l, f, &Index{})
	if first.Err != nil || first.Entries != 4 || first.Next.IsZero() {
		t.Fatalf("%+v", first)
	}
	for want, change := range map[string]func(){
		"unexpected EOF":           func() { s.cut = true },
		"shrank from 4 to 1":       func() { s.files["/list"] = "9.9.9.9\n" },
		"is an HTML page":          func() { s.files["/list"] = "<html>please log in</html>" },
		"is empty":                 func() { s.files["/list"] = "" },
		"503 Service Unavailable":  func() { s.status = http.StatusServiceUnavailable },
		"check the feed's headers": func() { s.status = http.StatusForbidden },
		"200 times its size":       func() { s.files["/list"] = gunzipBomb(t) },
		"says it has 9 entries":    func() { s.files["/list"] = good + "# END 9 entries\n" },
	} {
		s.set(func() { s.cut, s.status, s.files["/list"] = false, 0, good+"# x\n" })
		s.set(change)
		kept, r := again(l, f, x)
		if r.Err == nil || !strings.Contains(r.Err.Error(), want) || !r.Kept || r.Generation != first.Generation || len(askDomain(kept, "evil.org")) != 1 {
			t.Errorf("want %q: %+v", want, r)
		}
		if list := Statuses(context.Background(), l.Dir, []Feed{f}); !strings.Contains(list[0].Failure, want) || list[0].Entries != 4 {
			t.Errorf("the status of %q: %+v", want, list)
		}
		x = kept
	}
	s.set(func() { s.cut, s.status, s.files["/list"] = false, 0, good+"7.7.7.7\n" })
	x, r := again(l, f, x)
	if r.Err != nil || r.Entries != 5 || len(askAddress(x, "7.7.7.7", 0)) != 1 {
		t.Errorf("%+v", r)
	}
	if copies, _ := filepath.Glob(filepath.Join(l.Dir, "reputation", "remote", "copy-*")); len(copies) != 1 {
		t.Errorf("left behind: %v", copies)
	}
}

// What did not change is not sent again, nor asked for before its time, and a
// restart without a network still matches.
func TestUnchangedAndOffline(t *testing.T) {
	s := newSite(t, map[string]string{"/list": "1.2.3.4\n"})
	l, f := &Loader{Dir: t.TempDir()}, s.feed("/list", "lines")
	f.Every = Lifetime(time.Hour)
	x, _ := again(l, f, &Index{})
	x, report := l.Load(context.Background(), []Feed{f}, x)
	if !report.Feeds[0].Unchanged || len(s.requests()) != 1 {
		t.Errorf("asked before its time: %+v", report)
	}
	_, r := again(l, f, x)
	if r.Err != nil || !r.Unchanged || r.Entries != 1 || len(s.requests()) != 1 {
		t.Errorf("%+v", r)
	}
	s.Close()
	restarted, report := l.Load(context.Background(), []Feed{f}, nil)
	if report.Err() != nil || len(askAddress(restarted, "1.2.3.4", 0)) != 1 || len(restarted.Missing()) > 0 {
		t.Errorf("%+v", report)
	}
	beside := &Loader{Dir: l.Dir, ReadOnly: true}
	if x, report := beside.Load(context.Background(), []Feed{f}, nil); report.Err() != nil || x.Entries() != 1 {
		t.Errorf("%+v", report)
	}
	never := f
	never.Name = "never"
	x, report = l.Load(context.Background(), []Feed{never}, nil)
	if report.Err() == nil || !slices.Equal(x.Missing(), []string{"never"}) || strings.Contains(report.Err().Error(), "/list") {
		t.Errorf("%v %v", x.Missing(), report.Err())
	}
}

// A list of changes adds to what came before, the newer word on an indicator
// counts, and what is old is gone.
func TestChangesAddUp(t *testing.T) {
	s := newSite(t, map[string]string{"/list": "1.2.3.4\t3\n1.2.3.5\t1\n"})
	l, f := &Loader{Dir: t.TempDir()}, s.feed("/list", "lines")
	f.Complete = false
	x, _ := again(l, f, &Index{})
	s.set(func() { s.files["/list"] = "1.2.3.4\t9\nevil.org\n" })
	x, r := again(l, f, x)
	got := askAddress(x, "1.2.3.4", 0)
	if r.Err != nil || r.Entries != 3 || len(got) != 1 || got[0].Reports != 9 || len(askAddress(x, "1.2.3.5", 0)) != 1 {
		t.Errorf("%+v %+v", r, got)
	}
	f.Name, f.Lifetime = "short", Lifetime(time.Nanosecond)
	x, _ = again(l, f, &Index{})
	s.set(func() { s.files["/list"] = "8.8.8.8\n9.9.9.9\n" })
	if x, r = again(l, f, x); r.Err != nil || r.Entries != 2 || len(askAddress(x, "9.9.9.9", 0)) != 1 {
		t.Errorf("%+v", r)
	}
}

// Secrets go to the first host alone, and stay out of errors.
func TestHeadersStayWithTheirHost(t *testing.T) {
	var mu sync.Mutex
	leaked := ""
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		leaked = r.Header.Get("Auth-Key")
		_, _ = w.Write([]byte("1.2.3.4\n"))
	}))
	defer other.Close()
	key := ""
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		key = r.Header.Get("Auth-Key")
		mu.Unlock()
		http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+"/x", http.StatusFound)
	}))
	defer first.Close()
	f := NewFeed("remote", "")
	f.URL = first.URL + "/secret-in-path"
	l := &Loader{Header: func(string) (http.Header, error) { return http.Header{"Auth-Key": {"s3cret"}}, nil }}
	x, report := l.Load(context.Background(), []Feed{f}, nil)
	mu.Lock()
	defer mu.Unlock()
	if report.Err() != nil || x.Entries() != 1 || key != "s3cret" || leaked != "" {
		t.Errorf("%v, first got %q, other got %q", report.Err(), key, leaked)
	}
	l.Header = func(string) (http.Header, error) { return nil, errors.New("Auth-Key: no file") }
	if _, report = l.Load(context.Background(), []Feed{f}, nil); report.Err() == nil || !strings.Contains(report.Err().Error(), "headers: Auth-Key: no file") {
		t.Error(report.Err())
	}
}

const (
	uuidA = "0dbb179a-1c8c-4e7c-a264-2440414dbac8"
	uuidB = "1dbb179a-1c8c-4e7c-a264-2440414dbac8"
	uuidC = "2dbb179a-1c8c-4e7c-a264-2440414dbac8"
)

func mispEvent(name string) string {
	return `{"Event":{"uuid":"x","info":"i","Attribute":[{"uuid":"a","type":"domain","value":"` + name + `","to_ids":true}]}}`
}

// Only events that changed are fetched again; one that is not there is left out,
// one that vanished from the manifest is gone.
func TestMISPFeedIsIncremental(t *testing.T) {
	s := newSite(t, map[string]string{
		"/f/manifest.json":      `{"` + uuidA + `":{"timestamp":1},"` + uuidB + `":{"timestamp":"1"},"` + uuidC + `":{"timestamp":1}}`,
		"/f/" + uuidA + ".json": mispEvent("a.org"), "/f/" + uuidB + ".json": mispEvent("b.org"),
	})
	l, f := &Loader{Dir: t.TempDir()}, s.feed("/f/", "misp")
	x, r := again(l, f, &Index{})
	if r.Err != nil || r.Entries != 2 || len(s.requests()) != 4 {
		t.Fatalf("%+v", r)
	}
	s.set(func() {
		s.files["/f/manifest.json"] = `{"` + uuidB + `":{"timestamp":2},"` + uuidA + `":{"timestamp":1}}`
		s.files["/f/"+uuidB+".json"] = mispEvent("c.org")
	})
	x, r = again(l, f, x)
	if got := s.requests(); r.Err != nil || !slices.Equal(got, []string{"/f/manifest.json", "/f/" + uuidB + ".json"}) {
		t.Errorf("asked %v, %+v", got, r)
	}
	if len(askDomain(x, "a.org")) != 1 || len(askDomain(x, "b.org")) != 0 || len(askDomain(x, "c.org")) != 1 {
		t.Error("the events do not add up")
	}
	s.set(func() { s.files["/f/manifest.json"] = `{"` + uuidA + `":{"timestamp":1}}` })
	if x, r = again(l, f, x); r.Err != nil || len(askDomain(x, "c.org")) != 0 || len(askDomain(x, "a.org")) != 1 {
		t.Errorf("%+v", r)
	}
	s.set(func() { s.files["/f/manifest.json"] = `{"../../etc/passwd":{"timestamp":1}}` })
	if _, r = again(l, f, x); r.Err == nil || !r.Kept || !strings.Contains(r.Err.Error(), "is no event's uuid") {
		t.Errorf("%+v", r)
	}
}
