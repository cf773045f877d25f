package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// tableRow is a row of a query named after its table.
func tableRow(t failer, table, columns string) (*event.Row, *event.Lens) {
	t.Helper()
	row := new(event.Row)
	if err := row.Parse([]byte(`{"name":"` + table + `","unixTime":1760000100,"columns":` + columns + `,"action":"added"}`)); err != nil {
		t.Fatalf("%v", err)
	}
	return row, event.NewLenses().Find(row)
}

// Columns are those of osquery 5.23's specs and of EclecticIQ's extension.
func TestLensesOfTablesWithoutRealRows(t *testing.T) {
	for _, test := range []struct {
		table, columns string
		kind           event.Kind
		inventory      bool
		want           answers
	}{
		{"process_etw_events", `{"type":"ProcessStop","pid":"4711","ppid":"8","session_id":"1","flags":"0","exit_code":"-1073741510","path":"C:\\x.exe","cmdline":"x","username":"DOM\\u","token_elevation_type":"","token_elevation_status":"0","mandatory_label":"","datetime":"1760000000"}`,
			event.Process, false, answers{event.PID: "4711", event.ParentPID: "8", event.Path: `C:\x.exe`, event.UserName: `DOM\u`, event.ExitCode: "-1073741510", event.Syscall: "ProcessStop", event.ProcessGUID: "-"}},
		{"win_process_events", `{"action":"PROC_CREATE","eid":"8C7E-1","pid":"7","process_guid":"G1","path":"C:\\x.exe","cmdline":"x","parent_pid":"4","parent_process_guid":"G0","parent_path":"C:\\p.exe","owner_uid":"DOM\\u","time":"1760000000","utc_time":"x"}`,
			event.Process, false, answers{event.ProcessGUID: "G1", event.ParentGUID: "G0", event.ParentPID: "4", event.ParentPath: `C:\p.exe`, event.UserName: `DOM\u`, event.EID: "-", event.Time: "1760000000"}},
		{"win_socket_events", `{"event_type":"socket","action":"connect","eid":"x","time":"1760000000","pid":"7","process_guid":"G1","process_name":"C:\\x.exe","family":"IPv4","protocol":"6","local_address":"10.0.0.1","remote_address":"192.0.2.1","local_port":"4000","remote_port":"443"}`,
			event.Socket, false, answers{event.Path: `C:\x.exe`, event.ProcessGUID: "G1", event.LocalPort: "4000", event.RemoteAddress: "192.0.2.1", event.EID: "-"}},
		{"win_dns_events", `{"event_type":"dns","action":"query","eid":"x","domain_name":"a.example","request_type":"1","request_class":"1","pid":"7","remote_address":"10.0.0.2","remote_port":"53","time":"1760000000"}`,
			event.DNS, false, answers{event.Domain: "a.example", event.QueryType: "1", event.Answer: "-", event.RemoteAddress: "10.0.0.2"}},
		{"win_dns_response_events", `{"event_type":"dns","action":"answer","domain_name":"a.example","request_type":"1","request_class":"1","pid":"7","remote_address":"10.0.0.2","remote_port":"53","resolved_ip":"192.0.2.1","time":"1760000000"}`,
			event.DNS, false, answers{event.Domain: "a.example", event.Answer: "192.0.2.1"}},
		{"win_http_events", `{"event_type":"http","action":"get","url":"http://a.example/x","pid":"7","process_guid":"G1","process_name":"C:\\x.exe","remote_address":"192.0.2.1","remote_port":"80","time":"1760000000"}`,
			event.HTTP, false, answers{event.URL: "http://a.example/x", event.RequestPath: "-", event.Path: `C:\x.exe`}},
		{"win_ssl_events", `{"event_type":"ssl","action":"connect","subject_name":"CN=a","issuer_name":"CN=b","serial_number":"1","dns_names":"a","ja3_md5":"c81fc162549590f0e836b538fe5bfdd7","ja3s_md5":"15af977ce25de452b96affa2addb1036","pid":"7","process_guid":"G1","process_name":"x","remote_address":"192.0.2.1","remote_port":"443","time":"1760000000"}`,
			event.TLS, false, answers{event.JA3: "c81fc162549590f0e836b538fe5bfdd7", event.JA3S: "15af977ce25de452b96affa2addb1036", event.SNI: "-"}},
		{"ntfs_journal_events", `{"action":"FileRename_NewName","old_path":"C:\\a","path":"C:\\b","record_timestamp":"1759999999","record_usn":"00","node_ref_number":"1","drive_letter":"C","partial":"0","time":"1760000000"}`,
			event.File, false, answers{event.TargetPath: `C:\b`, event.RenamedFrom: `C:\a`, event.PID: "-", event.UID: "-"}},
		{"users", `{"uid":"1000","gid":"1000","username":"ubuntu","directory":"/home/ubuntu","shell":"/bin/bash"}`,
			event.Inventory, true, answers{event.UID: "1000", event.UserName: "ubuntu"}},
		{"mounts", `{"device":"s3fs","path":"/mnt/data","type":"fuse.s3fs","blocks_size":"4096"}`,
			event.Inventory, true, answers{event.Device: "s3fs", event.MountPath: "/mnt/data", event.FileSystem: "fuse.s3fs", event.Path: "-"}},
		{"interface_addresses", `{"interface":"eth0","address":"fe80::1%eth0","mask":"ffff::"}`,
			event.Inventory, true, answers{event.InterfaceName: "eth0", event.InterfaceAddress: "fe80::1%eth0"}},
		{"system_info", `{"hostname":"h","uuid":"U","cpu_brand":"c","hardware_serial":"s"}`, event.Inventory, true, answers{event.HostName: "h", event.HostUUID: "U"}},
		{"uptime", `{"days":"1","hours":"0","minutes":"0","seconds":"5","total_seconds":"86405"}`, event.Inventory, true, answers{event.Uptime: "86405"}},
		{"docker_containers", `{"id":"d0c","name":"/web","image":"nginx","image_id":"sha256:1","command":"nginx","pid":"4242"}`,
			event.Inventory, true, answers{event.ContainerID: "d0c", event.ContainerName: "/web", event.ContainerImage: "nginx", event.PID: "4242"}},
		{"ec2_instance_metadata", `{"instance_id":"i-1","region":"eu-west-1","account_id":"111122223333","ami_id":"ami-1","iam_arn":"arn:aws:iam::1:instance-profile/r","local_ipv4":"10.0.0.1"}`,
			event.Inventory, true, answers{event.InstanceID: "i-1", event.AccountID: "111122223333", event.Region: "eu-west-1", event.ImageID: "ami-1", event.InterfaceAddress: "10.0.0.1"}},
		{"ec2_instance_tags", `{"instance_id":"i-1","key":"Name","value":"web"}`, event.Inventory, true, answers{event.TagKey: "Name", event.TagValue: "web"}},
		{"chrome_extensions", `{"browser_type":"chrome","uid":"501","identifier":"abcdefghijklmnop","version":"1","path":"/x"}`,
			event.Inventory, true, answers{event.ExtensionID: "abcdefghijklmnop", event.UID: "501", event.Path: "-"}},
	} {
		for _, query := range []string{test.table, "q"} { // by its name, and by its columns alone
			row, lens := tableRow(t, query, test.columns)
			if lens.Table != test.table || lens.Kind != test.kind || lens.Inventory != test.inventory {
				t.Errorf("%s as %q is read as %q, %s, inventory %v", test.table, query, lens.Table, lens.Kind, lens.Inventory)
				continue
			}
			for field, want := range test.want {
				if got := answer(row, lens, field); got != want {
					t.Errorf("%s: %s is %q, want %q", test.table, field, got, want)
				}
			}
		}
	}
}

// What osquery 5.23 writes on Linux, and what must not be made of it.
func TestTrapsOfRealColumns(t *testing.T) {
	row, lens := tableRow(t, "bpf_socket_events", `{"syscall":"connect","pid":"9","remote_address":"::ffff:192.0.2.1","remote_port":"443","local_address":"","local_port":"0","exit_code":"18446744073709551501","fd":"106","probe_error":"0","ntime":"692196940063927"}`)
	code, _ := row.Column(lens.Column(event.ExitCode))
	if n, ok := code.ExitStatus(); !ok || n != -115 {
		t.Errorf("the exit code 2⁶⁴-115 is %d, want -115 (EINPROGRESS)", n)
	}
	if at, ok := lens.Time(row); ok {
		t.Errorf("ntime, which counts from boot, became the time %s", at)
	}
	if local := answer(row, lens, event.LocalAddress); local != "" {
		t.Errorf("the local address is %q, want none", local)
	}
	row, lens = tableRow(t, "socket_events", `{"action":"connect","auid":"4294967295","fd":"ffffff9c","pid":"-1","remote_address":"192.0.2.1","remote_port":"443","status":"in_progress","protocol":"0","time":"1760000000"}`)
	if got := answer(row, lens, event.Outcome); got != "in_progress" {
		t.Errorf("the outcome is %q", got)
	}
	if fd, _ := row.Column("fd"); fd.Raw == nil || hasInt(fd) {
		t.Error("a hexadecimal file descriptor is read as a decimal number")
	}
	pid, _ := row.Column("pid")
	if n, ok := pid.Int(); !ok || n != -1 {
		t.Errorf("pid is %d", n)
	}
	row, lens = tableRow(t, "file_events", `{"target_path":"/tmp/x","action":"CREATED","category":"c","uid":"1000","time":"1760000000"}`)
	if got := answer(row, lens, event.UID); got != "-" {
		t.Errorf("who owns the file is taken for who touched it: %q", got)
	}
	row, lens = tableRow(t, "process_events", `{"pid":"9","path":"/usr/sbin/sshd","parent":"1","syscall":"clone","time":"1760000000","cmdline":"","auid":"1000","euid":"0","uptime":"77"}`)
	if answer(row, lens, event.Syscall) != "clone" || answer(row, lens, event.Uptime) != "77" || answer(row, lens, event.EffectiveUID) != "0" {
		t.Errorf("a clone row does not say what it is: %s", row.Raw)
	}
}

func hasInt(v event.Value) bool {
	_, ok := v.Int()
	return ok
}

func TestExitStatusOfAnyWidth(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "-1": -1, "137": 137, "3221225786": 3221225786, "18446744073709551615": -1, "9223372036854775808": -9223372036854775808} {
		if n, ok := (event.Value{Raw: []byte(text)}).ExitStatus(); !ok || n != want {
			t.Errorf("%s is %d, want %d", text, n, want)
		}
	}
	for _, text := range []string{"", "x", "18446744073709551616", "-", "1.5"} {
		if n, ok := (event.Value{Raw: []byte(text)}).ExitStatus(); ok {
			t.Errorf("%q is %d, want nothing", text, n)
		}
	}
}

func TestTimesOfEveryUnit(t *testing.T) {
	for _, test := range []struct {
		text string
		unit event.TimeUnit
		want string
	}{
		{"1760000000", event.Seconds, "2025-10-09T08:53:20Z"}, {"1760000000.000000001", event.Seconds, "2025-10-09T08:53:20.000000001Z"},
		{"1588205199.82437", event.Seconds, "2020-04-30T00:06:39.82437Z"}, {"1760000000.5000000000", event.Seconds, "2025-10-09T08:53:20.5Z"},
		{"1760000000250", event.Milliseconds, "2025-10-09T08:53:20.25Z"}, {"1760000000000001", event.Microseconds, "2025-10-09T08:53:20.000001Z"},
		{"1760000000000000001", event.Nanoseconds, "2025-10-09T08:53:20.000000001Z"}, {"134044736000000001", event.FileTime, "2025-10-09T08:53:20.0000001Z"},
		{"2022-02-08T09:40:31.064321-0500", event.RFC3339, "2022-02-08T14:40:31.064321Z"}, {"2023-05-23T14:34:44.5348633Z", event.RFC3339, "2023-05-23T14:34:44.5348633Z"},
		{"2023-05-23T14:34:44+02:00", event.RFC3339, "2023-05-23T12:34:44Z"},
		{"0", event.Seconds, ""}, {"-5", event.Seconds, ""}, {"", event.Seconds, ""}, {"1e9", event.Seconds, ""}, {"1.", event.Seconds, "1970-01-01T00:00:01Z"},
		{"1.-5", event.Seconds, ""}, {"99999999999999999", event.Seconds, ""}, {"1760000000", event.RFC3339, ""}, {"1", event.FileTime, ""},
		{"now", event.RFC3339, ""}, {"9223372036854775807", event.Milliseconds, ""},
	} {
		got := ""
		if at, ok := (event.Value{Raw: []byte(test.text), String: true}).Time(test.unit); ok {
			got = at.Format(time.RFC3339Nano)
		}
		if got != test.want {
			t.Errorf("%q in %s is %q, want %q", test.text, event.TimeUnitNames()[test.unit], got, test.want)
		}
	}
}

// osquery leaves `time` of the ETW tables out of SELECT *.
func TestATableTellsItsTimeByTheFirstColumnThatHasOne(t *testing.T) {
	const rest = `"pid":"1","path":"x","type":"ProcessStart"}`
	for columns, want := range map[string]int64{
		`{"time":"1760000001","datetime":"1760000002","time_windows":"134044736030000000",` + rest: 1760000001,
		`{"time":"","datetime":"1760000002","time_windows":"134044736030000000",` + rest:           1760000002,
		`{"datetime":"2025-10-09T08:53:24Z","time_windows":"134044736030000000",` + rest:           1760000004,
		`{"datetime":"-","time_windows":"134044736030000000",` + rest:                              1760000003,
	} {
		row, lens := tableRow(t, "process_etw_events", columns)
		if at, ok := lens.Time(row); !ok || at.Unix() != want {
			t.Errorf("%s is of %s, want %d", columns, at, want)
		}
	}
}

func TestFieldsHaveOneNameEach(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range event.FieldNames() {
		f, ok := event.FieldNamed(name)
		if name == "" || seen[name] || !ok || f.String() != name {
			t.Errorf("field %d is called %q", f, name)
		}
		seen[name] = true
	}
	if _, ok := event.FieldNamed(""); ok {
		t.Error("no name is a field")
	}
}

func TestContainerOfControlGroups(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for path, want := range map[string]string{
		"/docker/" + id: id, "/system.slice/docker-" + id + ".scope": id, "/ecs/0123456789abcdef0123456789abcdef/" + id: id,
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a2b_3c.slice/cri-containerd-" + id + ".scope": id,
		"/kubepods/burstable/pod1a2b/" + id + "/init.scope":                                                            id, "/user.slice/user-1000.slice": "", "": "", id + "0": "", "/" + id[1:]: "",
	} {
		if got, ok := event.ContainerOf([]byte(path)); string(got) != want || ok != (want != "") {
			t.Errorf("%s is container %q, want %q", path, got, want)
		}
	}
}
