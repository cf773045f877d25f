package loggerstat

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// secret stands for a text that metrics must not show.
const secret = "hunter2"

// full is a snapshot in which every field is set.
func full() Snapshot {
	at := time.Unix(1_760_000_000, 0)
	return Snapshot{
		Version: "1.2.3", ConfigHash: "abc", ConfigState: ConfigOK, Agent: "agent-uuid", Run: "00112233aabbccdd",
		Registered: true, RegisteredSince: at, Registrations: 2, Absences: 1,
		CallsAccepted: 10, CallsFailed: 3, SpoolBytes: 4096, WaitingCalls: 4, WaitingBytes: 400, Oldest: time.Now().Add(-time.Minute),
		HeldCalls: 5, HeldBytes: 50, UnwritableSince: at, UnwritableWhy: "EROFS " + secret,
		Lost:  map[string]Lost{"full": {Calls: 7, Bytes: 70}, "damaged": {Calls: 1, Bytes: 2}},
		Syncs: 100, SyncLast: 3 * time.Millisecond, SyncTotal: time.Second,
		ShippingState: ShippingHeld, ShippingSince: at, ShippingWhy: "no topic " + secret, FailingSince: at,
		SentRecords: 1000, SentBytes: 9999, SendFailures: 6, Retries: 8, LastSend: at, AckLag: 1500 * time.Millisecond,
		DeadLetters: map[string]uint64{"not_json": 2}, Markers: 9, LastError: "broke\nfor " + secret, LastErrorTime: at,
	}
}

// healthy is a snapshot with nothing to complain about.
func healthy() Snapshot {
	return Snapshot{Version: "1", ConfigState: ConfigOK, Registered: true, ShippingState: ShippingRunning}
}

func get(t *testing.T, s Snapshot, path string) *httptest.ResponseRecorder {
	t.Helper()
	answer := httptest.NewRecorder()
	Handler(func() Snapshot { return s }).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer
}

// A field that is added to Snapshot must be set above, or the tests below do not
// see it.
func TestFullIsFull(t *testing.T) {
	v := reflect.ValueOf(full())
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not set", v.Type().Field(i).Name)
		}
	}
}

// samples parses a page of metrics into values by "name{label=value}".
func samples(t *testing.T, page io.Reader) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(page)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			key := name
			if len(labels) > 0 {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.GetSummary() != nil:
				all[key+"_sum"], all[key+"_count"] = m.GetSummary().GetSampleSum(), float64(m.GetSummary().GetSampleCount())
			case m.GetCounter() != nil:
				all[key] = m.GetCounter().GetValue()
			default:
				all[key] = m.GetGauge().GetValue()
			}
		}
	}
	return all
}

func TestMetricsTellTheSnapshot(t *testing.T) {
	page := get(t, full(), "/metrics").Body.String()
	got := samples(t, strings.NewReader(page))
	for name, want := range map[string]float64{
		"info{agent=agent-uuid,config_hash=abc,version=1.2.3}": 1,
		"config_state{state=ok}":                               1, "config_state{state=last_good}": 0, "config_state{state=none}": 0,
		"registered": 1, "registrations_total": 2, "absences_total": 1,
		"calls_accepted_total": 10, "calls_failed_total": 3, "spool_bytes": 4096, "waiting_calls": 4, "waiting_bytes": 400,
		"held_calls": 5, "held_bytes": 50, "spool_writable": 0,
		"dropped_calls_total{reason=full}": 7, "dropped_bytes_total{reason=full}": 70, "dropped_calls_total{reason=damaged}": 1, "dropped_bytes_total{reason=damaged}": 2,
		"sync_seconds_sum": 1, "sync_seconds_count": 100, "sync_last_seconds": 0.003,
		"shipping_state{state=held}": 1, "shipping_state{state=running}": 0, "shipping_state{state=off}": 0,
		"sent_records_total": 1000, "sent_bytes_total": 9999, "send_failures_total": 6, "retries_total": 8,
		"last_send_timestamp_seconds": 1_760_000_000, "acknowledgement_lag_seconds": 1.5,
		"dead_letters_total{reason=not_json}": 2, "markers_total": 9,
	} {
		if v, ok := got["stackjoin_logger_"+name]; !ok || v != want {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
	}
	for _, name := range []string{"oldest_age_seconds", "failing_seconds"} {
		if v := got["stackjoin_logger_"+name]; v < 60 {
			t.Errorf("%s is %v", name, v)
		}
	}
	if strings.Contains(page, secret) {
		t.Error("a text that may hold anything is in the metrics")
	}
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, TableName) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// Nothing was known yet: no metric is missing, none is a nonsense number.
func TestMetricsOfNothing(t *testing.T) {
	for name, v := range samples(t, get(t, Snapshot{}, "/metrics").Body) {
		if strings.HasPrefix(name, TableName) && v != 0 && !strings.Contains(name, "info{") && !strings.HasSuffix(name, "spool_writable") {
			t.Errorf("%s is %v", name, v)
		}
	}
}

func TestHealthSaysWhatNeedsAHand(t *testing.T) {
	at := time.Unix(1_760_000_000, 0)
	for name, test := range map[string]struct {
		change func(*Snapshot)
		code   int
		words  []string
	}{
		"all is well":     {func(*Snapshot) {}, 200, []string{`"status":"ok"`}},
		"not registered":  {func(s *Snapshot) { s.Registered = false }, 503, []string{"not registered"}},
		"unwritable":      {func(s *Snapshot) { s.UnwritableSince, s.UnwritableWhy = at, "read-only file system" }, 503, []string{"unwritable", "2025-10-09", "read-only"}},
		"last good":       {func(s *Snapshot) { s.ConfigState = ConfigLastGood }, 503, []string{"configuration is wrong"}},
		"no config":       {func(s *Snapshot) { s.ConfigState, s.ShippingState = ConfigNone, ShippingOff }, 503, []string{"nothing is shipped"}},
		"the line held":   {func(s *Snapshot) { s.ShippingState, s.ShippingSince, s.ShippingWhy = ShippingHeld, at, "unknown topic" }, 503, []string{"held since 2025-10-09", "unknown topic"}},
		"off":             {func(s *Snapshot) { s.ShippingState = ShippingOff }, 503, []string{"nothing is shipped"}},
		"broker away":     {func(s *Snapshot) { s.FailingSince, s.LastError = at, "connection refused" }, 200, []string{"failing since 2025-10-09", "connection refused"}},
		"calls dropped":   {func(s *Snapshot) { s.Lost = map[string]Lost{"full": {Calls: 3}} }, 200, []string{"3 calls were dropped"}},
		"several at once": {func(s *Snapshot) { s.Registered, s.ConfigState = false, ConfigLastGood }, 503, []string{"not registered", "configuration is wrong"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			test.change(&s)
			answer := get(t, s, "/healthz")
			if answer.Code != test.code || !json.Valid(answer.Body.Bytes()) {
				t.Errorf("answered %d: %s", answer.Code, answer.Body)
			}
			for _, words := range test.words {
				if !strings.Contains(answer.Body.String(), words) {
					t.Errorf("it does not say %q: %s", words, answer.Body)
				}
			}
		})
	}
}

func TestNothingCanBeChangedOverHTTP(t *testing.T) {
	for path, want := range map[string]int{"/metrics": http.StatusMethodNotAllowed, "/healthz": http.StatusMethodNotAllowed, "/debug/pprof/": http.StatusNotFound} {
		answer := httptest.NewRecorder()
		Handler(healthy).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, path, strings.NewReader("x")))
		if answer.Code != want {
			t.Errorf("POST %s: %d", path, answer.Code)
		}
	}
}

// The table is asked for through osqueryd's socket.
func TestTheTableHasOneRow(t *testing.T) {
	dir, err := os.MkdirTemp("", "sj")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	d, err := osqueryd.Start(osqueryd.Config{Socket: filepath.Join(dir, "em"), Logger: "stackjoin", Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- extension.Run(context.Background(), extension.Config{
			Socket: filepath.Join(dir, "em"), Table: Table(full),
			Accept: func(context.Context, extension.Call) error { return nil },
		})
	}()
	if err := d.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	columns, err := d.TableColumns(t.Context(), TableName)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := d.TableRows(t.Context(), TableName)
	if err != nil || len(rows) != 1 {
		t.Fatalf("rows %v, %v", rows, err)
	}
	checkRow(t, columns, rows[0])
	if err := d.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// checkRow checks a row of full: every value fits its column, and is what it says.
func checkRow(t *testing.T, columns []map[string]string, row map[string]string) {
	t.Helper()
	if len(row) != len(columns) {
		t.Errorf("%d values for %d columns", len(row), len(columns))
	}
	for _, c := range columns {
		value := row[c["name"]]
		_, notInt := strconv.ParseInt(value, 10, 64)
		_, notFloat := strconv.ParseFloat(value, 64)
		if value == "" || c["type"] == "BIGINT" && notInt != nil || c["type"] == "DOUBLE" && notFloat != nil {
			t.Errorf("%s, a %s, is %q", c["name"], c["type"], value)
		}
	}
	for name, want := range map[string]string{
		"version": "1.2.3", "config_hash": "abc", "config_state": "ok", "agent": "agent-uuid", "run": "00112233aabbccdd", "registered": "1",
		"registered_since": "1760000000", "spool_bytes": "4096", "lost_calls": "8", "lost_bytes": "72", "shipping": "held",
		"drops":        `{"damaged":{"calls":1,"bytes":2},"full":{"calls":7,"bytes":70}}`,
		"dead_letters": `{"not_json":2}`, "last_error": "broke for " + secret, "last_error_time": "1760000000", "ack_lag_seconds": "1.500000",
	} {
		if row[name] != want {
			t.Errorf("%s is %q, want %q", name, row[name], want)
		}
	}
}

func TestTheTableOfNothing(t *testing.T) {
	row := Table(func() Snapshot { return Snapshot{} }).Rows(t.Context())[0]
	for name, want := range map[string]string{"drops": "{}", "dead_letters": "{}", "oldest_age_seconds": "0.000000", "last_send": "", "registered": "0"} {
		if row[name] != want {
			t.Errorf("%s is %q, want %q", name, row[name], want)
		}
	}
}

func TestShortTextsAreOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb\x1b[31m": "a b [31m", "\xff": "\uFFFD", "": "",
		strings.Repeat("é", 300): strings.Repeat("é", 256) + "…", "x" + strings.Repeat("é", 300): "x" + strings.Repeat("é", 255) + "…",
	} {
		if got := short(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}
