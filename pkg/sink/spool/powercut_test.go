package spool

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// seeds is how many random lives of a spool are tried: SPOOL_SEEDS, else few
// enough for every day.
func seeds(t *testing.T, most uint64) uint64 {
	t.Helper()
	if text := os.Getenv("SPOOL_SEEDS"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		must(t, err)
		return n
	}
	return most
}

// Promises 1 to 4 under power cuts, failing syncs, full and unwritable disks and
// all policies: what Append promised and was not committed comes back, once per
// reading, in order; what is missing is told, neither more nor less; and no seq
// names two calls of one run.
func TestPowerCuts(t *testing.T) {
	for seed := range seeds(t, 400) {
		life(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// The last call of a range of drops can come back with a power cut: its sync had
// failed. The others of the range are told all the same.
func TestARangeIsToldWhoseLastCallCameBack(t *testing.T) { life(t, 19737) }

// life is one random life of a spool.
func life(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 4))
	m := &model{
		t: t, seed: seed, r: r, disk: newDisk(r.IntN), calls: map[uint64]attempt{}, names: map[name]bool{},
		promised: map[uint64]string{}, delivered: map[uint64]bool{}, gone: map[uint64]bool{},
		cfg: Config{
			MinFree: -1, SegmentBytes: int64(300 + r.IntN(2000)), HeldBytes: int64(200 + r.IntN(900)),
			WhenFull: WhenFull(r.IntN(3)), BlockFor: time.Nanosecond,
			MaxBytes: fixedBytes + int64(4000+r.IntN(12000)), Now: func() time.Time { return time.Unix(1_760_000_000, 0).Add(time.Duration(seed)) },
		},
	}
	m.reopen()
	for range 10 + r.IntN(40) {
		m.step()
	}
	m.heal()
	m.append()
	m.disk.cut()
	m.reopen()
	m.append() // what is missing is told before a frame
	m.checkAll()
}

// attempt is the call that a seq was given to last.
type attempt struct{ stream, payload string }

// model is what the test knows of a spool from outside.
type model struct {
	t    *testing.T
	seed uint64
	r    *rand.Rand
	disk *disk
	cfg  Config
	s    *Spool
	n    int

	calls map[uint64]attempt
	names map[name]bool
	// promised are those for which Append returned nil and that were not held,
	// soft those that were held.
	promised  map[uint64]string
	soft      []uint64
	delivered map[uint64]bool // handed out and committed
	gone      map[uint64]bool // told to be lost, in the last reading
	committed uint64
	last      *Frame // the last frame handed out in this opening
	since     []uint64
	// copies tells that a file was given up: a cut may bring a first copy back of a
	// call that was told to be lost.
	copies bool
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("seed %d: "+format, append([]any{m.seed}, args...)...)
}

func (m *model) step() {
	switch m.r.IntN(14) {
	case 0:
		m.disk.cut()
		m.s = nil
		m.heal()
		m.reopen()
	case 1:
		m.disk.failSyncs, m.copies = 1+m.r.IntN(3), true
		m.append()
		m.disk.failSyncs = 0
	case 2:
		used := 0
		for _, node := range m.disk.files {
			used += len(node.now)
		}
		m.disk.capacity = used + m.r.IntN(500)
	case 3:
		m.disk.broken, m.copies = []error{syscall.EIO, syscall.EROFS}[m.r.IntN(2)], true
	case 4:
		m.heal()
	case 5, 6:
		m.read()
	case 7:
		m.commit()
	case 8:
		if m.disk.broken == nil && m.disk.capacity == 0 {
			must(m.t, m.s.Close())
			m.recovered()
			m.reopen()
		}
	default:
		m.append()
	}
}

// heal makes the disk whole again.
func (m *model) heal() {
	m.disk.broken, m.disk.capacity = nil, 0
	if m.s != nil && m.s.Recover() == nil {
		m.recovered()
	}
}

// recovered notes that nothing is held any more.
func (m *model) recovered() {
	if m.s.Stats().HeldCalls > 0 {
		return
	}
	for _, seq := range m.soft {
		m.promised[seq] = m.calls[seq].payload
	}
	m.soft = nil
}

func (m *model) reopen() {
	s, err := open(context.Background(), m.cfg, m.disk.fileSystem())
	must(m.t, err)
	m.s, m.last, m.soft, m.since = s, nil, nil, nil
}

func (m *model) append() {
	m.n++
	c := Call{Stream: []string{"results", "status"}[m.r.IntN(2)], Type: 'S', Payload: []byte(fmt.Sprintf("call %d %s", m.n, strings.Repeat("x", m.r.IntN(300))))}
	seq, err := m.s.Append(context.Background(), c)
	id := name{m.s.Agent(), m.s.Run(), seq}
	if m.names[id] {
		m.fatalf("%v was given twice", id)
	}
	m.names[id] = true
	if old, ok := m.promised[seq]; ok {
		m.fatalf("seq %d was given to %q and to %q", seq, old, c.Payload)
	}
	m.calls[seq] = attempt{c.Stream, string(c.Payload)}
	switch {
	case err != nil:
	case m.s.Stats().HeldCalls > 0:
		m.soft = append(m.soft, seq)
	default:
		m.recovered()
		m.promised[seq] = string(c.Payload)
	}
}

func (m *model) read() bool {
	if !m.s.Ready() {
		return false
	}
	f, ok, _, err := m.s.tryNext()
	must(m.t, err)
	if !ok {
		return false
	}
	after := m.committed
	if m.last != nil {
		after = m.last.Seq
	}
	if f.Seq <= after {
		m.fatalf("seq %d was handed out after %d", f.Seq, after)
	}
	if call := m.calls[f.Seq]; call.payload != string(f.Payload) || call.stream != f.Stream {
		m.fatalf("seq %d is %q, was %q", f.Seq, f.Payload, call.payload)
	}
	f.Payload = bytes.Clone(f.Payload)
	m.last = &f
	m.since = append(m.since, f.Seq)
	return true
}

func (m *model) commit() {
	if m.last == nil {
		return
	}
	if err := m.s.Commit(m.last.After(nil)); err == nil {
		m.committed = m.last.Seq
		for _, seq := range m.since {
			m.delivered[seq] = true
		}
		m.since = nil
	}
}

// checkAll reads to the end.
func (m *model) checkAll() {
	var told []Loss
	after := m.s.Committed().Seq
	for seq := after + 1; seq <= m.committed; seq++ {
		delete(m.delivered, seq) // the position went back: they come again
	}
	m.committed = after
	for m.read() {
		m.delivered[m.last.Seq] = true
		told = append(told, m.last.Missing...)
	}
	m.checkTold(told)
	later := m.s.ledger.losses.between(m.s.Agent(), m.last.Seq, 0) // due with a frame that is not there yet
	for seq := after + 1; seq < m.last.Seq; seq++ {
		due := slices.ContainsFunc(later, func(l Loss) bool { return l.From <= seq && l.Stream == m.calls[seq].stream })
		if !m.delivered[seq] && !m.gone[seq] && !due {
			m.fatalf("seq %d is missing and nothing tells it: %+v", seq, told)
		}
	}
	for seq, payload := range m.promised {
		if seq > after && !m.delivered[seq] && !m.mayBeGone(seq, append(told, later...)) {
			m.fatalf("seq %d %q was promised and is lost; told: %+v", seq, payload, told)
		}
	}
}

// mayBeGone tells whether a promised call was dropped by the policy.
func (m *model) mayBeGone(seq uint64, told []Loss) bool {
	for _, l := range told {
		if l.Reason == DroppedOldest && l.From <= seq && seq <= l.To && l.Stream == m.calls[seq].stream {
			return m.cfg.WhenFull == DropOldest
		}
	}
	return false
}

// checkTold compares the ranges with what came: their ends are missing, each has
// as many missing calls as it says, and together they say how many are missing.
func (m *model) checkTold(told []Loss) {
	sum, apart := uint64(0), true
	for _, l := range told {
		calls := uint64(0)
		for seq := l.From; seq <= l.To; seq++ {
			if m.delivered[seq] || l.Stream != "" && m.calls[seq].stream != l.Stream {
				continue
			}
			calls++
			m.gone[seq] = true
		}
		if l.Reason != Damaged && m.copies {
			apart = false
			continue
		}
		if calls < l.Calls || m.delivered[l.From] || m.delivered[l.To] || l.Agent != m.s.Agent() {
			m.fatalf("%d calls are lost of %+v (ends came: %v %v)", calls, l, m.delivered[l.From], m.delivered[l.To])
		}
		sum += l.Calls
		apart = apart && l.From > m.committed
	}
	if apart && sum != uint64(len(m.gone)) {
		m.fatalf("%d calls are missing, but %d were told: %+v", len(m.gone), sum, told)
	}
}
