package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/testdata"
)

// Both opinions on a fingerprint are told, and what each list is for.
func TestLookupTellsEveryListsWord(t *testing.T) {
	dir := testdata.Dir(t)
	config := write(t, "enricher.yaml", "feeds:\n  - {name: apps, path: "+filepath.Join(dir, "feeds/osx-nix-ja3.csv")+
		", preset: csv, type: ja3, role: label, header: [md5, app], fields: {value: md5, name: app}}\n")
	stdout, stderr, code := command(t, "", "lookup", "--config", config, "--feed", "sslbl_ja3="+filepath.Join(dir, "feeds/ja3_fingerprints.csv"),
		"f6fd83a21f9f3c5f9ff7b5c63bbc179d", "10.0.0.1")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, words := range []string{
		"as ja3 f6fd83a21f9f3c5f9ff7b5c63bbc179d: 2 hits", "ja3_fingerprints (block) lists", "threat      Adware", "apps (label) lists", "threat      Alation Compose",
		"labels      apps: Alation Compose", "as ip 10.0.0.1: not listed", "private or reserved", "ja3_fingerprints.csv:50",
	} {
		if !strings.Contains(stdout, words) {
			t.Errorf("does not say %q:\n%s", words, stdout)
		}
	}
}

// A cleared match is told with what cleared it; JSON says the same.
func TestLookupTellsWhatClearedAMatch(t *testing.T) {
	bad, good := write(t, "bad.txt", "evil.example.org\nexample.org\n"), write(t, "good.txt", "example.org\n")
	config := write(t, "enricher.yaml", "feeds:\n  - {name: bad, path: "+bad+", tlp: amber}\n  - {name: good, path: "+good+", role: suppress}\n  - {name: gone, path: /no/such/feed}\n")
	stdout, stderr, code := command(t, "", "lookup", "--config", config, "--json", "evil.example.org", "example.org", "\x1b[2J")
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if code != 0 || len(lines) != 3 || !strings.Contains(stderr, "feed gone: ") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	var got [3]lookupJSON
	for i, line := range lines {
		if err := json.Unmarshal([]byte(line), &got[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !got[0].Listed || got[1].Listed || got[2].Listed || len(got[2].Answers) != 0 || got[0].Missing[0] != "gone" {
		t.Errorf("%s", stdout)
	}
	if m := got[1].Answers[0].Matches; len(m) != 2 || m[0].SuppressedBy != "good: example.org" || m[0].TLP != "amber" || m[1].Role != "suppress" {
		t.Errorf("%+v", m)
	}
	stdout, _, code = command(t, "", "lookup", "--feed", bad, "\x1b[2J", "nothing")
	if code != 0 || strings.Contains(stdout, "\x1b") || !strings.Contains(stdout, "is nothing that feeds list") {
		t.Errorf("%q", stdout)
	}
	for want, args := range map[string][]string{
		"there are no feeds to ask": {"lookup", "x"}, "requires at least 1 arg": {"lookup", "--feed", bad}, "no.such": {"lookup", "--feed", "no.such", "x"},
	} {
		if _, stderr, code := command(t, "", args...); code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit %d, %s", args, code, stderr)
		}
	}
}

// Headers reach the server from the environment and from a file, and show up
// nowhere; feeds tells of a copy that the enricher kept, and of a feed that never
// came.
func TestFeedsTellsAgeSizeAndFailure(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Auth-Key") != "s3cret-1" || r.Header.Get("X-Other") != "s3cret-2" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte("1.2.3.4\nevil[.]org\n"))
	}))
	defer server.Close()
	t.Setenv("FEED_KEY", "s3cret-1")
	state := t.TempDir()
	config := write(t, "enricher.yaml", "state: {dir: "+state+"}\nfeeds:\n"+
		"  - {name: ours, url: "+server.URL+"/key-in-path/list, max_refused: 50, headers: {Auth-Key: \"${FEED_KEY}\"}, header_files: {X-Other: "+write(t, "key", "s3cret-2\n")+"}}\n"+
		"  - {preset: openphish, url: \"http://127.0.0.1:1/feed.txt\"}\n  - {name: local, path: "+write(t, "mine.txt", "evil.org\n")+", role: suppress}\n")
	stdout, stderr, code := command(t, "", "lookup", "--config", config, "1.2.3.4")
	if code != 0 || !strings.Contains(stdout, "ours (block) lists 1.2.3.4") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	if stdout, _, _ := command(t, "", "feeds", "--config", config); !strings.Contains(stdout, "never loaded") {
		t.Errorf("lookup left something in the state:\n%s", stdout)
	}
	keep(t, config)
	stdout, stderr, code = command(t, "", "feeds", "--config", config)
	lines := strings.Split(stdout, "\n")
	if code != 0 || len(lines) != 5 || !strings.Contains(lines[0], "GENERATION") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	for i, words := range [][]string{{"ours", "block", "1", "in ", "ok"}, {"openphish", "never loaded"}, {"local", "suppress", "on change", "ok"}} {
		for _, w := range words {
			if !strings.Contains(lines[i+1], w) {
				t.Errorf("%q does not say %q", lines[i+1], w)
			}
		}
	}
	if all := stdout + stderr; strings.Contains(all, "s3cret") || strings.Contains(all, "key-in-path") {
		t.Errorf("a secret is told:\n%s", all)
	}
	stdout, _, _ = command(t, "", "feeds", "--config", config, "--json")
	var status struct {
		Name, Generation    string
		Indicators, Refused int
		Next                time.Time
	}
	if err := json.Unmarshal([]byte(strings.Split(stdout, "\n")[0]), &status); err != nil || status.Indicators != 1 || status.Refused != 1 || status.Next.IsZero() || len(status.Generation) != 16 {
		t.Errorf("%+v %v", status, err)
	}
}
