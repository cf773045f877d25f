package file_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/file"
)

func record(topic, value string) sink.Record {
	return sink.Record{Topic: topic, Value: []byte(value)}
}

// lines is what lies in the files of a topic, in the order in which they were begun.
func lines(t *testing.T, dir, topic string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, topic+"-*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return strings.Split(strings.TrimSuffix(string(all), "\n"), "\n")
}

func TestWhatIsWrittenIsThereInOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	for i, start := range []string{"first", "second"} { // a process that comes again
		s, err := file.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		batch := []sink.Record{record("a/b", start+" 1"), record("c", "{\n}"), record("a/b", start+" 2")}
		if err := s.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if got := lines(t, dir, "a_b"); len(got) != 2*(i+1) || got[2*i] != start+" 1" || got[2*i+1] != start+" 2" {
			t.Errorf("%q", got)
		}
		if got := lines(t, dir, "c"); got[i] != "{ }" {
			t.Errorf("%q", got)
		}
		for range 2 {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := s.Write(t.Context(), batch); err == nil {
			t.Error("a closed sink takes records")
		}
	}
}

// Several shards share one folder: no line is torn by another.
func TestWritersDoNotTearEachOthersLines(t *testing.T) {
	dir := t.TempDir()
	s, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(t.Context()) }()
	const writers, writes = 8, 20
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			value := string(bytes.Repeat([]byte{byte('a' + w)}, 5_000))
			for range writes {
				if err := s.Write(t.Context(), []sink.Record{record("t", value)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got := lines(t, dir, "t")
	if len(got) != writers*writes {
		t.Errorf("%d lines", len(got))
	}
	for _, line := range got {
		if len(line) != 5_000 || strings.Trim(line, line[:1]) != "" {
			t.Fatalf("torn: %.80s", line)
		}
	}
}

func TestAFolderThatCannotBeWrittenToIsTold(t *testing.T) {
	dir := t.TempDir()
	s, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), []sink.Record{record("t", "x")}); err == nil || sink.IsPermanent(err) {
		t.Errorf("%v, want one that may pass", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), []sink.Record{record("t", "y")}); err != nil {
		t.Error(err)
	}
	if got := lines(t, dir, "t"); len(got) != 1 || got[0] != "y" {
		t.Errorf("%q", got)
	}
}
