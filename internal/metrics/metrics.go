// Package metrics counts what the enricher does and shows it to Prometheus. It
// must never hold a label whose values come from rows.
package metrics

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stackjoin/stackjoin/internal/httpserver"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
)

// Config says where the metrics are served.
type Config struct {
	Listen string `yaml:"listen" doc:"Address for Prometheus to scrape (/metrics), such as 127.0.0.1:9464; /ready answers 503 while state is being restored. Empty opens no port."`
}

// Enricher holds the enricher's metrics. It is safe for concurrent use.
type Enricher struct {
	registry    *prometheus.Registry
	rows        *prometheus.CounterVec
	gaps        *prometheus.CounterVec
	matches     prometheus.Counter
	deadLetters prometheus.Counter
	clamped     prometheus.Counter
	duplicates  prometheus.Counter
	feedEntries *prometheus.GaugeVec
	feedRefused *prometheus.GaugeVec
	feedLoaded  *prometheus.GaugeVec
	feedFailed  *prometheus.CounterVec
	partitions  *partitions
}

// New returns metrics of nothing.
func New() *Enricher {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "stackjoin_" + name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stackjoin_" + name, Help: help}, []string{label})
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stackjoin_" + name, Help: help}, []string{"feed"})
	}
	m := &Enricher{
		partitions:  newPartitions(),
		registry:    prometheus.NewRegistry(),
		rows:        counters("rows_total", "Rows enriched and committed.", "kind"),
		gaps:        counters("gaps_total", "Questions that could not be answered.", "reason"),
		matches:     counter("matches_total", "Indicators met by events."),
		deadLetters: counter("dead_letters_total", "Records that could not be taken."),
		clamped:     counter("clock_clamped_total", "Rows whose time was too absurd to move their host's clock."),
		duplicates:  counter("duplicates_total", "Rows that came before and were dropped."),
		feedEntries: gauges("feed_entries", "Indicators in use."),
		feedRefused: gauges("feed_refused_rows", "Rows of the last load that could not be used."),
		feedLoaded:  gauges("feed_loaded_timestamp_seconds", "When the indicators in use were read from their source, in Unix time."),
		feedFailed:  counters("feed_failures_total", "Loads that failed; the last good data stay in use.", "feed"),
	}
	m.registry.MustRegister(m.partitions.collectors()...)
	m.registry.MustRegister(m.rows, m.gaps, m.matches, m.deadLetters, m.clamped, m.duplicates, m.feedEntries, m.feedRefused, m.feedLoaded, m.feedFailed,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Observe counts what one commit held.
func (m *Enricher) Observe(s enrich.Stats) {
	for kind, n := range s.Rows {
		m.rows.WithLabelValues(string(kind)).Add(float64(n))
	}
	for reason, n := range s.Gaps {
		m.gaps.WithLabelValues(reason).Add(float64(n))
	}
	m.matches.Add(float64(s.Matches))
	m.deadLetters.Add(float64(s.DeadLetters))
	m.clamped.Add(float64(s.ClockClamped))
	m.duplicates.Add(float64(s.Duplicates))
}

// Feeds takes in how a load went.
func (m *Enricher) Feeds(r reputation.Report) {
	for _, f := range r.Feeds {
		m.feedEntries.WithLabelValues(f.Name).Set(float64(f.Entries))
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
	mux.HandleFunc("/ready", m.partitions.ready)
	return mux
}

// Serve answers until ctx ends; without an address it does nothing.
func Serve(ctx context.Context, cfg Config, m *Enricher, log *slog.Logger) error {
	if cfg.Listen == "" {
		return nil
	}
	return httpserver.Serve(ctx, cfg.Listen, m.Handler(), log)
}
