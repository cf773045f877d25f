package metrics_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/metrics"
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

func TestReadyFailsWhileAPartitionRestores(t *testing.T) {
	m := metrics.New()
	expect := func(when string, want int) {
		t.Helper()
		if code, body := get(t, m, "/ready"); code != want {
			t.Errorf("%s: %d %q, want %d", when, code, body, want)
		}
	}
	expect("with no partition", http.StatusOK)
	m.Partition(stream.PartitionStatus{ID: 3, Restoring: true, Restored: 10, Remaining: 5})
	m.Partition(stream.PartitionStatus{ID: 4, Restoring: true})
	expect("restoring two", http.StatusServiceUnavailable)
	m.Gone(4)
	expect("restoring one", http.StatusServiceUnavailable)
	m.Partition(stream.PartitionStatus{ID: 3, Lag: 7, StateBytes: 4096})
	expect("restored", http.StatusOK)
}

func TestPartitionsAndTransactionsAreCounted(t *testing.T) {
	m := metrics.New()
	m.Partition(stream.PartitionStatus{ID: 3, Lag: 7, StateBytes: 4096})
	m.Partition(stream.PartitionStatus{ID: 4, Restoring: true, Restored: 10, Remaining: 5})
	m.Partition(stream.PartitionStatus{ID: 5, Lag: 1})
	m.Gone(5)
	m.Ended("committed")
	m.Ended("rebalance")
	_, body := get(t, m, "/metrics")
	for _, line := range []string{
		`stackjoin_partition_lag_records{partition="3"} 7`, `stackjoin_partition_state_bytes{partition="3"} 4096`,
		`stackjoin_partition_restoring{partition="4"} 1`, `stackjoin_partition_restore_remaining_records{partition="4"} 5`,
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
