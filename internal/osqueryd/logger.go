package osqueryd

import (
	"context"

	"github.com/osquery/osquery-go/gen/osquery"
)

// maxAnswers bounds what Answers remembers.
const maxAnswers = 4096

// Answer is what came back from one logger call.
type Answer struct {
	Request string // the request's kind: string, snapshot, status, event, init, features, other
	Code    int
	Message string
}

// Call makes one logger call with any request and returns what osqueryd would see:
// the extension's status, or status 1 with osqueryd's own message when there was no
// answer.
func (d *Daemon) Call(ctx context.Context, request osquery.ExtensionPluginRequest) Answer {
	status := d.call(ctx, "logger", d.cfg.Logger, request).Status
	answer := Answer{Request: kindOf(request), Code: int(status.Code), Message: status.Message}
	d.record(answer)
	return answer
}

// kindOf names a request in the order in which osquery's plugins look at it.
func kindOf(request osquery.ExtensionPluginRequest) string {
	for _, kind := range []string{"string", "snapshot", "init", "status", "event"} {
		if _, ok := request[kind]; ok {
			return kind
		}
	}
	if request["action"] == "features" {
		return "features"
	}
	return "other"
}

func (d *Daemon) record(a Answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.answers) == maxAnswers {
		d.answers = append(d.answers[:0], d.answers[1:]...)
	}
	d.answers = append(d.answers, a)
}

// Answers returns the last answers, the newest last.
func (d *Daemon) Answers() []Answer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Answer(nil), d.answers...)
}

// LogString logs one result line: a row in event form, or all of a run in batch
// form. Calls that log results must not overlap, as osqueryd's never do. An answer
// that would end osqueryd is an *ExitError.
func (d *Daemon) LogString(ctx context.Context, line string) error {
	return fatal(d.Call(ctx, osquery.ExtensionPluginRequest{"string": line, "category": "event"}))
}

// LogRun logs the rows of one run in event form, one call each. As in osqueryd
// only the last row's answer counts; errors before it go unnoticed.
func (d *Daemon) LogRun(ctx context.Context, lines ...string) error {
	var last error
	for _, line := range lines {
		last = d.LogString(ctx, line)
	}
	return last
}

// LogBatch logs all changes of a run as one line.
func (d *Daemon) LogBatch(ctx context.Context, l Line, removed, added []Row) error {
	return d.LogString(ctx, l.Batch(removed, added))
}

// LogSnapshot logs a snapshot line. An answer that would end osqueryd is an
// *ExitError.
func (d *Daemon) LogSnapshot(ctx context.Context, line string) error {
	return fatal(d.Call(ctx, osquery.ExtensionPluginRequest{"snapshot": line}))
}

// LogStatus logs status lines in one call. It may overlap with the logging of
// results. osqueryd ignores the answer and does not keep the lines.
func (d *Daemon) LogStatus(ctx context.Context, lines ...StatusLine) Answer {
	return d.Call(ctx, osquery.ExtensionPluginRequest{"status": "true", "log": StatusArray(lines)})
}

// fatal turns an answer to a result into osqueryd's end, unless it is a success.
func fatal(a Answer) error {
	if a.Code == 0 {
		return nil
	}
	return exit("Error logging the results of query: %s", a.Message)
}
