package loggerstat

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metric is one family of metrics and how its samples are made.
type metric struct {
	desc *prometheus.Desc
	// collect sends the samples of a snapshot. labels are the values of the
	// family's labels, in its order.
	collect func(s Snapshot, now time.Time, send func(value float64, labels ...string))
	kind    prometheus.ValueType
}

// collector makes metrics from a snapshot at each scrape.
type collector struct {
	snapshot func() Snapshot
	metrics  []metric
	sync     *prometheus.Desc
}

// Collector returns the metrics stackjoin_logger_*, made from a snapshot at each
// scrape. snapshot is called from many goroutines.
func Collector(snapshot func() Snapshot) prometheus.Collector {
	c := collector{snapshot: snapshot, sync: desc("sync_seconds", "Time that syncs of the spool took, one at least before each answer to osqueryd.")}
	for _, part := range [][]metric{identityMetrics(), callMetrics(), spoolMetrics(), shippingMetrics()} {
		c.metrics = append(c.metrics, part...)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		descs <- m.desc
	}
	descs <- c.sync
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s, now := c.snapshot(), time.Now()
	for _, m := range c.metrics {
		m.collect(s, now, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
		})
	}
	out <- prometheus.MustNewConstSummary(c.sync, s.Syncs, s.SyncTotal.Seconds(), nil)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(TableName+"_"+name, help, labels, nil)
}

func gauge(name, help string, of func(s Snapshot, now time.Time) float64) metric {
	return metric{desc(name, help), func(s Snapshot, now time.Time, send func(float64, ...string)) { send(of(s, now)) }, prometheus.GaugeValue}
}

func counter(name, help string, of func(s Snapshot) uint64) metric {
	return metric{desc(name, help), func(s Snapshot, _ time.Time, send func(float64, ...string)) { send(float64(of(s))) }, prometheus.CounterValue}
}

// state is 1 for the state that holds and 0 for the others, so that an alert can
// name the one it is about.
func state[S ~string](name, help string, of func(Snapshot) S, all ...S) metric {
	return metric{desc(name, help, "state"), func(s Snapshot, _ time.Time, send func(float64, ...string)) {
		for _, one := range all {
			send(float64(truth(one == of(s))), string(one))
		}
	}, prometheus.GaugeValue}
}

func identityMetrics() []metric {
	return []metric{
		{desc("info", "What runs: always 1.", "version", "config_hash", "agent"), func(s Snapshot, _ time.Time, send func(float64, ...string)) {
			send(1, short(s.Version), short(s.ConfigHash), short(s.Agent))
		}, prometheus.GaugeValue},
		state("config_state", "Which configuration is in use.", func(s Snapshot) ConfigState { return s.ConfigState }, ConfigOK, ConfigLastGood, ConfigNone),
		gauge("registered", "Whether osqueryd has a route to the logger.", func(s Snapshot, _ time.Time) float64 { return float64(truth(s.Registered)) }),
		counter("registrations_total", "Registrations that osqueryd took.", func(s Snapshot) uint64 { return s.Registrations }),
		counter("absences_total", "Times that osqueryd had forgotten the logger.", func(s Snapshot) uint64 { return s.Absences }),
	}
}

func callMetrics() []metric {
	return []metric{
		counter("calls_accepted_total", "Log calls of osqueryd that were taken over.", func(s Snapshot) uint64 { return s.CallsAccepted }),
		counter("calls_failed_total", "Log calls that could not be taken over; osqueryd was answered all the same.", func(s Snapshot) uint64 { return s.CallsFailed }),
		gauge("sync_last_seconds", "Time that the last sync of the spool took.", func(s Snapshot, _ time.Time) float64 { return s.SyncLast.Seconds() }),
	}
}

func spoolMetrics() []metric {
	return []metric{
		gauge("spool_bytes", "Size of the spool's files.", func(s Snapshot, _ time.Time) float64 { return float64(s.SpoolBytes) }),
		gauge("waiting_calls", "Calls in the spool that are not acknowledged.", func(s Snapshot, _ time.Time) float64 { return float64(s.WaitingCalls) }),
		gauge("waiting_bytes", "Bytes in the spool that are not acknowledged.", func(s Snapshot, _ time.Time) float64 { return float64(s.WaitingBytes) }),
		gauge("oldest_age_seconds", "Age of the oldest call that is not acknowledged.", func(s Snapshot, now time.Time) float64 { return s.oldestAge(now).Seconds() }),
		gauge("held_calls", "Calls in memory because the spool is unwritable.", func(s Snapshot, _ time.Time) float64 { return float64(s.HeldCalls) }),
		gauge("held_bytes", "Bytes in memory because the spool is unwritable.", func(s Snapshot, _ time.Time) float64 { return float64(s.HeldBytes) }),
		gauge("spool_writable", "Whether the spool takes calls.", func(s Snapshot, _ time.Time) float64 { return float64(truth(s.UnwritableSince.IsZero())) }),
		{desc("dropped_calls_total", "Calls that were dropped.", "reason"), func(s Snapshot, _ time.Time, send func(float64, ...string)) {
			for reason, l := range s.Lost {
				send(float64(l.Calls), short(reason))
			}
		}, prometheus.CounterValue},
		{desc("dropped_bytes_total", "Bytes of calls that were dropped.", "reason"), func(s Snapshot, _ time.Time, send func(float64, ...string)) {
			for reason, l := range s.Lost {
				send(float64(l.Bytes), short(reason))
			}
		}, prometheus.CounterValue},
		counter("markers_total", "Markers written in the place of what is missing.", func(s Snapshot) uint64 { return s.Markers }),
	}
}

func shippingMetrics() []metric {
	return []metric{
		state("shipping_state", "Whether what is spooled is being sent.", func(s Snapshot) ShippingState { return s.ShippingState }, ShippingRunning, ShippingHeld, ShippingOff),
		gauge("failing_seconds", "How long the destination has been failing; 0 when the last attempt went well.", func(s Snapshot, now time.Time) float64 { return since(s.FailingSince, now).Seconds() }),
		counter("sent_records_total", "Records acknowledged: rows, status lines, markers.", func(s Snapshot) uint64 { return s.SentRecords }),
		counter("sent_bytes_total", "Bytes of records acknowledged.", func(s Snapshot) uint64 { return s.SentBytes }),
		counter("send_failures_total", "Attempts to send a batch that failed.", func(s Snapshot) uint64 { return s.SendFailures }),
		counter("retries_total", "Batches sent again.", func(s Snapshot) uint64 { return s.Retries }),
		gauge("last_send_timestamp_seconds", "When a batch was last acknowledged, in Unix time; 0: never.", func(s Snapshot, _ time.Time) float64 { return unix(s.LastSend) }),
		gauge("acknowledgement_lag_seconds", "Time from spooled to acknowledged, of the last batch.", func(s Snapshot, _ time.Time) float64 { return s.AckLag.Seconds() }),
		{desc("dead_letters_total", "Records that could not be shipped as they are.", "reason"), func(s Snapshot, _ time.Time, send func(float64, ...string)) {
			for reason, n := range s.DeadLetters {
				send(float64(n), short(reason))
			}
		}, prometheus.CounterValue},
	}
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
