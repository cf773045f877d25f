package state

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// changelog is a topic's partition: what was committed, in order.
type changelog []Change

func (c *changelog) append(changes []Change) {
	for _, change := range changes {
		*c = append(*c, Change{bytes.Clone(change.Key), bytes.Clone(change.Value)})
	}
}

// restore brings a store up to date, in small batches, every other time in bulk.
func (c changelog) restore(t require, s *Store) {
	if len(c)%2 == 1 {
		c.bulk(t, s, len(c))
		return
	}
	for at := int(s.Position()); at < len(c); {
		end := min(at+7, len(c))
		if err := s.Restore(c[at:end], int64(end)); err != nil {
			t.Fatal(err)
		}
		at = end
	}
}

// bulk brings a store nearer to date, in files of a few records.
func (c changelog) bulk(t require, s *Store, until int) {
	b := s.Bulk()
	b.most, b.few = 2<<10, 300
	for at := int(s.Position()); at < until; {
		end := min(at+7, until)
		if err := b.Add(c[at:end], int64(end)); err != nil {
			t.Fatal(err)
		}
		at = end
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// require is what a test and a check of rapid share.
type require interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

var (
	of    = Changelog{Topic: "g.state", ID: [16]byte{1}, Partition: 3}
	start = time.Unix(1_760_000_000, 0)
)

func opened(t require, dir string) *Store {
	t.Helper()
	s, _, err := Open(Config{Dir: dir, Of: of})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openedOn(t require, fs vfs.FS) *Store {
	t.Helper()
	s, _, err := open(Config{Of: of}, formats{Format, Format}, &files{dir: "state", fs: fs, now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// commit does what a session does with a confirmed transaction.
func (c *changelog) commit(t require, s *Store) {
	t.Helper()
	c.append(s.Changes())
	if err := s.Committed(int64(len(*c))); err != nil {
		t.Fatal(err)
	}
}

// model is what a state must hold: operator, host, key.
type model map[string]map[enrich.Host]map[string]string

func (m model) clone() model {
	out := model{}
	for op, hosts := range m {
		out[op] = map[enrich.Host]map[string]string{}
		for host, keys := range hosts {
			out[op][host] = maps.Clone(keys)
		}
	}
	return out
}

func (m model) put(op string, host enrich.Host, key, value string) {
	if m[op] == nil {
		m[op] = map[enrich.Host]map[string]string{}
	}
	if m[op][host] == nil {
		m[op][host] = map[string]string{}
	}
	m[op][host][key] = value
}

func (m model) delete(op string, host enrich.Host, key string) {
	delete(m[op][host], key)
	if len(m[op][host]) == 0 {
		delete(m[op], host)
	}
}

// equal holds a store to the model: every read of the State seam.
func (m model) equal(t require, s *Store, operators []string) {
	t.Helper()
	for _, op := range operators {
		st := s.State(op)
		var hosts []enrich.Host
		if err := st.Hosts(func(h enrich.Host) error { hosts = append(hosts, h); return nil }); err != nil {
			t.Fatal(err)
		}
		if want := slices.Sorted(maps.Keys(m[op])); !slices.Equal(hosts, want) {
			t.Fatalf("%s: hosts %q, want %q", op, hosts, want)
		}
		for host, keys := range m[op] {
			for _, prefix := range []string{"", "a", "a\x00", "\xff"} {
				got := scanned(t, st, host, prefix)
				var want []string
				for _, key := range slices.Sorted(maps.Keys(keys)) {
					if bytes.HasPrefix([]byte(key), []byte(prefix)) {
						want = append(want, key+"="+keys[key])
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s: %q: scan of %q gave %q, want %q", op, host, prefix, got, want)
				}
			}
			for key, want := range keys {
				if got, err := st.Get(host, []byte(key)); err != nil || string(got) != want {
					t.Fatalf("%s: %q: %q is %q (%v), want %q", op, host, key, got, err, want)
				}
			}
		}
	}
}

func scanned(t require, st enrich.State, host enrich.Host, prefix string) (got []string) {
	t.Helper()
	err := st.Scan(host, []byte(prefix), func(key, value []byte) error {
		got = append(got, string(key)+"="+string(value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Whatever is put, deleted, committed, aborted, closed, killed and restored, a
// State reads as a plain map would; a new process with nothing but the changelog
// reads the same.
func TestStateEqualsItsModel(t *testing.T) {
	operators := []string{"process", "dns", "p"}
	hosts := []enrich.Host{"", "h", "h\x00", "h\x00\x01", "hh", "\xff"}
	keys := []string{"", "a", "a\x00", "a\x00b", "ab", "\xff", "\xff\xff"}
	rapid.Check(t, func(t *rapid.T) {
		disk := vfs.NewCrashableMem()
		s := openedOn(t, disk)
		defer func() { s.Close() }()
		var log changelog
		committed, now := model{}, model{}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				op, host, key := rapid.SampledFrom(operators).Draw(t, "op"), rapid.SampledFrom(hosts).Draw(t, "host"), rapid.SampledFrom(keys).Draw(t, "key")
				value := rapid.StringN(1, 5, -1).Draw(t, "value")
				if err := s.State(op).Put(host, []byte(key), []byte(value)); err != nil {
					t.Fatal(err)
				}
				now.put(op, host, key, value)
			},
			"delete": func(t *rapid.T) {
				op, host, key := rapid.SampledFrom(operators).Draw(t, "op"), rapid.SampledFrom(hosts).Draw(t, "host"), rapid.SampledFrom(keys).Draw(t, "key")
				if err := s.State(op).Delete(host, []byte(key)); err != nil {
					t.Fatal(err)
				}
				now.delete(op, host, key)
			},
			"commit": func(t *rapid.T) {
				log.commit(t, s)
				committed = now.clone()
			},
			"abort": func(*rapid.T) {
				s.Discard()
				now = committed.clone()
			},
			"restart": func(t *rapid.T) {
				if rapid.Bool().Draw(t, "distrusted") {
					s.Distrust()
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openedOn(t, disk)
				log.restore(t, s)
				now = committed.clone()
			},
			"power cut": func(t *rapid.T) {
				lost := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "percent of unsynced data kept")
				left := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: lost, RNG: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))})
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				disk = left
				s = openedOn(t, disk)
				log.restore(t, s)
				now = committed.clone()
			},
			"move": func(t *rapid.T) {
				elsewhere := opened(t, "")
				defer elsewhere.Close()
				log.restore(t, elsewhere)
				committed.equal(t, elsewhere, operators)
			},
			"": func(t *rapid.T) { now.equal(t, s, operators) },
		})
	})
}
