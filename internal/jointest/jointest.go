// Package jointest gives tests rows of hosts that are late, come twice and use process
// ids again, and a job that joins them as enricher does.
//
// It must never be imported outside tests, or draw anything but from the numbers it is
// given: a seed is a story.
package jointest

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/dns"
	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
	"github.com/stackjoin/stackjoin/pkg/event"
)

// Window is joins.wait of these tests, in seconds of the hosts' time.
const Window = 20

// Job is a job with the joins as enricher run has them.
func Job(log io.Writer) stream.Job {
	return stream.Job{
		Build: func(_ stream.Partition, state func(string) enrich.State) (*enrich.Pipeline, error) {
			books, err := ledger.New(ledger.Config{}, state("ledger"))
			if err != nil {
				return nil, err
			}
			joins := []enrich.Operator{process.New(process.Config{}, state("process")), dns.New(dns.Config{}, state("dns"))}
			p := enrich.NewPipeline(event.NewLenses(), joins, nil)
			p.Guard(books)
			p.Wait(enrich.Waiting{Wait: Window * time.Second}, state("pipeline"))
			return p, nil
		},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// teller is one host, whose rows come up to Window late: a process after its socket,
// a lookup after both, a process id used again within a second.
type teller struct {
	rng   *rand.Rand
	agent string
	now   int
	seq   int
	last  []string
}

// tell is the rows of the next call; now and then those of the last once more.
func (h *teller) tell() []string {
	if h.last != nil && h.rng.IntN(10) == 0 {
		return h.last
	}
	h.now += h.rng.IntN(4)
	var rows []string
	for range 1 + h.rng.IntN(3) {
		at := h.now - h.rng.IntN(Window-5)
		rows = append(rows, h.row(at, h.rng.IntN(6), fmt.Sprintf("203.0.113.%d", h.rng.IntN(4))))
	}
	return h.call(rows)
}

func (h *teller) row(at, pid int, address string) string {
	switch h.rng.IntN(5) {
	case 0, 1:
		return fmt.Sprintf(`"name":"process_events","columns":{"pid":"%d","parent":"%d","path":"/bin/p%d","cmdline":"p","uid":"0","auid":"0","time":"%d","syscall":"execve"}`,
			pid, h.rng.IntN(6), h.rng.IntN(3), at)
	case 2:
		return fmt.Sprintf(`"name":"dns_lookup_events","columns":{"name":"n%d.example","path":"","pid":"%d","response":%q,"status":"0","time":"%d","type":"A","type_id":"1"}`,
			h.rng.IntN(3), pid, address, at)
	}
	return fmt.Sprintf(`"name":"socket_events","columns":{"action":"connect","pid":"%d","path":"","remote_address":%q,"remote_port":"443","time":"%d"}`, pid, address, at)
}

// close is a last call, an hour later: nothing waits any more.
func (h *teller) close() []string {
	h.now += 3600
	return h.call([]string{`"name":"pack_os_version","columns":{"version":"1"}`})
}

func (h *teller) call(rows []string) []string {
	h.seq++
	prev := "null"
	if h.seq > 1 {
		prev = fmt.Sprintf(`"aaaaaaaaaaaaaaaa/%d"`, h.seq-1)
	}
	for i := range rows {
		rows[i] = fmt.Sprintf(`{%s,"hostIdentifier":%q,"unixTime":%d,"action":"added","delivery":{"agent":%q,"run":"aaaaaaaaaaaaaaaa","seq":%d,"row":%d,"rows":%d,"prev":%s,"spooled":%q}}`,
			rows[i], h.agent, h.now, h.agent, h.seq, i, len(rows), prev, time.Unix(int64(h.now), 0).UTC().Format(time.RFC3339))
	}
	h.last = rows
	return rows
}

// Tales are the records of several hosts, for a topic, in parts to be produced one after
// the other. After the last nothing waits any more.
func Tales(topic string, rng *rand.Rand, parts int) [][]*kgo.Record {
	var hosts []*teller
	for i := range 6 {
		hosts = append(hosts, &teller{rng: rng, agent: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), now: 1_760_000_000})
	}
	all := make([][]*kgo.Record, parts)
	for n := range all {
		for range 60 {
			h := hosts[rng.IntN(len(hosts))]
			all[n] = append(all[n], records(topic, h, h.tell())...)
		}
	}
	for _, h := range hosts {
		all[parts-1] = append(all[parts-1], records(topic, h, h.close())...)
	}
	return all
}

func records(topic string, h *teller, rows []string) (all []*kgo.Record) {
	for _, row := range rows {
		all = append(all, &kgo.Record{Topic: topic, Key: []byte(h.agent), Value: []byte(row)})
	}
	return all
}
