package event

// Field is one thing a join may ask of an event, whatever its table calls it.
type Field uint8

// The fields that lenses map columns to. Addresses are text as the source
// writes it. In a sensor's record the local end is the one that began the
// conversation, whoever's host that is.
const (
	// Whose doing it was.
	PID Field = iota
	ParentPID
	ChildPID // of a fork row that carries the pid of who forked
	ProcessGUID
	ParentGUID
	PIDVersion
	ParentPIDVersion
	Path
	ParentPath
	CommandLine
	WorkingDirectory
	UID
	EffectiveUID
	GID
	AuditUID
	UserName
	StartTime // Unix seconds
	ExitCode  // ExitStatus reads it
	CgroupPath
	ContainerID
	ContainerName
	ContainerImage
	Terminal

	// When, and in which order.
	Time // Lens.Time reads it
	Uptime
	EID
	Syscall
	Verb
	Outcome

	// With whom.
	LocalAddress
	LocalPort
	RemoteAddress
	RemotePort
	RemoteHost
	Protocol
	Family
	ConnectionUID
	SensorName

	// What was said.
	Domain
	QueryType
	Answer // Answers reads it
	AnswerTTL
	URL         // whole
	RequestPath // path and query alone
	HTTPHost
	HTTPMethod
	HTTPStatus
	UserAgent
	SNI
	JA3
	JA3S
	JA4
	JA4S
	JARM // of a server, as a scan found it
	CertificateSHA1

	// Which file.
	TargetPath
	RenamedFrom
	RenamedTo
	MD5
	SHA1
	SHA256

	// Which host.
	HostName
	HostUUID
	InterfaceName
	InterfaceAddress
	Device
	MountPath
	FileSystem
	InstanceID
	AccountID
	Region
	ImageID
	InstanceRole
	TagKey
	TagValue
	ExtensionID

	fieldCount
)

// fieldNames are the fields as a configuration names them.
func fieldNames() [fieldCount]string {
	return [fieldCount]string{
		PID: "pid", ParentPID: "parent_pid", ChildPID: "child_pid", ProcessGUID: "process_guid", ParentGUID: "parent_guid",
		PIDVersion: "pid_version", ParentPIDVersion: "parent_pid_version", Path: "path", ParentPath: "parent_path",
		CommandLine: "command_line", WorkingDirectory: "working_directory", UID: "uid", EffectiveUID: "effective_uid", GID: "gid",
		AuditUID: "audit_uid", UserName: "user_name", StartTime: "start_time", ExitCode: "exit_code", CgroupPath: "cgroup_path",
		ContainerID: "container_id", ContainerName: "container_name", ContainerImage: "container_image", Terminal: "terminal",
		Time: "time", Uptime: "uptime", EID: "eid", Syscall: "syscall", Verb: "verb", Outcome: "outcome",
		LocalAddress: "local_address", LocalPort: "local_port", RemoteAddress: "remote_address", RemotePort: "remote_port",
		RemoteHost: "remote_host", Protocol: "protocol", Family: "family", ConnectionUID: "connection_uid", SensorName: "sensor_name",
		Domain: "domain", QueryType: "query_type", Answer: "answer", AnswerTTL: "answer_ttl", URL: "url", RequestPath: "request_path",
		HTTPHost: "http_host", HTTPMethod: "http_method", HTTPStatus: "http_status", UserAgent: "user_agent", SNI: "sni",
		JA3: "ja3", JA3S: "ja3s", JA4: "ja4", JA4S: "ja4s", JARM: "jarm", CertificateSHA1: "certificate_sha1",
		TargetPath: "target_path", RenamedFrom: "renamed_from", RenamedTo: "renamed_to", MD5: "md5", SHA1: "sha1", SHA256: "sha256",
		HostName: "host_name", HostUUID: "host_uuid", InterfaceName: "interface_name", InterfaceAddress: "interface_address",
		Device: "device", MountPath: "mount_path", FileSystem: "file_system", InstanceID: "instance_id", AccountID: "account_id",
		Region: "region", ImageID: "image_id", InstanceRole: "instance_role", TagKey: "tag_key", TagValue: "tag_value",
		ExtensionID: "extension_id",
	}
}

// String is the field's name in a configuration.
func (f Field) String() string {
	if f < fieldCount {
		return fieldNames()[f]
	}
	return ""
}

// FieldNamed returns the field of a name that String gives.
func FieldNamed(name string) (Field, bool) {
	for f, known := range fieldNames() {
		if known == name {
			return Field(f), true
		}
	}
	return 0, false
}

// FieldNames are the names of all fields.
func FieldNames() []string {
	names := fieldNames()
	return names[:]
}
