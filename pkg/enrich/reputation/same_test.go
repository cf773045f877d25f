package reputation

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What says the same as before is not read into a table again, however its files were
// written: the data in use stay, and what is kept of them on disk.
func TestWhatSaysTheSameIsNotBuiltAgain(t *testing.T) {
	ctx, l := context.Background(), &Loader{Dir: t.TempDir(), Keep: time.Hour}
	dir := filepath.Join(t.TempDir(), "lists")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"plain": filepath.Join(t.TempDir(), "list"), "folder": filepath.Join(dir, "one")} {
		write(t, path, "1.2.3.4\n1.2.3.5\n")
		f := NewFeed(name, path)
		if name == "folder" {
			f = NewFeed(name, dir)
			write(t, filepath.Join(dir, "two"), "evil.org\n")
		}
		stamp := func(at time.Time) {
			t.Helper()
			list, err := localDocuments(f.Path)
			for i := 0; err == nil && i < len(list); i++ {
				err = os.Chtimes(list[i].path, at, at)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		stamp(time.Now())
		x, report := l.Load(ctx, []Feed{f}, nil)
		if err := report.Err(); err != nil || !x.tables[0].racy {
			t.Fatalf("%s: %v, %+v", name, err, x.tables[0].stamp)
		}
		same := func(what string, wantRacy bool) {
			t.Helper()
			next, report := l.Load(ctx, []Feed{f}, x)
			r := report.Feeds[0]
			if r.Err != nil || !r.Unchanged || r.Generation != x.tables[0].generation || &next.tables[0].idents[0] != &x.tables[0].idents[0] {
				t.Errorf("%s, %s: %+v", name, what, r)
			}
			if now := next.tables[0]; now.racy != wantRacy || !wantRacy && !now.current(f.Resolved()) {
				t.Errorf("%s, %s: it will be looked at again", name, what)
			}
			x = next
		}
		same("just written", true)
		stamp(time.Now().Add(-time.Minute))
		same("touched", false)

		write(t, path, "<html>")
		if _, report := l.Load(ctx, []Feed{f}, x); report.Feeds[0].Err == nil {
			t.Errorf("%s: %+v", name, report)
		}
		write(t, path, "1.2.3.4\n1.2.3.5\n")
		same("as before a failure", false)
		if note, ok := folderOf(l.Dir, name).Read(); !ok || note.Failure != "" || note.Entries != x.Entries() || note.Rows != x.Entries() {
			t.Errorf("%s: noted %+v", name, note)
		}
		write(t, path, "1.2.3.4\n1.2.3.6\n")
		if _, report := l.Load(ctx, []Feed{f}, x); report.Feeds[0].Unchanged {
			t.Errorf("%s: %+v", name, report)
		}
		f.Tags = []string{"other"}
		if _, report := l.Load(ctx, []Feed{f}, x); report.Feeds[0].Unchanged {
			t.Errorf("%s: other settings: %+v", name, report)
		}
	}
}

// The same of a download whose server does not say that it is the same.
func TestADownloadThatSaysTheSameIsNotBuiltAgain(t *testing.T) {
	s := newSite(t, map[string]string{"/list": "1.2.3.4\n1.2.3.5\n"})
	l, f := &Loader{Dir: t.TempDir(), Keep: time.Hour}, s.feed("/list", "lines")
	x, report := l.Load(context.Background(), []Feed{f}, nil)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	folder := folderOf(l.Dir, f.Name)
	note, _ := folder.Read()
	first := note
	note.ETag = `"of another"`
	if err := folder.Write(note); err != nil {
		t.Fatal(err)
	}
	next, r := again(l, f, x)
	if r.Err != nil || !r.Unchanged || &next.tables[0].idents[0] != &x.tables[0].idents[0] || len(s.requests()) != 2 {
		t.Errorf("%+v", r)
	}
	note, _ = folder.Read()
	if note.ETag != first.ETag || note.Rows != first.Rows || note.Entries != 2 || !note.Next.After(time.Now().Add(-time.Second)) || next.tables[0].next != note.Next {
		t.Errorf("noted %+v", note)
	}
	if x, report := l.Load(context.Background(), []Feed{f}, nil); report.Err() != nil || x.Entries() != 2 { // the copy is whole
		t.Errorf("%+v", report)
	}
	s.set(func() { s.files["/list"] = "1.2.3.4\n1.2.3.7\n" })
	if next, r := again(l, f, next); r.Err != nil || r.Unchanged || len(askAddress(next, "1.2.3.7", 0)) != 1 {
		t.Errorf("%+v", r)
	}
}
