package ledger

import (
	"fmt"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
)

// sentence says in plain words what is missing of the host called label.
func sentence(l *finding.Loss, label string) string {
	switch l.Word {
	case "unregistered":
		return fmt.Sprintf("osqueryd of host %s had no way to logger-ext%s: what it logged then is lost.", label, between(l.Since, l.Until))
	case wordRows:
		return fmt.Sprintf("%d rows (%s) of call %d of host %s did not arrive.", l.RowCount, l.Rows, l.To, label)
	case "oversized", "refused":
		return fmt.Sprintf("Row %s of call %d of host %s was %s; a dead letter has it.", l.Rows, l.To, label, l.Word)
	case "unreadable":
		return fmt.Sprintf("Call %d of host %s is no result that can be read; a dead letter has it.", l.To, label)
	}
	return fmt.Sprintf("%s of host %s (run %s)%s: %s.", calls(l), label, l.Run, between(l.Since, l.Until), cause(l))
}

func calls(l *finding.Loss) string {
	switch {
	case l.From == l.To:
		return fmt.Sprintf("Call %d", l.To)
	case l.From == 0:
		return fmt.Sprintf("Call %d and maybe others before it", l.To)
	case l.AtLeast:
		return fmt.Sprintf("Call %d and maybe others from %d on", l.To, l.From)
	}
	return fmt.Sprintf("%d calls from %d to %d", l.Calls, l.From, l.To)
}

func cause(l *finding.Loss) string {
	perhaps := ""
	if l.Possible {
		perhaps = ", perhaps of another topic"
	}
	switch l.Word {
	case "dropped":
		return "dropped by the host, whose spool was full (" + l.Policy + ")" + perhaps
	case "unwritable":
		return "lost on the host, whose disk could not be written" + perhaps
	case "damaged":
		return "lost on the host, whose spool was damaged" + perhaps
	}
	return "did not arrive, and nothing explains it"
}

func between(since, until time.Time) string {
	switch {
	case since.IsZero() && until.IsZero():
		return ""
	case since.IsZero():
		return " before " + stamp(until)
	}
	return " between " + stamp(since) + " and " + stamp(until)
}
