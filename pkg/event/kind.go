package event

// Kind says what an event is about. It decides which joins are asked of it.
type Kind string

// The kinds of DESIGN's word list.
const (
	Process   Kind = "process"
	Socket    Kind = "socket"
	DNS       Kind = "dns"
	HTTP      Kind = "http"
	TLS       Kind = "tls"
	File      Kind = "file"
	Login     Kind = "login"
	Inventory Kind = "inventory"
	API       Kind = "api"
	Status    Kind = "status"
	Other     Kind = "other"
	Gap       Kind = "gap"
	Heartbeat Kind = "heartbeat"
)

// Field is one thing a join may ask of an event, whatever its table calls it.
type Field uint8

// The fields that lenses map columns to. Addresses are text as osquery writes
// it, times are Unix seconds unless a lens says otherwise.
const (
	PID Field = iota
	ParentPID
	Path
	CommandLine
	WorkingDirectory
	UID
	GID
	AuditUID
	UserName
	Time
	StartTime
	EID
	Syscall
	LocalAddress
	LocalPort
	RemoteAddress
	RemotePort
	Protocol
	Family
	Outcome
	Verb
	Domain
	Answer
	URL
	TargetPath
	MD5
	SHA1
	SHA256
	JA3
	JA3S
	RemoteHost
	Terminal
	fieldCount
)
