package extension_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/osquery/osquery-go"
	gen "github.com/osquery/osquery-go/gen/osquery"
	"github.com/osquery/osquery-go/plugin/table"

	"github.com/stackjoin/stackjoin/internal/extension"
)

// testTable is a table with the given rows.
func testTable(rows func(context.Context) []map[string]string) *extension.Table {
	return &extension.Table{
		Name:    "facts",
		Columns: []extension.Column{{Name: "word", Type: extension.ColumnText}, {Name: "n", Type: extension.ColumnBigint}},
		Rows:    rows,
	}
}

func withTable(rows func(context.Context) []map[string]string) func(*extension.Config) {
	return func(c *extension.Config) { c.Table = testTable(rows) }
}

func TestTheTableIsServedBesideTheLogger(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	want := []map[string]string{{"word": "é", "n": "1"}, {"word": "", "n": "2"}}
	r := run(t, socket, withTable(func(context.Context) []map[string]string { return want }))
	activate(t, d)
	columns, err := d.TableColumns(t.Context(), "facts")
	wantColumns := []map[string]string{{"id": "column", "name": "word", "type": "TEXT", "op": "0"}, {"id": "column", "name": "n", "type": "BIGINT", "op": "0"}}
	if err != nil || !reflect.DeepEqual(columns, wantColumns) {
		t.Errorf("columns %v, %v", columns, err)
	}
	rows, err := d.TableRows(t.Context(), "facts")
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("rows %v, %v", rows, err)
	}
	if err := d.LogString(t.Context(), "a row"); err != nil {
		t.Error(err)
	}
	if n := r.counters.Accepted.Load(); n != 1 {
		t.Errorf("%d calls were accepted: table requests are none", n)
	}
	d.Forget()
	activate(t, d)
	if rows, err := d.TableRows(t.Context(), "facts"); err != nil || len(rows) != 2 {
		t.Errorf("after a new registration: %v, %v", rows, err)
	}
}

// The columns are compared with what osquery-go's table plugin tells of the same.
func TestColumnsAreToldAsOsqueryGoTellsThem(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	run(t, socket, withTable(func(context.Context) []map[string]string { return nil }))
	activate(t, d)
	columns, err := d.TableColumns(t.Context(), "facts")
	theirs := table.NewPlugin("facts", []table.ColumnDefinition{table.TextColumn("word"), table.BigIntColumn("n")}, nil).Routes()
	if err != nil || !reflect.DeepEqual(gen.ExtensionPluginResponse(columns), theirs) {
		t.Errorf("columns %v, %v; osquery-go has %v", columns, err, theirs)
	}
}

func TestATableThatFailsIsEmpty(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	rows := map[string]func() []map[string]string{
		"panic": func() []map[string]string { panic("a defect") },
		"nil":   func() []map[string]string { return nil },
	}
	var mu sync.Mutex
	kind := ""
	r := run(t, socket, withTable(func(context.Context) []map[string]string {
		mu.Lock()
		defer mu.Unlock()
		return rows[kind]()
	}))
	activate(t, d)
	for name := range rows {
		mu.Lock()
		kind = name
		mu.Unlock()
		if got, err := d.TableRows(t.Context(), "facts"); err != nil || len(got) != 0 {
			t.Errorf("%s: got %v, %v; want no rows", name, got, err)
		}
		if err := d.LogString(t.Context(), name); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	if got := r.payloads(extension.StreamResults); len(got) != 2 {
		t.Errorf("accepted %q", got)
	}
}

func TestATableThatHangsHoldsUpNoCall(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	entered := make(chan struct{})
	r := run(t, socket, withTable(func(ctx context.Context) []map[string]string {
		close(entered)
		<-ctx.Done()
		return nil
	}))
	activate(t, d)
	asked := make(chan error)
	go func() {
		_, err := d.TableRows(context.Background(), "facts")
		asked <- err
	}()
	<-entered
	for range 20 {
		if err := d.LogString(t.Context(), "beside"); err != nil {
			t.Fatal(err)
		}
	}
	r.stop() // its context ends with the stop, at the latest after its own limit
	if err := <-asked; err != nil {
		t.Errorf("the hanging table got no answer: %v", err)
	}
	r.ends()
}

func TestOtherTablesAndActionsAreRefused(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	run(t, socket, withTable(func(context.Context) []map[string]string { return []map[string]string{{"n": "1"}} }))
	activate(t, d)
	uuid, _ := d.UUID()
	for _, request := range []struct{ registry, item, action string }{
		{"table", "other", "generate"}, {"table", "facts", "insert"}, {"table", "facts", ""}, {"config", "facts", "genConfig"},
	} {
		response, err := rawClient(t, fmt.Sprintf("%s.%d", socket, uuid)).Call(t.Context(), request.registry, request.item, gen.ExtensionPluginRequest{"action": request.action})
		if err != nil || response.Status.Code == 0 || len(response.Response) != 0 {
			t.Errorf("%v was answered with %v, %v", request, response, err)
		}
	}
}

// lockedText is a writer that can be read meanwhile.
type lockedText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Another extension has a table of this name: the logger registers all the same,
// says so once, and offers the table again with its next registration.
func TestATakenTableNameLeavesTheLogger(t *testing.T) {
	socket := socketPath(t)
	d := daemon(t, socket)
	taken, err := osquery.NewExtensionManagerServer("other", socket, osquery.ServerTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	taken.RegisterPlugin(table.NewPlugin("facts", nil, func(context.Context, table.QueryContext) ([]map[string]string, error) {
		return []map[string]string{{"word": "theirs"}}, nil
	}))
	ended := make(chan error, 1)
	go func() { ended <- taken.Start() }()
	eventually(t, "the other extension serves its table", func() bool {
		rows, err := d.TableRows(t.Context(), "facts")
		return err == nil && len(rows) == 1
	})

	var said lockedText
	r := run(t, socket, func(c *extension.Config) {
		c.Table = testTable(func(context.Context) []map[string]string { return []map[string]string{{"word": "ours"}} })
		c.Log = slog.New(slog.NewTextHandler(&said, nil))
	})
	for range 3 {
		activate(t, d)
		if err := d.LogString(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if rows, err := d.TableRows(t.Context(), "facts"); err != nil || rows[0]["word"] != "theirs" {
			t.Fatalf("the other's table: %v, %v", rows, err)
		}
		before := r.counters.Registrations.Load()
		d.ForgetLogger()
		eventually(t, "it registers again", func() bool { return r.counters.Registrations.Load() > before })
	}
	if n := strings.Count(said.String(), "refuses the table"); n != 1 {
		t.Errorf("told %d times:\n%s", n, said.String())
	}
	if err := taken.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the table is served once its name is free", func() bool {
		d.ForgetLogger()
		activate(t, d)
		rows, err := d.TableRows(t.Context(), "facts")
		return err == nil && len(rows) == 1 && rows[0]["word"] == "ours"
	})
}
