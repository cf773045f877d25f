package extension

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/stackjoin/stackjoin/internal/logging"
)

// wantStatus is the answer to "features": a bit mask in the place of a status
// code. Bit 1 asks for status lines. Bit 2, not set, would ask for bare rows of
// event tables, without the name of a query or a table.
const wantStatus = 1

// plugin is the logger plugin, and the table where there is one, behind the
// server. It is safe for concurrent use.
type plugin struct {
	accept   Accept
	table    *Table // nil: none
	counters *Counters
	log      *slog.Logger
	warn     logging.Throttle
	// done is closed, and leave called, when osqueryd has asked for a shutdown.
	done  chan struct{}
	leave context.CancelFunc
	once  sync.Once
}

func newPlugin(cfg Config, leave context.CancelFunc) *plugin {
	return &plugin{accept: cfg.Accept, table: cfg.Table, counters: cfg.Counters, log: cfg.Log, done: make(chan struct{}), leave: leave}
}

// call carries one request out. finished tells that nothing refers to the request
// any more.
func (p *plugin) call(ctx context.Context, args *osquery.ExtensionCallArgs) (response *osquery.ExtensionResponse, finished bool) {
	switch args.Registry {
	case "logger":
		status, finished := p.logged(ctx, args.Request)
		return &osquery.ExtensionResponse{Status: status, Response: osquery.ExtensionPluginResponse{}}, finished
	case "table":
		return p.callTable(ctx, args.Item, args.Request), false
	default:
		return refuse("Unknown registry: " + args.Registry), false
	}
}

// logged carries a request to the logger out. Whatever happens to a log call, the
// answer is 0.
func (p *plugin) logged(ctx context.Context, request osquery.ExtensionPluginRequest) (status *osquery.ExtensionStatus, finished bool) {
	wants, c := decode(request)
	switch wants {
	case actionFeatures:
		return &osquery.ExtensionStatus{Code: wantStatus, Message: "OK"}, false
	case actionInit:
		p.log.Info("osqueryd starts to log", "process", request["init"])
		return &osquery.ExtensionStatus{Message: "OK"}, false
	case actionUnknown:
		p.tellUnknown(request)
	}
	finished = p.take(ctx, c) && wants == actionLog
	return &osquery.ExtensionStatus{Message: "OK"}, finished
}

// take hands a call to the accept function and reports what became of it. After a
// panic nobody knows who has the call.
func (p *plugin) take(ctx context.Context, c Call) (returned bool) {
	defer func() {
		if cause := recover(); cause != nil {
			returned = false
			p.counters.Panics.Add(1)
			p.log.Error("panic while accepting a call", "stream", c.Stream, "bytes", len(c.Payload),
				"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
	}()
	if err := p.accept(ctx, c); err != nil {
		p.counters.Failed.Add(1)
		if n, ok := p.warn.Allow("accept"); ok {
			p.log.Error("a call was not accepted", "stream", c.Stream, "bytes", len(c.Payload), "error", err, "suppressed", n)
		}
		return true
	}
	p.counters.Accepted.Add(1)
	return true
}

func (p *plugin) tellUnknown(request osquery.ExtensionPluginRequest) {
	p.counters.Unknown.Add(1)
	if n, ok := p.warn.Allow("unknown"); ok {
		p.log.Warn("a log request of no known form", "keys", slices.Sorted(maps.Keys(request)), "suppressed", n)
	}
}

// shutdown notes that osqueryd wants this extension to leave. It may be called
// more than once.
func (p *plugin) shutdown() {
	p.once.Do(func() {
		close(p.done)
		p.leave()
	})
}
