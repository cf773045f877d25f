package event_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// socketRow is what osquery 5.23 logs for one connect on Linux, as shipped.
const socketRow = `{"name":"pack_linux_socket_events","hostIdentifier":"ip-10-0-3-17","calendarTime":"Mon Nov 23 10:11:20 2026 UTC","unixTime":1795428680,` +
	`"epoch":0,"counter":57,"numerics":false,"decorations":{"host_uuid":"48754d56-277e-7cb6-dd7b-f58673f0c7fd","username":"develop"},` +
	`"columns":{"action":"connect","auid":"1000","eid":"0000012345","family":"2","fd":"3","local_address":"","local_port":"0","path":"/usr/bin/curl",` +
	`"pid":"30219","protocol":"0","remote_address":"198.51.100.23","remote_port":"443","status":"in_progress","success":"1","time":"1795428671","uptime":"86400"},` +
	`"action":"added","delivery":{"agent":"6f1c9b1e-7d5c-4c55-9d6e-000000000001","run":"00ff00ff00ff00ff","seq":1042,"row":17,"rows":100,` +
	`"prev":"00ff00ff00ff00ff/1040","spooled":"2026-11-23T10:11:20.305Z"}}`

func TestRowParseAllocatesNothing(t *testing.T) {
	raw := []byte(socketRow)
	finder := event.NewFinder(event.NewLenses())
	var row event.Row
	buffer := make([]byte, 0, 64)
	allocs := testing.AllocsPerRun(100, func() {
		if row.Parse(raw) != nil || !row.Delivered || row.Delivery.Seq != 1042 || row.Delivery.Spooled.IsZero() {
			t.Fatal("the row is not read")
		}
		lens := finder.Find(&row)
		pid, _ := row.Column(lens.Column(event.PID))
		remote, _ := row.Column(lens.Column(event.RemoteAddress))
		local, _ := row.Column(lens.Column(event.LocalAddress))
		buffer = remote.AppendText(buffer[:0])
		n, _ := pid.Int()
		if _, ok := local.Int(); ok || n != 30219 || string(buffer) != "198.51.100.23" {
			t.Fatalf("pid %d, address %s", n, buffer)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per row, want 0", allocs)
	}
}

func TestAppendRowAllocatesNothing(t *testing.T) {
	rows, err := event.SplitResult([]byte(batch(4)))
	if err != nil {
		t.Fatal(err)
	}
	d := event.Delivery{Agent: "a", Run: "r", Prev: "r/0"}
	buffer := make([]byte, 0, 4096)
	if allocs := testing.AllocsPerRun(100, func() {
		for i := range rows.Records() {
			buffer = event.AppendDelivery(rows.AppendRow(buffer[:0], i), &d)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations per call, want 0", allocs)
	}
}

// batch is a call of n rows.
func batch(n int) string {
	_, columns, _ := strings.Cut(socketRow, `"columns":`)
	columns, _, _ = strings.Cut(columns, `,"action":"added"`)
	head, _, _ := strings.Cut(socketRow, `,"columns":`)
	return `{"diffResults":{"removed":[],"added":[` + strings.TrimSuffix(strings.Repeat(columns+",", n), ",") + `]},` + head[1:] + `}`
}

// BenchmarkSplitResult reads a call of 100 rows and writes each as it is
// shipped. The yardstick decodes and encodes the same with encoding/json.
func BenchmarkSplitResult(b *testing.B) {
	payload := []byte(batch(100))
	d := event.Delivery{Agent: "6f1c9b1e-7d5c-4c55-9d6e-000000000001", Run: "00ff00ff00ff00ff", Rows: 100, Prev: "00ff00ff00ff00ff/1040"}
	b.Run("event", func(b *testing.B) {
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		var out []byte
		for b.Loop() {
			rows, err := event.SplitResult(payload)
			if err != nil {
				b.Fatal(err)
			}
			for i := range rows.Records() {
				d.Row = i
				out = event.AppendDelivery(rows.AppendRow(out[:0], i), &d)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		for b.Loop() {
			if err := splitWithEncodingJSON(payload, &d); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func splitWithEncodingJSON(payload []byte, d *event.Delivery) error {
	var call struct {
		DiffResults struct{ Removed, Added []json.RawMessage }
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(payload, &call); err != nil {
		return err
	}
	if err := json.Unmarshal(payload, &members); err != nil {
		return err
	}
	delete(members, "diffResults")
	members["action"] = json.RawMessage(`"added"`)
	for i, columns := range call.DiffResults.Added {
		d.Row = i
		members["columns"] = columns
		delivery, err := json.Marshal(d)
		if err != nil {
			return err
		}
		members["delivery"] = delivery
		if _, err := json.Marshal(members); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkRowParse reads one shipped row and asks it for its process. The
// yardstick decodes it with encoding/json into a struct and a map of columns.
func BenchmarkRowParse(b *testing.B) {
	raw := []byte(socketRow)
	b.Run("event", func(b *testing.B) {
		finder := event.NewFinder(event.NewLenses())
		var row event.Row
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if err := row.Parse(raw); err != nil {
				b.Fatal(err)
			}
			if v, _ := row.Column(finder.Find(&row).Column(event.PID)); v.Empty() {
				b.Fatal("no pid")
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			var row struct {
				Name, HostIdentifier, Action string
				UnixTime                     int64
				Columns, Decorations         map[string]string
				Delivery                     event.Delivery
			}
			if err := json.Unmarshal(raw, &row); err != nil {
				b.Fatal(err)
			}
			if row.Columns["pid"] == "" {
				b.Fatal("no pid")
			}
		}
	})
}

const zeekConn = `{"ts":1588205199.82437,"uid":"Cvf4XX17hSAgXDdGEd","id.orig_h":"10.0.1.6","id.orig_p":54243,"id.resp_h":"10.0.0.4","id.resp_p":53,` +
	`"proto":"udp","service":"dns","duration":0.0015,"orig_bytes":39,"resp_bytes":55,"conn_state":"SF","missed_bytes":0,"history":"Dd"}`

const suricataTLS = `{"timestamp":"2022-02-08T09:40:36.193989-0500","flow_id":1114937978308504,"event_type":"tls","src_ip":"10.2.8.102","src_port":49738,` +
	`"dest_ip":"204.79.197.200","dest_port":443,"proto":"TCP","tls":{"subject":"CN=a","sni":"www.example.com","ja3":{"hash":"6271f898ce5be7dd52b0fc260d0662b3"}}}`

func TestParseSensorAllocatesNothing(t *testing.T) {
	finder := event.NewFinder(event.NewLenses())
	var row event.Row
	for _, raw := range [][]byte{[]byte(zeekConn), []byte(suricataTLS)} {
		if allocs := testing.AllocsPerRun(100, func() {
			if row.ParseSensor(raw) != nil {
				t.Fatal("the record is not read")
			}
			lens := finder.Find(&row)
			uid, _ := row.Column(lens.Column(event.ConnectionUID))
			if _, ok := lens.Time(&row); !ok || uid.Empty() {
				t.Fatal("the record is not understood")
			}
		}); allocs != 0 {
			t.Errorf("%v allocations per record, want 0: %s", allocs, raw)
		}
	}
}

// BenchmarkFind finds the lens of a row that was seen before.
func BenchmarkFind(b *testing.B) {
	finder := event.NewFinder(event.NewLenses())
	var row event.Row
	if err := row.Parse([]byte(socketRow)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if finder.Find(&row).Kind != event.Socket {
			b.Fatal("not found")
		}
	}
}

// BenchmarkParseSensor reads a record, finds its lens and its time.
func BenchmarkParseSensor(b *testing.B) {
	finder := event.NewFinder(event.NewLenses())
	for name, raw := range map[string][]byte{"zeek": []byte(zeekConn), "suricata": []byte(suricataTLS)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			var row event.Row
			for b.Loop() {
				if err := row.ParseSensor(raw); err != nil {
					b.Fatal(err)
				}
				if _, ok := finder.Find(&row).Time(&row); !ok {
					b.Fatal("no time")
				}
			}
		})
	}
}
