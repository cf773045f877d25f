package fetch

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A collection of many small pages becomes one document, with the last version of
// each object.
func TestManyPagesBecomeOne(t *testing.T) {
	const pages = mergeAt + 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("next"))
		w.Header().Set("X-TAXII-Date-Added-Last", fmt.Sprintf("2026-01-01T00:00:00.%06dZ", n))
		fmt.Fprintf(w, `{"more":%v,"next":"%d","objects":[{"id":"x--%d","modified":"2026-01-01T00:00:%02dZ"}]}`, n+1 < pages, n+1, n%10, n/10)
	}))
	defer server.Close()
	folder := Folder{Dir: t.TempDir()}
	path, err := folder.New()
	if err != nil {
		t.Fatal(err)
	}
	client := NewClient()
	defer client.CloseIdleConnections()
	s := Source{URL: server.URL + "/root/collections/c/", Form: TAXII, MaxBytes: 1 << 20, Timeout: time.Minute}
	note, changed, err := Fetch(context.Background(), client, s, folder, Note{}, path)
	if err != nil || !changed || len(note.Documents) != 1 || note.AddedAfter != fmt.Sprintf("2026-01-01T00:00:00.%06dZ", pages-1) {
		t.Fatalf("%+v %v %v", note, changed, err)
	}
	text, err := os.ReadFile(filepath.Join(path, note.Documents[0].File))
	if err != nil || strings.Count(string(text), `"id"`) != 10 || strings.Count(string(text), fmt.Sprintf("00:%02dZ", (pages-1)/10)) != 10 {
		t.Errorf("%v %s", err, text)
	}
}

// What a crash left behind is swept by the next copy, and a note that is not there
// or broken is none.
func TestCopiesAreSweptAndNotesOptional(t *testing.T) {
	folder := Folder{Dir: filepath.Join(t.TempDir(), "feed")}
	if _, ok := folder.Read(); ok {
		t.Error("a note out of nothing")
	}
	left, err := folder.New()
	if err != nil {
		t.Fatal(err)
	}
	path, err := folder.New()
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(from, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Import(path, 0, "../list\x00 a", from)
	if err != nil || strings.ContainsAny(d.File, "/\x00 ") {
		t.Fatal(d, err)
	}
	if err := folder.Keep(path, Note{Source: "s", Documents: []Document{d}}); err != nil {
		t.Fatal(err)
	}
	note, ok := folder.Read()
	text, err := os.ReadFile(folder.Path(note, note.Documents[0]))
	if _, gone := os.Stat(left); !ok || err != nil || string(text) != "x" || gone == nil {
		t.Errorf("%+v %v %v %v", note, ok, err, gone)
	}
	if err := os.WriteFile(filepath.Join(folder.Dir, noteFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := folder.Read(); ok {
		t.Error("a broken note was taken")
	}
}

// Redirects go nowhere less safe.
func TestRedirectsStaySafe(t *testing.T) {
	at := func(address string) *http.Request {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Auth-Key", "x")
		r.Header.Set("Accept", "y")
		return r
	}
	first := at("https://a.example/x")
	if checkRedirect(at("http://a.example/y"), []*http.Request{first}) == nil {
		t.Error("https became http")
	}
	same, other := at("https://a.example/y"), at("https://b.example/y")
	if err := checkRedirect(same, []*http.Request{first}); err != nil || same.Header.Get("Auth-Key") == "" {
		t.Error(err)
	}
	if err := checkRedirect(other, []*http.Request{first}); err != nil || other.Header.Get("Auth-Key") != "" || other.Header.Get("Accept") == "" {
		t.Error(err, other.Header)
	}
}

// FuzzManifest: a manifest that is read names nothing but uuids.
func FuzzManifest(f *testing.F) {
	for _, s := range []string{
		`{"0dbb179a-1c8c-4e7c-a264-2440414dbac8":{"timestamp":"1"}}`, `{"../x":{"timestamp":1}}`, `{}`, `[`,
		`{"0DBB179A-1C8C-4E7C-A264-2440414DBAC8":{"timestamp":1e300},"0dbb179a-1c8c-4e7c-a264-2440414dbac8":{"timestamp":-1.5}}`,
		`{"0dbb179a-1c8c-4e7c-a264-2440414dbac8":{"timestamp":null,"Orgc":{"name":"o"},"Tag":[{"name":"tlp:white"}],"info":"i","date":"2026-01-02","analysis":"2"}}`,
		`{"0dbb179a-1c8c-4e7c-a264-2440414dbac8":{"timestamp":"99999999999999999999"},"":{}}`, `{"------------------------------------":{}}`,
		`{"0dbb179a-1c8c-4e7c-a264-2440414dba/8":{}}`, `{"0dbb179a-1c8c-4e7c-a264-2440414dbac8":[]}`, "\ufeff{}", `null`, `{}{}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "manifest.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		events, err := readManifest(file)
		if err != nil {
			return
		}
		for id := range events {
			if !isUUID(id) || strings.ContainsAny(id, "/.\\") {
				t.Fatalf("%q", id)
			}
		}
	})
}
