package reputation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestBadFiles: what is no list at all is refused in words, and is no data.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		write(t, path, text)
		return path
	}
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "none.txt"), "there is no file"},
		{t.TempDir(), "is an empty folder"},
		{file("empty", ""), "is empty"},
		{file("blank", "\xef\xbb\xbf \r\n\n"), "is empty"},
		{file("html", "<!DOCTYPE html><html><body>403</body></html>"), "is an HTML page, not a list"},
		{file("html2", "\n  <html>\n"), "is an HTML page, not a list"},
		{file("html.gz", zipped(t, "<html>")), "is an HTML page, not a list"},
		{file("json", `{"ip":"1.2.3.4"}`), "is JSON, not a list"},
		{file("binary", "1.2.3.4\n\x00\x01"), "is binary, not a list"},
		{file("zip", "PK\x03\x04 and so on"), "is a broken zip"},
		{file("broken.gz", "\x1f\x8b\x07 no gzip"), "is broken gzip"},
		{file("cut.gz", zipped(t, manyAddresses(3000))[:5000]), "cannot be read"},
		{file("cut.netset", "# Entries : 3 subnets, 3 unique IPs\n8.8.8.8\n8.8.4.4\n"), "says it has 3 entries and has 2"},
		{file("refused", strings.Repeat("8.8.8.8\n", 9)+"evil[.]org\n"), `has 1 of 10 rows that cannot be used, more than 5 %: 1 left out, defanged: write it as it is met: refused:10 "evil[.]org"`},
	} {
		x, report := Load(context.Background(), []Feed{NewFeed("feed", c.path)}, nil)
		err := report.Err()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "feed feed: ") {
			t.Errorf("%s: %v, want %q", filepath.Base(c.path), err, c.want)
		}
		if !slices.Equal(x.Missing(), []string{"feed"}) || x.Entries() != 0 {
			t.Errorf("%s: missing %v, %d entries", filepath.Base(c.path), x.Missing(), x.Entries())
		}
	}
}

func TestRefusedRowsAreTold(t *testing.T) {
	f := feedOf(t, "feed", strings.Repeat("8.8.8.8\n", 36)+"evil[.]org\nnothing\nnothing\n1[.]1.1.1\n")
	f.MaxRefused = 10
	x, report := load(t, f)
	r := report.Feeds[0]
	if r.Rows != 40 || r.Refused != 4 || r.Entries != 1 || x.Entries() != 1 {
		t.Errorf("%+v", r)
	}
	want := []string{
		`2 left out, ` + isDefanged + `: feed.txt:37 "evil[.]org" feed.txt:40 "1[.]1.1.1"`,
		`2 left out, ` + isNothing + `: feed.txt:38 "nothing" feed.txt:39 "nothing"`,
	}
	if got := r.Warnings(); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestOwnFixtures(t *testing.T) {
	own := NewFeed("own", filepath.Join("testdata", "own.txt"))
	own.AllowPrivate, own.Tags = true, []string{"internal"}
	feodo := NewFeed("feodo", filepath.Join("testdata", "feodo.csv"))
	feodo.Preset, feodo.AllowPrivate, feodo.Tags = "feodo", true, []string{"c2"}
	x, report := load(t, own, feodo)
	if report.Feeds[0].Entries != 7 || report.Feeds[1].Entries != 3 {
		t.Fatalf("%+v", report)
	}
	if got := told(askAddress(x, "198.51.100.23", 0)); !slices.Equal(got, []string{"198.51.100.23 ip_only", "198.51.100.23 ip_only"}) {
		t.Error(got)
	}
	got := askAddress(x, "203.0.113.77", 995)
	if len(got) != 2 || !slices.Equal(got[0].Tags, []string{"c2", `Qak"Bot, old`}) || got[0].Provenance != "feodo.csv:7" || got[1].Indicator != "203.0.113.0/24" {
		t.Errorf("%+v", got)
	}
	if len(feodo.Tags) != 1 {
		t.Error("a match changed the feed's tags")
	}
	if got := askDomain(x, "cdn.EVIL.example"); len(got) != 1 || got[0].How != howSubdomain || got[0].Indicator != "evil.example" || got[0].Type != "domain-name" {
		t.Errorf("%+v", got)
	}
	own.AllowPrivate = false
	if x, report := load(t, own); x.Entries() != 3 || report.Feeds[0].Private != 4 {
		t.Errorf("%+v", report)
	}
}

// TestLastGood: a feed that fails keeps what it had, and its generation.
func TestLastGood(t *testing.T) {
	ctx := context.Background()
	f, other := feedOf(t, "feed", "1.2.3.4\n1.2.3.5\nevil.org\n5.5.5.5\n"), feedOf(t, "other", "8.8.8.8\n")
	feeds := []Feed{f, other}
	first, report := load(t, feeds...)
	generation := report.Feeds[0].Generation
	for _, bad := range []string{"", "<html>", "1.2.3.4\n", "1[.]1.1.1\n9.9.9.9\n1.1.1.1\n2.2.2.2\n"} {
		write(t, f.Path, bad)
		x, report := Load(ctx, feeds, first)
		r := report.Feeds[0]
		if r.Err == nil || !r.Kept || r.Entries != 4 || r.Generation != generation || report.Feeds[1].Err != nil || !report.Feeds[1].Unchanged {
			t.Errorf("%q: %+v", bad, report)
		}
		if len(x.Missing()) > 0 || len(askAddress(x, "1.2.3.4", 0)) != 1 || len(askDomain(x, "evil.org")) != 1 || len(askAddress(x, "8.8.8.8", 0)) != 1 {
			t.Errorf("%q: the last good data are gone", bad)
		}
	}
	write(t, f.Path, "1.2.3.4\n1.2.3.5\n7.7.7.7\n")
	x, report := Load(ctx, feeds, first)
	if report.Err() != nil || askDomain(x, "evil.org") != nil || len(askAddress(x, "7.7.7.7", 0)) != 1 || report.Feeds[0].Generation == generation {
		t.Errorf("%+v", report)
	}
	if len(askDomain(first, "evil.org")) != 1 {
		t.Error("a load changed the index that was in use")
	}
}

func TestGenerationIsTheText(t *testing.T) {
	plain, packed := feedOf(t, "plain", "1.2.3.4\n"), feedOf(t, "packed", zipped(t, "1.2.3.4\n"))
	_, report := load(t, plain, packed)
	sum := sha256.Sum256([]byte("1.2.3.4\n"))
	if a, b := report.Feeds[0].Generation, report.Feeds[1].Generation; a != b || a != hex.EncodeToString(sum[:8]) {
		t.Errorf("%q and %q for one text", a, b)
	}
}

func TestNamesAreUnique(t *testing.T) {
	a := feedOf(t, "feed", "1.2.3.4\n")
	_, report := Load(context.Background(), []Feed{a, a}, nil)
	if report.Feeds[0].Err != nil || report.Feeds[1].Err == nil {
		t.Errorf("%+v", report)
	}
}

func TestCancelledLoadKeepsData(t *testing.T) {
	f := feedOf(t, "feed", "1.2.3.4\n")
	x, _ := load(t, f)
	write(t, f.Path, "5.5.5.5\n9.9.9.9\n")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	x, report := Load(ctx, []Feed{f}, x)
	if report.Err() == nil || len(askAddress(x, "1.2.3.4", 0)) != 1 {
		t.Errorf("%+v", report)
	}
}

func TestFeedCheck(t *testing.T) {
	if got := NewFeed("a", "b").Check(); got != nil {
		t.Error("the defaults:", got)
	}
	bad := Feed{Preset: "cvs", Type: "ips", TLP: "blue", Confidence: 101, MaxRefused: -1, MaxShrink: 101, Lifetime: -1}
	var keys []string
	for _, m := range bad.Check() {
		keys = append(keys, m.Key)
	}
	if want := []string{"name", "path", "preset", "type", "tlp", "lifetime", "confidence", "max_refused", "max_shrink"}; !slices.Equal(keys, want) {
		t.Error(keys)
	}
	var l Lifetime
	for text, want := range map[string]string{"30d": "30d", "36h": "36h0m0s", "0": "0d", "-1h": "", "3 weeks": "", "d": ""} {
		if err := l.UnmarshalText([]byte(text)); (err == nil) != (want != "") || err == nil && l.String() != want {
			t.Errorf("%q: %v %v", text, l, err)
		}
	}
}

// TestReload runs the watcher on files that change, beside readers of the index.
func TestReload(t *testing.T) {
	f := feedOf(t, "feed", "1.2.3.4\n")
	late := NewFeed("late", filepath.Join(t.TempDir(), "late.txt"))
	x, _ := Load(context.Background(), []Feed{f, late}, nil)
	if !slices.Equal(x.Missing(), []string{"late"}) {
		t.Fatal(x.Missing())
	}
	store := NewStore(x)
	loads := make(chan Report, 16)
	r := Reloader{Store: store, Feeds: []Feed{f, late}, Every: time.Millisecond, OnLoad: func(r Report) { loads <- r }}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		wait.Go(func() {
			for ctx.Err() == nil {
				askAddress(store.Current(), "1.2.3.4", 0)
			}
		})
	}
	<-loads // the feed without data is tried once more
	write(t, late.Path, "9.9.9.9\n")
	<-loads
	if len(askAddress(store.Current(), "9.9.9.9", 0)) != 1 || len(store.Current().Missing()) > 0 {
		t.Error("the new file is not in use")
	}
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	if report := <-loads; !report.Feeds[0].Kept || report.Feeds[0].Err == nil || !report.Feeds[1].Unchanged {
		t.Errorf("%+v", report)
	}
	cancel()
	wait.Wait()
	if len(askAddress(store.Current(), "1.2.3.4", 0)) != 1 {
		t.Error("a file that went away took its data along")
	}
	if store.Current() == x {
		t.Error("nothing was swapped")
	}
}
