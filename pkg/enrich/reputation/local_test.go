package reputation

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file feed survives a restart at which its file is broken, and its shrink limit
// knows how large it was.
func TestLocalCopySurvivesARestart(t *testing.T) {
	l, f := &Loader{Dir: t.TempDir()}, feedOf(t, "feed", "1.2.3.4\n1.2.3.5\n1.2.3.6\n")
	if _, report := l.Load(context.Background(), []Feed{f}, nil); report.Err() != nil {
		t.Fatal(report.Err())
	}
	for _, text := range []string{"<html>", "9.9.9.9\n"} {
		write(t, f.Path, text)
		x, report := l.Load(context.Background(), []Feed{f}, nil)
		if r := report.Feeds[0]; r.Err == nil || !r.Kept || len(askAddress(x, "1.2.3.5", 0)) != 1 {
			t.Errorf("%q: %+v", text, r)
		}
	}
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	if x, report := l.Load(context.Background(), []Feed{f}, nil); report.Feeds[0].Err == nil || x.Entries() != 3 {
		t.Errorf("%+v", report)
	}
}

// A folder and a pattern are one feed; a zip is what is in it.
func TestFoldersPatternsAndZips(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.txt"), "1.2.3.4\n")
	write(t, filepath.Join(dir, "b.txt"), "# x\nevil.org\n")
	write(t, filepath.Join(dir, ".hidden"), "<html>")
	packed := filepath.Join(t.TempDir(), "full.zip")
	write(t, packed, zipOf(t, map[string]string{"full.csv": "evil.org\n1.2.3.4\n"}))
	many := filepath.Join(t.TempDir(), "many.zip")
	write(t, many, zipOf(t, map[string]string{"a.txt": "1.2.3.4\n", "d/b.txt": "#\nevil.org\n"}))
	for path, from := range map[string]string{dir: "b.txt:2", filepath.Join(dir, "*.txt"): "b.txt:2", packed: "full.zip:1", many: "d/b.txt:2"} {
		x, _ := load(t, NewFeed("feed", path))
		got := askDomain(x, "evil.org")
		if x.Entries() != 2 || len(got) != 1 || got[0].Provenance != from {
			t.Errorf("%s: %d entries, %+v", path, x.Entries(), got)
		}
	}
	bomb := filepath.Join(t.TempDir(), "bomb.zip")
	write(t, bomb, zipOf(t, map[string]string{"a.txt": strings.Repeat("# a list\n", 1<<20)}))
	if _, report := Load(context.Background(), []Feed{NewFeed("feed", bomb)}, nil); report.Err() == nil || !strings.Contains(report.Err().Error(), "200 times its size") {
		t.Error(report.Err())
	}
	small := NewFeed("feed", packed)
	small.MaxMiB = 1
	write(t, packed, zipOf(t, map[string]string{"a.txt": "1.2.3.4\n" + strings.Repeat("# a list\n", 1<<18)}))
	if _, report := Load(context.Background(), []Feed{small}, nil); report.Err() == nil || !strings.Contains(report.Err().Error(), "is over 1 MiB") {
		t.Error(report.Err())
	}
}
