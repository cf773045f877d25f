package extension

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"
)

// tableTimeout bounds one generation of a table: the query that asked for it, and
// with it osqueryd's scheduler, waits that long.
const tableTimeout = 5 * time.Second

// Types of a table's columns, as osquery's SQL has them.
const (
	ColumnText    = "TEXT"
	ColumnInteger = "INTEGER"
	ColumnBigint  = "BIGINT"
	ColumnDouble  = "DOUBLE"
)

// Column is one column of a table.
type Column struct {
	Name string
	Type string // ColumnText and its like
}

// Table is a table that osqueryd can query beside the logger. The logger does not
// depend on it: where osqueryd refuses the table, the logger is registered alone.
type Table struct {
	// Name and Columns must not be changed once Run has been given them.
	Name    string
	Columns []Column
	// Rows returns what the table holds now, values by column name. It is called
	// from many goroutines at once, must return soon after ctx has ended, and gives
	// the rows away. A panic in it is logged, and the answer has no rows.
	Rows func(ctx context.Context) []map[string]string
}

// routes describes the columns as osquery's own table plugins do; op 0 means that
// a column has no options.
func (t *Table) routes() osquery.ExtensionPluginResponse {
	list := make(osquery.ExtensionPluginResponse, 0, len(t.Columns))
	for _, c := range t.Columns {
		list = append(list, map[string]string{"id": "column", "name": c.Name, "type": c.Type, "op": "0"})
	}
	return list
}

// callTable answers one request to the table.
func (p *plugin) callTable(ctx context.Context, item string, request osquery.ExtensionPluginRequest) *osquery.ExtensionResponse {
	if p.table == nil || item != p.table.Name {
		return refuse("Unknown table: " + item)
	}
	switch request["action"] {
	case "columns":
		return succeed(p.table.routes())
	case "generate":
		return succeed(p.rows(ctx))
	default:
		return refuse("Unknown action of a table: " + request["action"])
	}
}

// rows asks the table for its rows. An error answered to a query says less than a
// table without rows, and the log says why there are none.
func (p *plugin) rows(ctx context.Context) (rows osquery.ExtensionPluginResponse) {
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			rows = osquery.ExtensionPluginResponse{}
			if n, ok := p.warn.Allow("table"); ok {
				p.log.Error("panic while filling a table", "table", p.table.Name, "panic", fmt.Sprint(cause),
					"stack", string(debug.Stack()), "suppressed", n)
			}
		}
	}()
	return append(osquery.ExtensionPluginResponse{}, p.table.Rows(ctx)...)
}

func succeed(rows osquery.ExtensionPluginResponse) *osquery.ExtensionResponse {
	return &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Message: "OK"}, Response: rows}
}

func refuse(why string) *osquery.ExtensionResponse {
	return &osquery.ExtensionResponse{
		Status:   &osquery.ExtensionStatus{Code: 1, Message: why},
		Response: osquery.ExtensionPluginResponse{},
	}
}
