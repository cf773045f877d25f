package osqueryd

import (
	"context"
	"fmt"

	"github.com/osquery/osquery-go/gen/osquery"
)

// everything is the context of a query without a WHERE clause.
const everything = `{"constraints":[]}`

// TableColumns asks the extension behind a table for its columns, each a map with
// name and type.
func (d *Daemon) TableColumns(ctx context.Context, table string) ([]map[string]string, error) {
	return d.callTable(ctx, table, osquery.ExtensionPluginRequest{"action": "columns"})
}

// TableRows asks for all rows of an extension's table, as SELECT * does.
func (d *Daemon) TableRows(ctx context.Context, table string) ([]map[string]string, error) {
	return d.callTable(ctx, table, osquery.ExtensionPluginRequest{"action": "generate", "context": everything})
}

// callTable makes one call. An answer that is not a success is an error, as it is
// to a query.
func (d *Daemon) callTable(ctx context.Context, table string, request osquery.ExtensionPluginRequest) ([]map[string]string, error) {
	response := d.call(ctx, "table", table, request)
	if response.Status.Code != 0 {
		return nil, fmt.Errorf("osqueryd: table %s: status %d: %s", table, response.Status.Code, response.Status.Message)
	}
	return response.Response, nil
}
