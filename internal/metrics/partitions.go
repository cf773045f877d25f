package metrics

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// partitions are the metrics of the partitions that this process holds, and of
// their transactions. It is safe for concurrent use.
type partitions struct {
	lag, sideLag, unmerged, suspect, restoring, restored, remaining, bytes *prometheus.GaugeVec
	newest, ahead, behind, held, kept, keptSize                            *prometheus.GaugeVec
	ended                                                                  *prometheus.CounterVec
	all                                                                    []*prometheus.GaugeVec

	mu      sync.Mutex
	busy    map[stream.Partition]bool // restoring
	busiest map[stream.Partition][]enrich.HostRows
}

// newPartitions makes the metrics of one stage's partitions. prefix begins their names,
// and note ends what is said of them.
func (m *Enricher) newPartitions(prefix, note string) *partitions {
	p := &partitions{busy: map[stream.Partition]bool{}, busiest: map[stream.Partition][]enrich.HostRows{}}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := m.gauges(prefix+"partition_"+name, help+note, "topic", "partition")
		p.all = append(p.all, g)
		return g
	}
	p.lag = gauge("lag_records", "Records of the inputs that are not processed, about.")
	p.restoring = gauge("restoring", "1 while the partition's state is being read back; it processes nothing then.")
	p.restored = gauge("restored_records", "Records read back so far, of the restore under way or the last.")
	p.remaining = gauge("restore_remaining_records", "Records that the restore has yet to read, about.")
	p.suspect = gauge("suspect_records", "Records that are tried apart, since transactions failed with them or an owner died over them, about.")
	p.bytes = gauge("state_bytes", "Size of the partition's local state, about.")
	p.ended = m.counters(prefix+"transactions_total",
		"Transactions by how they ended: committed, or aborted for processing, refused, rebalance, timeout, broker, stopped, unknown."+note, "result")
	if prefix != "" {
		return p
	}
	p.sideLag = gauge("side_lag_records", "Those of them that are on the side topic, about.")
	p.unmerged = gauge("unmerged_records", "Records that were taken, since the partition came, although the topic they are merged with brought nothing of what it held for a second.")
	p.newest = gauge("event_timestamp_seconds", "Latest time at which something happened that was processed, in Unix time; time() less this is how fresh the output is.")
	p.ahead = gauge("host_clock_ahead_seconds", "Most that a host's clock was ahead of the broker's, of the rows of the last seconds.")
	p.behind = gauge("host_delay_seconds", "Most time between a host's keeping a row and the broker's taking it, of the rows of the last seconds: a backlog, or a clock that is behind.")
	p.held = gauge("held_events", "Events that wait for an answer and are not told yet.")
	p.kept = gauge("kept_events", "Events that a later row may still change, those held among them.")
	p.keptSize = gauge("kept_bytes", "Memory of those, about; joins.wait_bytes bounds it.")
	return p
}

// Status takes in how a partition's pipeline fares.
func (m *Enricher) Status(id stream.Partition, s enrich.Status) {
	p, labels := m.partitions, labelsOf(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busiest[id] = s.Busiest
	if !s.Newest.IsZero() {
		p.newest.WithLabelValues(labels...).Set(float64(s.Newest.Unix()))
	}
	p.ahead.WithLabelValues(labels...).Set(s.Ahead.Seconds())
	p.behind.WithLabelValues(labels...).Set(s.Behind.Seconds())
	p.held.WithLabelValues(labels...).Set(float64(s.Held))
	p.kept.WithLabelValues(labels...).Set(float64(s.Kept))
	p.keptSize.WithLabelValues(labels...).Set(float64(s.Bytes))
}

// labelsOf are a partition's labels: its topic, or the first of those that are read
// together, or its stream; and its number.
func labelsOf(id stream.Partition) []string { return []string{id.Topic, strconv.Itoa(int(id.ID))} }

// hosts names the hosts that sent most in the last seconds, by partition. They are no
// labels: rows say what they are called.
func (p *partitions) hosts(w http.ResponseWriter, _ *http.Request) {
	type host struct {
		Host string `json:"host"`
		Rows int64  `json:"rows"`
	}
	p.mu.Lock()
	all := map[string][]host{}
	for id, busiest := range p.busiest {
		rows := []host{}
		for _, b := range busiest {
			rows = append(rows, host{string(b.Host), b.Rows})
		}
		all[strings.Join(labelsOf(id), "/")] = rows
	}
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"busiest_hosts_by_partition": all}) // who asked has gone
}

// Partition takes in how a partition fares. It implements stream.Monitor.
func (m *Enricher) Partition(s stream.PartitionStatus) { m.partitions.Partition(s) }

// Gone forgets a partition that another process holds now.
func (m *Enricher) Gone(id stream.Partition) { m.partitions.Gone(id) }

// Ended counts a transaction.
func (m *Enricher) Ended(how string) { m.partitions.Ended(how) }

// Route is told how the partitions of stage 1 fare.
func (m *Enricher) Route() stream.Monitor { return m.routes }

// Learning says whether the facts that others wrote are still being read.
func (m *Enricher) Learning(v bool) { m.learning.Store(v) }

// Partition implements stream.Monitor.
func (p *partitions) Partition(s stream.PartitionStatus) {
	labels := labelsOf(s.Partition)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.Restoring {
		delete(p.busy, s.Partition)
		p.restoring.WithLabelValues(labels...).Set(0)
		p.remaining.WithLabelValues(labels...).Set(0)
		p.lag.WithLabelValues(labels...).Set(float64(s.Lag))
		if p.sideLag != nil { // of stage 2 alone
			p.sideLag.WithLabelValues(labels...).Set(float64(s.SideLag))
			p.unmerged.WithLabelValues(labels...).Set(float64(s.Unmerged))
		}
		p.bytes.WithLabelValues(labels...).Set(float64(s.StateBytes))
		p.suspect.WithLabelValues(labels...).Set(float64(s.Suspect))
		return
	}
	p.busy[s.Partition] = true
	p.restoring.WithLabelValues(labels...).Set(1)
	p.restored.WithLabelValues(labels...).Set(float64(s.Restored))
	p.remaining.WithLabelValues(labels...).Set(float64(s.Remaining))
}

// Gone implements stream.Monitor.
func (p *partitions) Gone(id stream.Partition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, id)
	delete(p.busiest, id)
	for _, g := range p.all {
		g.DeleteLabelValues(labelsOf(id)...)
	}
}

// Ended implements stream.Monitor.
func (p *partitions) Ended(how string) { p.ended.WithLabelValues(how).Inc() }

// restoringNow counts the partitions that process nothing yet.
func (p *partitions) restoringNow() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.busy)
}

// ready says whether every partition held is processed, and what others know is known.
func (m *Enricher) ready(w http.ResponseWriter, _ *http.Request) {
	busy := m.partitions.restoringNow() + m.routes.restoringNow()
	switch {
	case busy > 0:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "restoring the state of %d partitions\n", busy)
	case m.learning.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "reading the facts about hosts")
	default:
		fmt.Fprintln(w, "ready")
	}
}
