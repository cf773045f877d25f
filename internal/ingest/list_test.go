package ingest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A state file of something else is not overwritten.
func TestAStateFileThatIsNotOurs(t *testing.T) {
	for text, words := range map[string]string{
		`{"version":2,"folders":{}}`: "later version", "words": "not one of ours",
		`{"version":1,"bucket":"other","folders":{}}`: "each source has its own",
	} {
		path := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (&Ingest{}).List(t.Context(), Prefix{Bucket: "b", State: path}); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", text, err)
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != text {
			t.Errorf("it now says %s: %v", left, err)
		}
	}
}

func TestWhatItKnowsOfAState(t *testing.T) {
	p := Prefix{Bucket: "b", Prefix: "AWSLogs/", State: filepath.Join(t.TempDir(), "state.json")}
	done, err := p.load()
	if err != nil {
		t.Fatal(err)
	}
	done.Folders["AWSLogs/1/"] = "AWSLogs/1/k"
	if err := p.save(done); err != nil {
		t.Fatal(err)
	}
	again, err := p.load()
	if err != nil || again.Folders["AWSLogs/1/"] != "AWSLogs/1/k" {
		t.Errorf("%+v, %v", again, err)
	}
	if files, err := os.ReadDir(filepath.Dir(p.State)); err != nil || len(files) != 1 {
		t.Errorf("%d files are left: %v", len(files), err)
	}
}

func TestKeysAndFolders(t *testing.T) {
	for folder, want := range map[string]bool{
		"AWSLogs/111122223333/CloudTrail/eu-west-1/": true, "AWSLogs/o-1/111122223333/CloudTrail/eu-west-1/": true, "AWSLogs/111122223333/CloudTrail/": false,
		"AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/": false, "": false, "CloudTrail/eu-west-1": false,
	} {
		if regional(folder) != want {
			t.Errorf("%q: %v", folder, !want)
		}
	}
	for key, want := range map[string]bool{
		"AWSLogs/1/CloudTrail/eu-west-1/2026/11/23/a.json.gz": false, "AWSLogs/1/CloudTrail-Digest/eu-west-1/d.json.gz": true,
		"AWSLogs/1/CloudTrail-Insight/x": true, "AWSLogs/": true,
	} {
		if skipped(key) != want {
			t.Errorf("%q: %v", key, !want)
		}
	}
}
