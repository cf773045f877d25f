package stream_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/pkg/event"
)

func job() stream.Job {
	return stream.Job{
		Build: func(stream.Partition, func(string) enrich.State) (*enrich.Pipeline, error) {
			return enrich.NewPipeline(event.NewLenses(), nil, nil), nil
		},
		Log: slog.New(slog.DiscardHandler),
	}
}

func row(host string, n int) string {
	return fmt.Sprintf(`{"name":"q","hostIdentifier":%q,"unixTime":%d,"columns":{"n":"%d"},"action":"added"}`, host, 1700000000+n, n)
}

// scan runs names through a pipeline and returns what came out.
func scan(t *testing.T, stdin string, names ...string) (lines []string, dead []enrich.Output, err error) {
	t.Helper()
	var out bytes.Buffer
	session := stream.NewFileSession(names, strings.NewReader(stdin), &out, func(o enrich.Output) { dead = append(dead, o) })
	err = stream.Run(context.Background(), session, job())
	text := strings.TrimSuffix(out.String(), "\n")
	if text != "" {
		lines = strings.Split(text, "\n")
	}
	return lines, dead, err
}

func TestFileSessionReadsPlainGzipAndStdinInOrder(t *testing.T) {
	dir := t.TempDir()
	plain, packed := filepath.Join(dir, "plain.log"), filepath.Join(dir, "packed.log.gz")
	if err := os.WriteFile(plain, []byte(row("a", 0)+"\r\n\n"+row("a", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprintln(w, row("a", 2))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(packed, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, dead, err := scan(t, row("a", 3)+"\nno json\n"+row("a", 4)+"\n", plain, packed, "-")
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 5 {
		t.Fatalf("%d lines came out, want 5: %q", len(lines), lines)
	}
	for i, line := range lines {
		if want := strings.TrimSuffix(row("a", i), "}"); !strings.HasPrefix(line, want) {
			t.Errorf("line %d is %s, want it to begin with %s", i, line, want)
		}
	}
	if len(dead) != 1 || dead[0].ID != "-:2" {
		t.Errorf("dead letters %+v, want one for -:2", dead)
	}
	if !strings.Contains(lines[1], `"line":3`) {
		t.Errorf("the second row's evidence is not line 3 of its file: %s", lines[1])
	}
}

func TestFileSessionTakesLinesLongerThanItsBuffers(t *testing.T) {
	long := strings.Replace(row("a", 0), `"n":"0"`, `"n":"`+strings.Repeat("x", 6<<20)+`"`, 1)
	lines, _, err := scan(t, long+"\n"+row("a", 1), "-")
	if err != nil || len(lines) != 2 || len(lines[0]) < 6<<20 {
		t.Fatalf("%d lines, error %v", len(lines), err)
	}
}

// Bad input: a file that is not there, and one that ends too early. What was
// read before it is written, and the error is not forgotten.
func TestFileSessionTellsWhichFileFailed(t *testing.T) {
	for name, content := range map[string][]byte{"missing.log": nil, "torn.gz": {0x1f, 0x8b, 8, 0}} {
		path := filepath.Join(t.TempDir(), name)
		if content != nil {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		lines, _, err := scan(t, row("a", 0), "-", path)
		if len(lines) != 1 {
			t.Errorf("%s: %d lines came out, want the one before it", name, len(lines))
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v does not name the file", name, err)
		}
	}
}
