package loggerstat

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stackjoin/stackjoin/internal/httpserver"
)

// listenAgain is the pause before a port that could not be opened is tried again.
const listenAgain = 10 * time.Second

// Handler answers /metrics and /healthz from a snapshot at each request. snapshot
// is called from many goroutines.
func Handler(snapshot func() Snapshot) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(Collector(snapshot), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { serveHealth(w, snapshot()) })
	return mux
}

// Serve serves Handler on a TCP address until ctx ends; with an empty address it
// returns at once. It starts no logger-ext late and ends none: an address that
// cannot be listened on is told when it begins to fail, and tried again every ten
// seconds.
func Serve(ctx context.Context, listen string, snapshot func() Snapshot, log *slog.Logger) {
	if listen != "" {
		serve(ctx, listen, Handler(snapshot), log, listenAgain)
	}
}

func serve(ctx context.Context, listen string, handler http.Handler, log *slog.Logger, again time.Duration) {
	told := ""
	for {
		err := httpserver.Serve(ctx, listen, handler, log)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			log.Error("metrics are not served; trying again", "every", again, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}
