package event

// Column names and their meaning are those of osquery 5.23's table specs
// (specs/ in its repository); what the tables do not say, no lens answers.

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

// with maps fields to columns.
func (l *Lens) with(columns map[Field]string) *Lens {
	for f, name := range columns {
		l.columns[f] = name
	}
	return l
}

func tables() []*Lens {
	return concat(processTables(), socketTables(), nameTables(), fileTables(), loginTables())
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
		table("process_events", Process, "pid", "path").known("pid", "parent", "path", "cmdline", "time", "auid").
			with(owner).with(event).with(map[Field]string{AuditUID: "auid", Syscall: "syscall"}),
		table("bpf_process_events", Process, "pid", "path").known("pid", "parent", "path", "cmdline", "ntime", "probe_error").
			with(owner).with(event).with(map[Field]string{Syscall: "syscall"}),
		table("es_process_events", Process, "pid", "path", "event_type").known("pid", "parent", "path", "event_type", "global_seq_num", "cdhash").
			with(owner).with(event).with(map[Field]string{Syscall: "event_type", UserName: "username"}),
		table("processes", Process, "pid").known("pid", "parent", "path", "cmdline", "start_time", "resident_size").
			with(owner).with(map[Field]string{StartTime: "start_time", WorkingDirectory: "cwd", UserName: "username"}).inventory(),
	}
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
			with(ends).with(event).with(map[Field]string{Verb: "action", Outcome: "status", AuditUID: "auid"}),
		table("bpf_socket_events", Socket, "pid", "remote_address").known("syscall", "pid", "remote_address", "remote_port", "probe_error").
			with(ends).with(event).with(map[Field]string{Verb: "syscall", ParentPID: "parent", UID: "uid"}),
		table("process_open_sockets", Socket, "pid", "remote_address").known("pid", "remote_address", "remote_port", "local_port", "state").
			with(ends).with(map[Field]string{Outcome: "state"}).inventory(),
		table("open_sockets", Socket, "pid", "remote_address").with(ends).with(map[Field]string{Outcome: "state"}).inventory(),
		table("listening_ports", Socket, "pid", "port").known("pid", "port", "address", "protocol", "family").
			with(map[Field]string{PID: "pid", LocalAddress: "address", LocalPort: "port", Protocol: "protocol", Family: "family"}).inventory(),
	}
}

func nameTables() []*Lens {
	return []*Lens{
		table("dns_lookup_events", DNS, "name").known("name", "type", "type_id", "response", "pid").with(map[Field]string{
			PID: "pid", Path: "path", UserName: "username", Domain: "name", Answer: "response", Time: "time", EID: "eid", Outcome: "status",
		}),
	}
}

func fileTables() []*Lens {
	hashes := map[Field]string{MD5: "md5", SHA1: "sha1", SHA256: "sha256"}
	return []*Lens{
		table("file_events", File, "target_path").known("target_path", "action", "category").
			with(hashes).with(map[Field]string{TargetPath: "target_path", Verb: "action", Time: "time", EID: "eid"}), // uid owns the file
		table("process_file_events", File, "operation", "path", "pid").known("operation", "executable", "path", "pid").with(map[Field]string{
			PID: "pid", ParentPID: "ppid", Path: "executable", WorkingDirectory: "cwd", TargetPath: "path", Verb: "operation",
			UID: "uid", GID: "gid", AuditUID: "auid", Time: "time", EID: "eid",
		}),
		table("es_process_file_events", File, "filename", "pid").known("filename", "dest_filename", "event_type", "pid").with(map[Field]string{
			PID: "pid", ParentPID: "parent", Path: "path", TargetPath: "filename", Verb: "event_type", Time: "time", EID: "eid",
		}),
		table("hash", File, "path").known("path", "md5", "sha1", "sha256").with(hashes).with(map[Field]string{TargetPath: "path"}).inventory(),
	}
}

func loginTables() []*Lens {
	return []*Lens{
		table("user_events", Login, "message").known("auid", "uid", "message", "terminal", "type").with(map[Field]string{
			PID: "pid", UID: "uid", AuditUID: "auid", Path: "path", RemoteAddress: "address", Terminal: "terminal", Time: "time", EID: "eid", Verb: "type",
		}),
		table("logged_in_users", Login, "user").known("host", "tty", "user", "pid", "time", "type").with(map[Field]string{
			PID: "pid", UserName: "user", RemoteHost: "host", Terminal: "tty", Time: "time", Verb: "type",
		}).inventory(),
		table("last", Login, "username", "host").known("host", "tty", "username", "pid", "time", "type").with(map[Field]string{
			PID: "pid", UserName: "username", RemoteHost: "host", Terminal: "tty", Time: "time", Verb: "type",
		}).inventory(),
		table("shell_history", Inventory, "command").known("command", "history_file", "uid").with(map[Field]string{
			CommandLine: "command", UID: "uid", Time: "time",
		}).inventory(),
	}
}
