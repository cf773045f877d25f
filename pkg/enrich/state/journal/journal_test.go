package journal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
	"github.com/stackjoin/stackjoin/pkg/enrich/state/journal"
)

// table is a state as the journal sees it.
type table map[string]string

func (m table) apply(changes []state.Change) error {
	for _, c := range changes {
		if c.Value == nil {
			delete(m, string(c.Key))
		} else {
			m[string(c.Key)] = string(c.Value)
		}
	}
	return nil
}

func (m table) all(visit func(key, value []byte) error) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if err := visit([]byte(key), []byte(m[key])); err != nil {
			return err
		}
	}
	return nil
}

// memory keeps objects, and refuses to overwrite one.
type memory map[string][]byte

func (m memory) Put(_ context.Context, name string, data []byte) error {
	if m[name] != nil {
		return fmt.Errorf("%s is there", name)
	}
	m[name] = data
	return nil
}

func (m memory) Get(_ context.Context, name string) ([]byte, error) {
	if m[name] == nil {
		return nil, journal.ErrMissing
	}
	return m[name], nil
}

func (m memory) Delete(_ context.Context, names []string) error {
	for _, name := range names {
		delete(m, name)
	}
	return nil
}

// Whatever is written, dropped for want of a commit, or taken over: who loads the last
// committed entry has the state and the output of just that, and nothing is kept that
// it does not need.
func TestWhatIsCommittedIsLoaded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		objects, ctx := memory{}, t.Context()
		j, model, name := journal.New(objects, "s/shard-1"), table{}, ""
		var told []enrich.Output
		orphans := 0
		for range rapid.IntRange(1, 150).Draw(rt, "steps") {
			changes := drawChanges(rt)
			out := []enrich.Output{{Stream: enrich.Findings, Key: []byte("k"), Value: fmt.Appendf(nil, "%d", rapid.Int().Draw(rt, "value")), ID: "i", Kind: "k", Schema: "s"}}[:rapid.IntRange(0, 1).Draw(rt, "outputs")]
			next, err := j.Append(ctx, changes, out, model.all)
			if err != nil {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(rt, "lost") == 0 {
				orphans++ // it was never noted
				continue
			}
			name, told = next, out
			if err := errors.Join(model.apply(changes), j.Committed(ctx)); err != nil {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(rt, "moved") == 0 {
				j = journal.New(objects, "s/shard-1")
				check(rt, ctx, j, name, model, told)
			}
		}
		if name == "" {
			return
		}
		check(rt, ctx, journal.New(objects, "s/shard-1"), name, model, told)
		if err := journal.Remove(ctx, objects, name); err != nil {
			rt.Fatal(err)
		}
		if len(objects) > orphans {
			rt.Fatalf("%d objects are left, %d were never noted", len(objects), orphans)
		}
	})
}

func check(rt *rapid.T, ctx context.Context, j *journal.Journal, name string, want table, told []enrich.Output) {
	got := table{}
	out, err := j.Load(ctx, name, got.apply)
	if err != nil {
		rt.Fatal(err)
	}
	if !maps.Equal(got, want) {
		rt.Fatalf("state %v, want %v", got, want)
	}
	if fmt.Sprint(out) != fmt.Sprint(told) {
		rt.Fatalf("to tell %v, want %v", out, told)
	}
}

func drawChanges(rt *rapid.T) (changes []state.Change) {
	keys := rapid.SliceOfNDistinct(rapid.IntRange(0, 20), 0, 5, rapid.ID[int]).Draw(rt, "keys")
	for _, key := range keys {
		c := state.Change{Key: fmt.Appendf(nil, "key-%d", key)}
		if rapid.Bool().Draw(rt, "put") {
			c.Value = []byte(strings.Repeat("v", rapid.IntRange(1, 5).Draw(rt, "size")))
		}
		changes = append(changes, c)
	}
	return changes
}

// A state that is not there, or not what was written, is never taken for an empty one.
func TestADamagedOrMissingStateIsTold(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	objects := journal.Folder(dir)
	j := journal.New(objects, "s/1")
	var names []string
	for i := range 3 {
		name, err := j.Append(ctx, []state.Change{{Key: []byte("k"), Value: fmt.Appendf(nil, "%d", i)}}, nil, table{}.all)
		if err := errors.Join(err, j.Committed(ctx)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	load := func() error {
		_, err := journal.New(objects, "s/1").Load(ctx, names[2], table{}.apply)
		return err
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	for _, victim := range names {
		path := filepath.Join(dir, filepath.FromSlash(victim))
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(whole); at += 5 {
			damaged := slices.Clone(whole)
			damaged[at] ^= 0x40
			must(t, os.WriteFile(path, damaged, 0o600))
			if err := load(); !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), victim) {
				t.Fatalf("byte %d of %s: %v", at, victim, err)
			}
		}
		must(t, os.WriteFile(path, whole[:len(whole)/2], 0o600))
		if err := load(); !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("half of %s: %v", victim, err)
		}
		must(t, os.Remove(path))
		if err := load(); !errors.Is(err, journal.ErrMissing) {
			t.Errorf("without %s: %v", victim, err)
		}
		must(t, os.WriteFile(path, whole, 0o600))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// All of the state is written again before the entries after it are more than it, so
// that a take-over reads at most twice its size, and what came before is removed.
func TestOldEntriesGo(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	j, model := journal.New(journal.Folder(dir), "s/1"), table{}
	most := 0
	for i := range 450 {
		changes := []state.Change{{Key: fmt.Appendf(nil, "%d", i%7), Value: fmt.Appendf(nil, "%d", i)}}
		_, err := j.Append(ctx, changes, nil, model.all)
		must(t, errors.Join(err, model.apply(changes), j.Committed(ctx)))
		files, err := os.ReadDir(filepath.Join(dir, "s", "1"))
		must(t, err)
		most = max(most, len(files))
	}
	if most > 101 {
		t.Errorf("%d objects at once", most)
	}
}
