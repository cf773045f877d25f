package metrics

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// partitions are the metrics of the partitions that this process holds, and of
// their transactions. It is safe for concurrent use.
type partitions struct {
	lag, restoring, restored, remaining, bytes *prometheus.GaugeVec
	ended                                      *prometheus.CounterVec

	mu   sync.Mutex
	busy map[int32]bool // restoring
}

func newPartitions() *partitions {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stackjoin_partition_" + name, Help: help}, []string{"partition"})
	}
	return &partitions{
		lag:       gauge("lag_records", "Records of the inputs that are not processed, about."),
		restoring: gauge("restoring", "1 while the partition's state is being read back; it processes nothing then."),
		restored:  gauge("restored_records", "Records read back so far, of the restore under way or the last."),
		remaining: gauge("restore_remaining_records", "Records that the restore has yet to read, about."),
		bytes:     gauge("state_bytes", "Size of the partition's local state, about."),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stackjoin_transactions_total",
			Help: "Transactions by how they ended: committed, or aborted for processing, refused, rebalance, timeout, broker, stopped, unknown.",
		}, []string{"result"}),
		busy: map[int32]bool{},
	}
}

func (p *partitions) gauges() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{p.lag, p.restoring, p.restored, p.remaining, p.bytes}
}

func (p *partitions) collectors() []prometheus.Collector {
	all := []prometheus.Collector{p.ended}
	for _, g := range p.gauges() {
		all = append(all, g)
	}
	return all
}

// Partition takes in how a partition fares. It implements stream.Monitor.
func (m *Enricher) Partition(s stream.PartitionStatus) {
	p, label := m.partitions, strconv.Itoa(int(s.ID))
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.Restoring {
		delete(p.busy, s.ID)
		p.restoring.WithLabelValues(label).Set(0)
		p.remaining.WithLabelValues(label).Set(0)
		p.lag.WithLabelValues(label).Set(float64(s.Lag))
		p.bytes.WithLabelValues(label).Set(float64(s.StateBytes))
		return
	}
	p.busy[s.ID] = true
	p.restoring.WithLabelValues(label).Set(1)
	p.restored.WithLabelValues(label).Set(float64(s.Restored))
	p.remaining.WithLabelValues(label).Set(float64(s.Remaining))
}

// Gone forgets a partition that another process holds now.
func (m *Enricher) Gone(id int32) {
	p := m.partitions
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, id)
	for _, g := range p.gauges() {
		g.DeleteLabelValues(strconv.Itoa(int(id)))
	}
}

// Ended counts a transaction.
func (m *Enricher) Ended(how string) { m.partitions.ended.WithLabelValues(how).Inc() }

// ready says whether every partition held is processed.
func (p *partitions) ready(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.busy) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "restoring the state of %d partitions\n", len(p.busy))
		return
	}
	fmt.Fprintln(w, "ready")
}
