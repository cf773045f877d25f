package event

// Column names and their meaning are those of osquery 5.23's table specs
// (specs/ in its repository) and, for win_*, of EclecticIQ's Windows extension;
// what the tables do not say, no lens answers.

// table starts a lens: kind, then the columns a row must have when its query
// bears the table's name.
func table(name string, kind Kind, named ...string) *Lens {
	return &Lens{Table: name, Kind: kind, named: named}
}

// known sets the columns that tell the table without its name.
func (l *Lens) known(alone ...string) *Lens {
	l.alone = alone
	return l
}

// inventory marks a table of states rather than of happenings.
func (l *Lens) inventory() *Lens {
	l.Inventory = true
	return l
}

// with maps fields to columns. A time is in seconds.
func (l *Lens) with(columns map[Field]string) *Lens {
	for f, name := range columns {
		l.columns[f] = name
		if f == Time {
			l.times = append(l.times, timeColumn{name, Seconds})
		}
	}
	return l
}

// timed adds columns that tell when, for rows without those before.
func (l *Lens) timed(columns ...timeColumn) *Lens {
	l.times = append(l.times, columns...)
	if l.columns[Time] == "" {
		l.columns[Time] = l.times[0].name
	}
	return l
}

func tables() []*Lens {
	return concat(processTables(), windowsProcessTables(), socketTables(), nameTables(), fileTables(), loginTables(), hostTables(), cloudTables())
}

func concat(lists ...[]*Lens) (all []*Lens) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

func processTables() []*Lens {
	owner := map[Field]string{PID: "pid", ParentPID: "parent", Path: "path", CommandLine: "cmdline", UID: "uid", GID: "gid"}
	event := map[Field]string{Time: "time", EID: "eid", WorkingDirectory: "cwd"}
	return []*Lens{
		table("process_events", Process, "pid", "path").known("pid", "parent", "path", "cmdline", "time", "auid").with(owner).with(event).
			with(map[Field]string{AuditUID: "auid", EffectiveUID: "euid", Syscall: "syscall", Uptime: "uptime"}),
		// ntime counts from the host's boot, so it is no time of ours.
		table("bpf_process_events", Process, "pid", "path").known("pid", "parent", "path", "cmdline", "ntime", "probe_error").
			with(owner).with(event).with(map[Field]string{Syscall: "syscall", ExitCode: "exit_code"}),
		table("es_process_events", Process, "pid", "path", "event_type").known("pid", "parent", "path", "event_type", "global_seq_num", "cdhash").
			with(owner).with(event).with(map[Field]string{
			Syscall: "event_type", UserName: "username", EffectiveUID: "euid", ExitCode: "exit_code", ChildPID: "child_pid",
			PIDVersion: "pidversion", ParentPIDVersion: "parent_pidversion",
		}),
		table("processes", Process, "pid").known("pid", "parent", "path", "cmdline", "start_time", "resident_size").with(owner).
			with(map[Field]string{
				StartTime: "start_time", WorkingDirectory: "cwd", UserName: "username", EffectiveUID: "euid", CgroupPath: "cgroup_path",
			}).inventory(),
	}
}

func windowsProcessTables() []*Lens {
	return []*Lens{
		// Its process_sequence_number is no identity: osquery writes the parent's there.
		table("process_etw_events", Process, "pid", "path").known("type", "pid", "ppid", "path", "token_elevation_type", "mandatory_label").
			with(map[Field]string{
				PID: "pid", ParentPID: "ppid", Path: "path", CommandLine: "cmdline", UserName: "username", ExitCode: "exit_code",
				Syscall: "type", EID: "eid", Time: "time",
			}).timed(etwTimes()...),
		// The eid of win_* tables is random: it orders nothing.
		table("win_process_events", Process, "pid", "path").known("pid", "process_guid", "path", "cmdline", "parent_pid", "owner_uid").
			with(map[Field]string{
				PID: "pid", ProcessGUID: "process_guid", Path: "path", CommandLine: "cmdline", ParentPID: "parent_pid",
				ParentGUID: "parent_process_guid", ParentPath: "parent_path", UserName: "owner_uid", Syscall: "action", Time: "time",
			}),
	}
}

// etwTimes are the other columns in which ETW tables tell when: osquery leaves
// `time` out of SELECT *, and writes seconds into datetime.
func etwTimes() []timeColumn {
	return []timeColumn{{"datetime", Seconds}, {"datetime", RFC3339}, {"time_windows", FileTime}}
}

func socketTables() []*Lens {
	ends := map[Field]string{
		PID: "pid", LocalAddress: "local_address", LocalPort: "local_port", RemoteAddress: "remote_address",
		RemotePort: "remote_port", Protocol: "protocol", Family: "family",
	}
	// Tables of states have a path too, but it is that of a unix socket.
	event := map[Field]string{Path: "path", Time: "time", EID: "eid"}
	return []*Lens{
		table("socket_events", Socket, "pid", "remote_address").known("action", "pid", "remote_address", "remote_port", "time").
			with(ends).with(event).with(map[Field]string{Verb: "action", Outcome: "status", AuditUID: "auid", Uptime: "uptime"}),
		table("bpf_socket_events", Socket, "pid", "remote_address").known("syscall", "pid", "remote_address", "remote_port", "probe_error").
			with(ends).with(event).with(map[Field]string{Verb: "syscall", ParentPID: "parent", UID: "uid", ExitCode: "exit_code"}),
		table("win_socket_events", Socket, "pid", "remote_address").known("process_guid", "process_name", "pid", "local_address", "remote_address", "remote_port").
			with(ends).with(map[Field]string{Path: "process_name", ProcessGUID: "process_guid", Verb: "action", Time: "time"}),
		table("process_open_sockets", Socket, "pid", "remote_address").known("pid", "remote_address", "remote_port", "local_port", "state").
			with(ends).with(map[Field]string{Outcome: "state"}).inventory(),
		table("open_sockets", Socket, "pid", "remote_address").with(ends).with(map[Field]string{Outcome: "state"}).inventory(),
		table("listening_ports", Socket, "pid", "port").known("pid", "port", "address", "protocol", "family").
			with(map[Field]string{PID: "pid", LocalAddress: "address", LocalPort: "port", Protocol: "protocol", Family: "family"}).inventory(),
	}
}

func nameTables() []*Lens {
	windows := map[Field]string{PID: "pid", RemoteAddress: "remote_address", RemotePort: "remote_port", Verb: "action", Time: "time"}
	owner := map[Field]string{ProcessGUID: "process_guid", Path: "process_name"}
	// The remote end of a win_dns row is the name server.
	dns := map[Field]string{Domain: "domain_name", QueryType: "request_type"}
	return []*Lens{
		table("dns_lookup_events", DNS, "name").known("name", "type", "type_id", "response", "pid").with(map[Field]string{
			PID: "pid", Path: "path", UserName: "username", Domain: "name", QueryType: "type", Answer: "response", Time: "time", EID: "eid",
			Outcome: "status",
		}).timed(etwTimes()...),
		table("win_dns_events", DNS, "domain_name").known("domain_name", "request_type", "request_class", "pid", "remote_address", "remote_port").with(windows).with(dns),
		table("win_dns_response_events", DNS, "domain_name", "resolved_ip").
			known("domain_name", "request_type", "request_class", "pid", "remote_address", "remote_port", "resolved_ip").
			with(windows).with(dns).with(map[Field]string{Answer: "resolved_ip"}),
		table("win_http_events", HTTP, "url").known("url", "process_guid", "process_name", "pid", "remote_address", "remote_port").
			with(windows).with(owner).with(map[Field]string{URL: "url"}),
		table("win_ssl_events", TLS, "pid", "remote_address").known("subject_name", "issuer_name", "dns_names", "process_guid", "pid", "remote_address").
			with(windows).with(owner).with(map[Field]string{JA3: "ja3_md5", JA3S: "ja3s_md5"}),
	}
}
