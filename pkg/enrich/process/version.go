package process

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/origin"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// maxCommandLine is how much of a command line is kept for later answers.
const maxCommandLine = 4 << 10

// adopt is how far apart a start time in `processes` and the time of an exec row
// may be and still mean one start: the first counts ticks since boot, the second is
// when osquery stored the row.
const adopt = int64(2 * time.Second)

// What is known of a version beside its texts.
const (
	forked    uint8 = 1 << iota // it runs what its parent ran
	inventory                   // `processes` told of it, and no exec row did
	unstarted                   // start is when it was first listed, not its own
	thin                        // command line and directory were given up
)

// version is one execution of one program by one pid. Times are Unix nanoseconds,
// 0 where there is none.
type version struct {
	id    string
	start int64
	// until is the latest start that `processes` was ever seen to tell for it: that
	// table computes starts anew each time, and they drift.
	until int64
	// seen is when it was last known to live, in steps; first and listed when
	// `processes` first and last showed it, and lister which query did last.
	seen, first, listed int64
	lister              uint32
	flags               uint8
	parent              int64
	order               order
	from                origin.Place // the row that tells it, first of several
	path                string
	commandLine         string
	directory           string
	uid, auid           string
	user                string
	container           string
	// token is what tells two processes of one pid apart where the system gives
	// such a thing: a GUID, or macOS's pid version.
	token string
}

func (v *version) is(flag uint8) bool { return v.flags&flag != 0 }

// alive is when the version was last known to live.
func (v *version) alive() int64 { return max(v.start, v.seen, v.listed) }

// thinned gives up what is large and rarely asked.
func (v *version) thinned() {
	v.flags |= thin
	v.commandLine, v.directory = "", ""
}

// order breaks ties between rows of one second: osquery's own event number where
// the query names it, else the row's place in its host's stream.
type order struct{ major, minor uint64 }

func (o order) compare(p order) int {
	return cmp.Or(cmp.Compare(o.major, p.major), cmp.Compare(o.minor, p.minor))
}

func compare(a, b *version) int {
	return cmp.Or(cmp.Compare(a.start, b.start), a.order.compare(b.order), strings.Compare(a.id, b.id))
}

// hash names something of a host by what tells it from all others there.
func hash(host enrich.Host, parts ...string) string {
	var room [256]byte
	b := append(room[:0], host...)
	for _, part := range parts {
		b = append(append(b, 0), part...)
	}
	sum := sha256.Sum256(b)
	return string(hex.AppendEncode(room[:0], sum[:16]))
}

// identity names a version: hash(host, boot, pid, start, eid). The boot is left
// empty: the start is an absolute time, and a boot that is learnt later must not
// give a process another name. A version from `processes` has no eid: its start and
// path stand for it.
func identity(host enrich.Host, pid int64, start int64, tie string) string {
	return hash(host, "", strconv.FormatInt(pid, 10), strconv.FormatInt(start/int64(time.Second), 10), tie)
}

// instant turns nanoseconds into a time.
func instant(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// nanos turns a time into nanoseconds. Times that nanoseconds since 1970 cannot
// count are clamped: they are clocks gone wrong.
func nanos(t time.Time) int64 {
	const most = 1 << 33 // in seconds, the year 2242
	if s := t.Unix(); s <= 0 {
		return 0
	} else if s >= most {
		return most * int64(time.Second)
	}
	return t.UnixNano()
}
