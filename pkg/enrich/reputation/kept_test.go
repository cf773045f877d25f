package reputation_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

func TestAMatchsLineIsFoundInTheCopyOfItsGenerationOnly(t *testing.T) {
	dir := t.TempDir()
	f := reputation.Feed{Name: "mine", Path: filepath.Join(dir, "mine.txt")}
	if err := os.WriteFile(f.Path, []byte("# mine\n45.0.0.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(dir, "state")
	_, report := (&reputation.Loader{Dir: kept}).Load(context.Background(), []reputation.Feed{f}, nil)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	generation := report.Feeds[0].Generation
	path, line, err := reputation.KeptLine(kept, f, generation, "mine.txt:2")
	if text, _ := os.ReadFile(path); err != nil || line != 2 || !strings.Contains(string(text), "45.0.0.9") {
		t.Errorf("line %d of %s, %v, which has %q", line, path, err, text)
	}
	for words, ask := range map[string][3]string{
		"of another generation": {kept, "0123456789abcdef", "mine.txt:2"},
		"is kept in state.dir":  {filepath.Join(dir, "empty"), generation, "mine.txt:2"},
		"state.dir is not set":  {"", generation, "mine.txt:2"},
		"names no line":         {kept, generation, "mine.txt"},
	} {
		if path, _, err := reputation.KeptLine(ask[0], f, ask[1], ask[2]); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %q, error %v", words, path, err)
		}
	}
}
