package process

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/origin"
)

func plain(b []byte) string { return string(b) }

func drawPlace(t *rapid.T) origin.Place {
	if rapid.Bool().Draw(t, "placed") {
		return origin.Place{At: rapid.Int64().Draw(t, "at"), Late: rapid.Int64().Draw(t, "late"), Of: rapid.Uint16Range(1, 1024).Draw(t, "of")}
	}
	return origin.Place{}
}

func drawHistory(t *rapid.T) *history {
	h := &history{}
	n := rapid.Int64()
	for range rapid.IntRange(0, 4).Draw(t, "versions") {
		h.versions = append(h.versions, version{
			id: fmt.Sprintf("%032x", rapid.Uint64().Draw(t, "id")), start: n.Draw(t, "start"), until: n.Draw(t, "until"), seen: n.Draw(t, "seen"), first: n.Draw(t, "first"),
			listed: n.Draw(t, "listed"), lister: rapid.Uint32().Draw(t, "lister"), flags: rapid.Uint8().Draw(t, "flags"), parent: n.Draw(t, "parent"),
			order: order{rapid.Uint64().Draw(t, "major"), rapid.Uint64().Draw(t, "minor")}, path: rapid.String().Draw(t, "path"),
			commandLine: rapid.String().Draw(t, "cmdline"), directory: rapid.String().Draw(t, "cwd"), uid: "0", auid: "1000", user: "root",
			container: rapid.String().Draw(t, "container"), token: rapid.String().Draw(t, "token"),
			from: drawPlace(t),
		})
	}
	for range rapid.IntRange(0, 3).Draw(t, "endings") {
		h.endings = append(h.endings, ending{at: n.Draw(t, "at"), order: order{1, 2}, gone: rapid.Bool().Draw(t, "gone"), path: rapid.String().Draw(t, "ended")})
	}
	return h
}

func TestAHistoryIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		written := drawHistory(t)
		value := appendHistory(nil, written, format)
		read, err := newReader(value, plain).history()
		if err != nil || fmt.Sprint(*read) != fmt.Sprint(*written) {
			t.Fatalf("read %+v, %v; written %+v", read, err, written)
		}
		cut := value[:rapid.IntRange(0, len(value)-1).Draw(t, "cut")]
		if read, err := newReader(cut, plain).history(); err == nil {
			t.Fatalf("%d of %d bytes read as %+v", len(cut), len(value), read)
		}
		if _, err := newReader(append(value, 0), plain).history(); err == nil {
			t.Fatal("a value with a byte too many is read")
		}
	})
}

// What a version before this one wrote is read, and what this one writes for it has
// nothing that it would not know.
func TestTheFormatBeforeIsReadAndWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		written := drawHistory(t)
		value := appendHistory(nil, written, 1)
		for i := range written.versions {
			written.versions[i].from = origin.Place{}
		}
		if !bytes.Equal(value, appendHistory(nil, written, 1)) {
			t.Fatal("format 1 is written with places")
		}
		read, err := newReader(value, plain).history()
		if err != nil || value[0] != 1 || fmt.Sprint(*read) != fmt.Sprint(*written) {
			t.Fatalf("read %+v, %v; written %+v", read, err, written)
		}
	})
}

func TestANewerFormatIsRefusedWithAdvice(t *testing.T) {
	value := appendHistory(nil, &history{}, format)
	value[0] = format + 1
	if _, err := newReader(value, plain).history(); err == nil || !strings.Contains(err.Error(), "run the version that wrote it") {
		t.Errorf("error %v", err)
	}
}

// Whatever is in the State: it is read and written back as it was, or refused.
func FuzzDecode(f *testing.F) {
	login := &logins{facts: []fact{{at: 5, source: fromAudit, uid: "1000", user: "alice", terminal: "pts/0", remote: "198.51.100.7"}}}
	rec := record{sweepAt: 1, evicted: 2, boots: []int64{3, 4}, snapshot: snapshot{call: "run/7", lister: 8, at: 9, next: 10}}
	who := &history{versions: []version{{id: strings.Repeat("0a", 16), start: 7, path: "/bin/a"}}, endings: []ending{{at: 8, gone: true, path: "/bin/a"}}}
	f.Add(byte(pidKey), appendHistory(nil, who, format))
	f.Add(byte(loginKey), appendLogins(nil, login, format))
	f.Add(byte(hostKey), appendRecord(nil, &rec, format))
	f.Add(byte(userKey), []byte{format, 1, 'a', 2})
	f.Fuzz(func(t *testing.T, kind byte, value []byte) {
		name := key(nil, kind, 7)
		h := newHost("h")
		if err := h.decode(name, value, plain); err != nil {
			return
		}
		var again []byte
		switch kind {
		case pidKey:
			again = appendHistory(nil, h.pids[7], format)
		case loginKey:
			again = appendLogins(nil, h.logins[7], format)
		case hostKey:
			again = appendRecord(nil, &h.record, format)
		default:
			return
		}
		other := newHost("h")
		if err := other.decode(name, again, plain); err != nil {
			t.Fatalf("%x is read, but written as %x: %v", value, again, err)
		}
		var third []byte
		switch kind {
		case pidKey:
			third = appendHistory(nil, other.pids[7], format)
		case loginKey:
			third = appendLogins(nil, other.logins[7], format)
		default:
			third = appendRecord(nil, &other.record, format)
		}
		if !bytes.Equal(again, third) {
			t.Fatalf("written as %x, read and written as %x", again, third)
		}
	})
}
