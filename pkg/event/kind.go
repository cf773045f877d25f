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
