package event

func fileTables() []*Lens {
	hashes := map[Field]string{MD5: "md5", SHA1: "sha1", SHA256: "sha256"}
	return []*Lens{
		table("file_events", File, "target_path").known("target_path", "action", "category").
			with(hashes).with(map[Field]string{TargetPath: "target_path", Verb: "action", Time: "time", EID: "eid"}), // uid owns the file
		table("process_file_events", File, "operation", "path", "pid").known("operation", "executable", "path", "pid").with(map[Field]string{
			PID: "pid", ParentPID: "ppid", Path: "executable", WorkingDirectory: "cwd", TargetPath: "path", RenamedTo: "dest_path",
			Verb: "operation", UID: "uid", EffectiveUID: "euid", GID: "gid", AuditUID: "auid", Time: "time", EID: "eid", Uptime: "uptime",
		}),
		table("es_process_file_events", File, "filename", "pid").known("filename", "dest_filename", "event_type", "pid").with(map[Field]string{
			PID: "pid", ParentPID: "parent", Path: "path", TargetPath: "filename", RenamedTo: "dest_filename", Verb: "event_type",
			Time: "time", EID: "eid",
		}),
		// The journal tells which file changed, never who changed it.
		table("ntfs_journal_events", File, "path").known("path", "old_path", "record_usn", "node_ref_number", "drive_letter").
			with(map[Field]string{TargetPath: "path", RenamedFrom: "old_path", Verb: "action", EID: "eid"}).
			timed(timeColumn{"record_timestamp", Seconds}, timeColumn{"time", Seconds}),
		table("hash", File, "path").known("path", "md5", "sha1", "sha256").with(hashes).with(map[Field]string{TargetPath: "path"}).inventory(),
	}
}

func loginTables() []*Lens {
	return []*Lens{
		table("user_events", Login, "message").known("auid", "uid", "message", "terminal", "type").with(map[Field]string{
			PID: "pid", UID: "uid", AuditUID: "auid", Path: "path", RemoteAddress: "address", Terminal: "terminal", Time: "time", EID: "eid",
			Verb: "type", Uptime: "uptime",
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
		table("users", Inventory, "uid", "username").known("uid", "username", "directory", "shell").with(map[Field]string{
			UID: "uid", GID: "gid", UserName: "username",
		}).inventory(),
	}
}
