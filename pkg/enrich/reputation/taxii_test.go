package reputation

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// taxiiServer is one collection of a TAXII 2.1 server: objects by when they were
// added, in pages of two; tokens are good once.
type taxiiServer struct {
	mu      sync.Mutex
	objects []string
	added   []string
	tokens  map[string]int
	expire  bool
	asked   []string
}

func (s *taxiiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.Query().Get("added_after")+"|"+r.URL.Query().Get("next"))
	if r.Header.Get("Accept") != "application/taxii+json;version=2.1" {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	switch r.URL.Path {
	case "/taxii2/":
		_, _ = w.Write([]byte(`{"title":"t","api_roots":["/root/"]}`))
	case "/root/collections/":
		_, _ = w.Write([]byte(`{"collections":[{"id":"w","title":"write only","can_read":false},{"id":"c1","title":"ours","can_read":true}]}`))
	case "/root/collections/c1/objects/":
		s.page(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *taxiiServer) page(w http.ResponseWriter, r *http.Request) {
	from := 0
	after := r.URL.Query().Get("added_after")
	for from < len(s.added) && s.added[from] <= after {
		from++
	}
	if next := r.URL.Query().Get("next"); next != "" {
		at, ok := s.tokens[next]
		delete(s.tokens, next)
		if !ok || s.expire {
			s.expire = false
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		from = at
	}
	to := min(from+2, len(s.objects))
	if from == to {
		_, _ = w.Write([]byte(`{}`))
		return
	}
	w.Header().Set("X-TAXII-Date-Added-Last", s.added[to-1])
	more := ""
	if to < len(s.objects) {
		token := fmt.Sprint("t", to)
		s.tokens[token] = to
		more = `"more":true,"next":"` + token + `",`
	}
	_, _ = w.Write([]byte(`{` + more + `"objects":[` + strings.Join(s.objects[from:to], ",") + `]}`))
}

func (s *taxiiServer) add(id, modified, name, more string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = append(s.objects, fmt.Sprintf(`{"type":"indicator","spec_version":"2.1","id":"indicator--%s","created":"2020-01-01T00:00:00Z","modified":%q,"pattern_type":"stix","pattern":"[domain-name:value = '%s']","valid_from":"2020-01-01T00:00:00Z"%s}`, id, modified, name, more))
	s.added = append(s.added, fmt.Sprintf("2026-01-01T00:00:%02d.000000Z", len(s.added)))
}

// All pages are read, an expired token starts over, only what was added later is
// asked for, over a restart too, and a revoked indicator is gone.
func TestTAXIIResumesOverRestarts(t *testing.T) {
	s := &taxiiServer{tokens: map[string]int{}, expire: true}
	for i := range 5 {
		s.add(fmt.Sprint(i), "2020-01-01T00:00:00Z", fmt.Sprintf("n%d.org", i), "")
	}
	server := httptest.NewServer(s)
	defer server.Close()
	l, f := &Loader{Dir: t.TempDir()}, NewFeed("taxii", "")
	f.Preset, f.URL, f.Collection, f.Every = "taxii", server.URL+"/taxii2/", "ours", Lifetime(time.Second)
	_, r := again(l, f, &Index{})
	if r.Err != nil || r.Entries != 5 {
		t.Fatalf("%+v", r)
	}
	s.add("0", "2021-01-01T00:00:00Z", "n0.org", `,"revoked":true`)
	s.add("9", "2021-01-01T00:00:00Z", "new.org", `,"valid_until":"2021-01-01T00:00:00Z"`)
	s.mu.Lock()
	s.asked = nil
	s.mu.Unlock()
	restarted := &Loader{Dir: l.Dir}
	x, report := restarted.Load(context.Background(), []Feed{f}, nil)
	if report.Err() != nil || x.Entries() != 5 {
		t.Fatalf("the copy: %+v", report)
	}
	x, r = again(restarted, f, x)
	s.mu.Lock()
	last := s.asked[len(s.asked)-1]
	s.mu.Unlock()
	if r.Err != nil || r.Entries != 5 || r.Skipped != 1 || last != "2026-01-01T00:00:04.000000Z|" {
		t.Errorf("%+v, asked for %q", r, last)
	}
	if len(askDomain(x, "n0.org")) != 0 || len(askDomain(x, "n1.org")) != 1 || len(askDomain(x, "new.org")) != 1 {
		t.Error("the versions do not add up")
	}
	at := time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := x.Domain(nil, []byte("new.org"), at); got != nil {
		t.Errorf("matched after valid_until: %+v", got)
	}
	if got := x.Domain(nil, []byte("new.org"), at.AddDate(-5, 0, 0)); len(got) != 1 || !got[0].BeforeValidFrom {
		t.Errorf("before valid_from: %+v", got)
	}
	if x, r = again(restarted, f, x); r.Err != nil || !r.Unchanged || x.Entries() != 5 {
		t.Errorf("%+v", r)
	}
}
