package metrics

import (
	"fmt"
	"io"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// definition is what the page of metrics tells of one.
type definition struct{ name, kind, labels, help string }

// define notes a metric and registers it.
func (m *Enricher) define(c prometheus.Collector, kind, name, help string, labels []string) {
	m.defined = append(m.defined, definition{"stackjoin_" + name, kind, strings.Join(labels, ", "), help})
	m.registry.MustRegister(c)
}

func (m *Enricher) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "stackjoin_" + name, Help: help})
	m.define(c, "counter", name, help, nil)
	return c
}

func (m *Enricher) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stackjoin_" + name, Help: help}, labels)
	m.define(c, "counter", name, help, labels)
	return c
}

func (m *Enricher) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stackjoin_" + name, Help: help}, labels)
	m.define(g, "gauge", name, help, labels)
	return g
}

const intro = `# Metrics

Generated from the code by ` + "`make docs`" + `; do not edit.

` + "`metrics.listen`" + ` of the enricher serves Prometheus on ` + "`/metrics`" + `, beside the Go runtime's and the process's own. Counters count what was committed: what an aborted transaction held is counted when it comes again. What is told of a partition is told by the process that holds it, every few seconds; its topic is the first of those that are read together, or the stream of Kinesis.

` + "`/ready`" + ` answers 503 while the state of a partition is read back, or the facts about hosts that stage 1 routes by. ` + "`/debug/hosts`" + ` names, as JSON, the five hosts of each partition that sent most rows in the last seconds; rows say what hosts are called, so they are no labels.

| metric | type | labels | meaning |
|---|---|---|---|
`

// Document writes the page of the metrics.
func Document(w io.Writer) error {
	if _, err := io.WriteString(w, intro); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	for _, d := range New().defined {
		if _, err := fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", d.name, d.kind, d.labels, d.help); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	return nil
}
