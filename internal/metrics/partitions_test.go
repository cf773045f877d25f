package metrics_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/metrics"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/reputation"
	"github.com/stackjoin/stackjoin/pkg/enrich/stream"
)

// get returns the answer's code and body.
func get(t *testing.T, m *metrics.Enricher, path string) (int, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	return recorder.Code, string(body)
}

func rows(id int32) stream.Partition { return stream.Partition{Topic: "rows", ID: id} }

func TestReadyFailsWhileAPartitionRestores(t *testing.T) {
	m := metrics.New()
	expect := func(when string, want int) {
		t.Helper()
		if code, body := get(t, m, "/ready"); code != want {
			t.Errorf("%s: %d %q, want %d", when, code, body, want)
		}
	}
	expect("with no partition", http.StatusOK)
	m.Partition(stream.PartitionStatus{Partition: rows(3), Restoring: true, Restored: 10, Remaining: 5})
	m.Partition(stream.PartitionStatus{Partition: rows(4), Restoring: true})
	expect("restoring two", http.StatusServiceUnavailable)
	m.Gone(rows(4))
	expect("restoring one", http.StatusServiceUnavailable)
	m.Partition(stream.PartitionStatus{Partition: rows(3), Lag: 7, StateBytes: 4096})
	expect("restored", http.StatusOK)
}

func TestPartitionsAndTransactionsAreCounted(t *testing.T) {
	m := metrics.New()
	m.Partition(stream.PartitionStatus{Partition: rows(3), Lag: 7, StateBytes: 4096})
	m.Partition(stream.PartitionStatus{Partition: rows(4), Restoring: true, Restored: 10, Remaining: 5})
	m.Partition(stream.PartitionStatus{Partition: rows(5), Lag: 1})
	m.Gone(rows(5))
	// Streams of Kinesis number their shards alike.
	m.Partition(stream.PartitionStatus{Partition: stream.Partition{Topic: "trail", ID: 3}, Lag: 9})
	m.Partition(stream.PartitionStatus{Partition: stream.Partition{Topic: "other", ID: 3}, Lag: 1})
	m.Gone(stream.Partition{Topic: "other", ID: 3})
	m.Ended("committed")
	m.Ended("rebalance")
	_, body := get(t, m, "/metrics")
	for _, line := range []string{
		`stackjoin_partition_lag_records{partition="3",topic="rows"} 7`, `stackjoin_partition_lag_records{partition="3",topic="trail"} 9`, `stackjoin_partition_state_bytes{partition="3",topic="rows"} 4096`,
		`stackjoin_partition_restoring{partition="4",topic="rows"} 1`, `stackjoin_partition_restore_remaining_records{partition="4",topic="rows"} 5`,
		`stackjoin_transactions_total{result="committed"} 1`, `stackjoin_transactions_total{result="rebalance"} 1`,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(body, `partition="5"`) {
		t.Error("a partition that has gone is still told")
	}
}

func TestStatsAndStatusAreTold(t *testing.T) {
	m := metrics.New()
	s := enrich.NewStats()
	s.Late["process_events"], s.Evicted["name"], s.Books["merged"], s.Revised, s.WaitCut = 2, 3, 4, 5, 6
	s.Joins[enrich.Joined{Join: "process", Result: enrich.JoinLate}] = 7
	m.Observe(s)
	status := enrich.Status{Newest: time.Unix(1_760_000_000, 0), Ahead: 3 * time.Second, Busiest: []enrich.HostRows{{Host: "<web>", Rows: 9}}}
	status.Held, status.Kept, status.Bytes = 1, 2, 3000
	m.Status(rows(3), status)
	m.Feeds(reputation.Report{Feeds: []reputation.FeedReport{{Name: "mine", Generation: "old"}}})
	m.Feeds(reputation.Report{Feeds: []reputation.FeedReport{{Name: "mine", Generation: "new"}}})
	_, body := get(t, m, "/metrics")
	for _, line := range []string{
		`stackjoin_late_rows_total{table="process_events"} 2`, `stackjoin_evicted_total{join="name"} 3`, `stackjoin_ledger_total{what="merged"} 4`,
		"stackjoin_revisions_total 5", "stackjoin_wait_cut_total 6", `stackjoin_joins_total{join="process",result="late"} 7`,
		`stackjoin_partition_event_timestamp_seconds{partition="3",topic="rows"} 1.76e+09`, `stackjoin_partition_host_clock_ahead_seconds{partition="3",topic="rows"} 3`,
		`stackjoin_partition_held_events{partition="3",topic="rows"} 1`, `stackjoin_partition_kept_bytes{partition="3",topic="rows"} 3000`, `stackjoin_feed_info{feed="mine",generation="new"} 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(body, "web") || strings.Contains(body, `"old"`) {
		t.Error("a host's name or an old generation is a label")
	}
	if _, body := get(t, m, "/debug/hosts"); body != `{"busiest_hosts_by_partition":{"rows/3":[{"host":"\u003cweb\u003e","rows":9}]}}`+"\n" {
		t.Errorf("busiest hosts %s", body)
	}
	m.Gone(rows(3))
	if _, body := get(t, m, "/debug/hosts"); strings.Contains(body, "web") {
		t.Errorf("a partition that has gone is still told: %s", body)
	}
}
