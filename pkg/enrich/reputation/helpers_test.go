package reputation

import (
	"archive/zip"
	"bytes"
	"context"
	"hash/maphash"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// feedOf writes text to a file of its own and returns a feed of it, private
// addresses allowed, since test data use the ranges set aside for documents.
func feedOf(t testing.TB, name, text string) Feed {
	t.Helper()
	f := NewFeed(name, filepath.Join(t.TempDir(), name+".txt"))
	f.AllowPrivate = true
	write(t, f.Path, text)
	return f
}

// write replaces a file in one step, as who publishes feeds should, and makes it
// look old, so that its stamp counts.
func write(t testing.TB, path, text string) {
	t.Helper()
	fresh, old := path+".new", time.Now().Add(-time.Hour)
	if err := os.WriteFile(fresh, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(fresh, old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
}

// load loads feeds and wants all of them good.
func load(t testing.TB, feeds ...Feed) (*Index, Report) {
	t.Helper()
	x, report := Load(context.Background(), feeds, nil)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return x, report
}

func askAddress(x *Index, text string, port uint16) []enrich.Threat {
	return x.Address(nil, netip.MustParseAddr(text), port, time.Time{})
}

func askDomain(x *Index, text string) []enrich.Threat {
	return x.Domain(nil, []byte(text), time.Time{})
}

// told are the matches as "indicator how".
func told(threats []enrich.Threat) []string {
	var all []string
	for _, t := range threats {
		all = append(all, t.Indicator+" "+t.How)
	}
	return all
}

// zipOf packs files.
func zipOf(t testing.TB, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func someSeed() maphash.Seed { return maphash.MakeSeed() }
