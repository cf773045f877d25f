// Package metrics counts what the enricher does and shows it to Prometheus. It
// must never hold a label whose values come from rows.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stackjoin/stackjoin/internal/httpserver"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// Config says where the metrics are served.
type Config struct {
	Listen string `yaml:"listen" doc:"Address for Prometheus to scrape (/metrics), such as 127.0.0.1:9464; /ready answers 503 while state is being restored, /debug/hosts names the busiest hosts (docs/metrics.md). Empty opens no port."`
}

// Enricher holds the enricher's metrics. It is safe for concurrent use.
type Enricher struct {
	registry *prometheus.Registry
	defined  []definition

	rows, gaps, late, joins, evicted, books, routed  *prometheus.CounterVec
	matches, deadLetters, clamped, duplicates, again prometheus.Counter
	revised, cut                                     prometheus.Counter
	feedEntries, feedRefused, feedLoaded, feedInUse  *prometheus.GaugeVec
	feedFailed                                       *prometheus.CounterVec
	partitions, routes                               *partitions
	learning                                         atomic.Bool
}

// New returns metrics of nothing.
func New() *Enricher {
	m := &Enricher{registry: prometheus.NewRegistry()}
	m.rows = m.counters("rows_total", "Rows enriched and committed.", "kind")
	m.gaps = m.counters("gaps_total", "Questions that could not be answered when a row was first seen.", "reason")
	m.late = m.counters("late_rows_total", "Rows that came when their host's clock was past them by more than joins.wait: they change no event any more.", "table")
	m.joins = m.counters("joins_total", "What the joins (process, name) answered: hit at once, miss not at once, late a miss that a later row answered.", "join", "result")
	m.evicted = m.counters("evicted_total", "What caps pushed out of a join's state: versions of processes, or names and addresses.", "join")
	m.books = m.counters("ledger_total", "What the books of delivery did: unnamed_rows, unnamed_hosts, unsure_rows (they pass), merged (given up to stay within a bound), findings.", "what")
	m.routed = m.counters("routed_total", "What became of records that do not come keyed by their host: sent (to the one host), key (an instance's key, to the partition of the instance's id), shared (to each of several that may be meant), kept (until the host is known), found (later), unknown (not within joins.owner_wait), no_room (over joins.owner_wait_bytes), moved (to other owners, when later facts told of them), doubtful (sent, and no later fact told whether to the right host), duplicate (of a CloudTrail record), rekeyed, hostless (a row that names no host).", "result")
	m.matches = m.counter("matches_total", "Indicators met by events.")
	m.deadLetters = m.counter("dead_letters_total", "Records that could not be taken.")
	m.clamped = m.counter("clock_clamped_total", "Rows whose time was too absurd to move their host's clock.")
	m.again = m.counter("rechecked_total", "Records that were read again, because a feed had learned of what may be in them.")
	m.duplicates = m.counter("duplicates_total", "Rows that came before and were dropped.")
	m.revised = m.counter("revisions_total", "Events told again, because later rows gave a better answer.")
	m.cut = m.counter("wait_cut_total", "Events told early and for good, because more waited than joins.wait_bytes.")
	m.feedEntries = m.gauges("feed_entries", "Indicators in use.", "feed")
	m.feedRefused = m.gauges("feed_refused_rows", "Rows of the last load that could not be used.", "feed")
	m.feedLoaded = m.gauges("feed_loaded_timestamp_seconds", "When the indicators in use were read from their source, in Unix time; time() less this is the feed's age.", "feed")
	m.feedInUse = m.gauges("feed_info", "1, with the generation of the indicators in use.", "feed", "generation")
	m.feedFailed = m.counters("feed_failures_total", "Loads that failed; the last good data stay in use.", "feed")
	m.partitions = m.newPartitions("", "")
	m.routes = m.newPartitions("route_", " Of stage 1.")
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Observe counts what one commit held.
func (m *Enricher) Observe(s enrich.Stats) {
	for kind, n := range s.Rows {
		m.rows.WithLabelValues(string(kind)).Add(float64(n))
	}
	for j, n := range s.Joins {
		m.joins.WithLabelValues(j.Join, string(j.Result)).Add(float64(n))
	}
	addAll(m.gaps, s.Gaps)
	addAll(m.late, s.Late)
	addAll(m.evicted, s.Evicted)
	addAll(m.books, s.Books)
	addAll(m.routed, s.Routed)
	m.matches.Add(float64(s.Matches))
	m.deadLetters.Add(float64(s.DeadLetters))
	m.clamped.Add(float64(s.ClockClamped))
	m.duplicates.Add(float64(s.Duplicates))
	m.again.Add(float64(s.Rechecked))
	m.revised.Add(float64(s.Revised))
	m.cut.Add(float64(s.WaitCut))
}

func addAll(to *prometheus.CounterVec, counts map[string]int64) {
	for label, n := range counts {
		to.WithLabelValues(label).Add(float64(n))
	}
}

// Feeds takes in how a load went.
func (m *Enricher) Feeds(r reputation.Report) {
	for _, f := range r.Feeds {
		m.feedEntries.WithLabelValues(f.Name).Set(float64(f.Entries))
		m.feedInUse.DeletePartialMatch(prometheus.Labels{"feed": f.Name})
		if f.Generation != "" {
			m.feedInUse.WithLabelValues(f.Name, f.Generation).Set(1)
		}
		if !f.Loaded.IsZero() {
			m.feedLoaded.WithLabelValues(f.Name).Set(float64(f.Loaded.Unix()))
		}
		if f.Err != nil {
			m.feedFailed.WithLabelValues(f.Name).Inc()
		} else if !f.Unchanged {
			m.feedRefused.WithLabelValues(f.Name).Set(float64(f.Refused))
		}
	}
}

// Handler answers scrapes, and whether the process is ready.
func (m *Enricher) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/ready", m.ready)
	mux.HandleFunc("/debug/hosts", m.partitions.hosts)
	return mux
}

// Serve answers until ctx ends; without an address it does nothing.
func Serve(ctx context.Context, cfg Config, m *Enricher, log *slog.Logger) error {
	if cfg.Listen == "" {
		return nil
	}
	return httpserver.Serve(ctx, cfg.Listen, m.Handler(), log)
}
