package enrich

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/pkg/event"
)

// Host is what joins are scoped by: the agent where a row has one, else osquery's
// hostIdentifier.
type Host string

// Position is where an input record was read: a place in a topic, or a line of
// a file. The zero File means a topic.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
	File      string
	Line      int64
}

// String names the position as topic/partition/offset or file:line.
func (p Position) String() string {
	if p.File != "" {
		return p.File + ":" + strconv.FormatInt(p.Line, 10)
	}
	return p.Topic + "/" + strconv.FormatInt(int64(p.Partition), 10) + "/" + strconv.FormatInt(p.Offset, 10)
}

// TimeSource says where an event's time was found.
type TimeSource string

// Where times come from, best first.
const (
	TimeColumn  TimeSource = "column"   // the table's own time column
	TimeQuery   TimeSource = "unixTime" // when the query ran
	TimeSpooled TimeSource = "spooled"  // when logger-ext made the row durable
	TimeAppend  TimeSource = "append"   // when the broker took the record
	TimeUnknown TimeSource = "unknown"
)

// Event is one row with what is known about it. The Row's bytes belong to the
// input record; an Operator that keeps anything past OnEvent copies it.
type Event struct {
	event.Row

	// ID is the row's name (agent/run/seq/row), or its position where it has
	// none. It is the same however often the row is read.
	ID   string
	Host Host
	Kind event.Kind
	Lens *event.Lens
	// Time is when it happened, as the host tells it, and TimeSource says which
	// of the host's words that is.
	Time       time.Time
	TimeSource TimeSource
	Position   Position
	// Key is that of the record which the row came in.
	Key []byte
	// Appended is when the record became readable to us; zero for files.
	Appended time.Time

	// Revision is 0 at first, and one more each time better evidence changed what
	// was told of the event.
	Revision int
	// Again tells a Judge that it saw the event before.
	Again bool

	// Learned is what the event taught a join: whoever waits for that is asked
	// about again. Joins set it in OnEvent.
	Learned Learned
	// Sought are 64-bit hashes of what lookups asked about, where they were told to note
	// it. A row that meets an indicator has one that the indicator has.
	Sought []uint64
	// SoughtIn is the index of feeds that was asked.
	SoughtIn any
	// asked are the pids that joins looked for, one bit for each of 64 classes.
	asked uint64

	// Link is set for what one host did in a sensor's record.
	Link *Link
	// Call is set for an API call, which has no row.
	Call *Call
	// Elsewhere tells that the event's findings are raised where its link is.
	Elsewhere bool
	// read is where this partition read the row, which is not Position where it came
	// by the side topic.
	read Position

	// own is room for Process, used again for the next event.
	own *Process
	// pieces are what was written of processes before.
	pieces *pieces

	// RemoteLocation and LocalLocation are where the two ends are.
	RemoteLocation, LocalLocation Location

	// What the joins answered.
	Process  *Process
	Session  *Session
	Names    []Name
	Threats  []Threat
	Gaps     []Gap
	Evidence []Evidence
	// Cloud is what is known of the host in the cloud, nil where nothing is.
	Cloud *Cloud
}

// Evidence is a row, other than the event's own, that made part of an answer.
type Evidence struct {
	// For is the part: "process", "ancestor", "session", "name", "socket".
	For string
	// ID is that of what the row told: an entity, a login, a name; of a socket the
	// event's.
	ID       string
	Position Position
	// Lateness is how long after it happened the row could be read.
	Lateness time.Duration
}

// Lateness is how long after it happened the event's row could be read: zero where
// either time is not known, negative where its host's clock is ahead.
func (e *Event) Lateness() time.Duration {
	if e.Appended.IsZero() || e.Time.IsZero() {
		return 0
	}
	return e.Appended.Sub(e.Time)
}

// Field returns the value of the column that answers for f under the event's
// lens.
func (e *Event) Field(f event.Field) (event.Value, bool) {
	if e.Link != nil && e.Link.Responder {
		f = otherEnd(f)
	}
	name := e.Lens.Column(f)
	if name == "" {
		return event.Value{}, false
	}
	return e.Column(name)
}

// Text returns Field's text, empty when there is none.
func (e *Event) Text(f event.Field) string {
	v, _ := e.Field(f)
	return v.Text()
}

// Int returns Field as a number.
func (e *Event) Int(f event.Field) (int64, bool) {
	v, ok := e.Field(f)
	if !ok {
		return 0, false
	}
	return v.Int()
}

// NewProcess gives the event an empty process with that many ancestors, and returns
// it. It is valid until the Event is used for another row.
func (e *Event) NewProcess(ancestors int) *Process {
	if e.own == nil {
		e.own = &Process{}
	}
	room := e.own.Ancestors
	if cap(room) < ancestors {
		room = make([]Process, ancestors, max(ancestors, 8))
	}
	room = room[:ancestors]
	clear(room)
	*e.own = Process{Ancestors: room}
	e.Process = e.own
	return e.own
}

// Ask notes that the event's answer depends on who had this pid.
func (e *Event) Ask(pid int64) { e.asked |= classOf(pid) }

// Asked tells whether the event's answer may depend on who had this pid.
func (e *Event) Asked(pid int64) bool { return e.asked&classOf(pid) != 0 }

// classOf spreads pids, which are given one after the other, over the bits.
func classOf(pid int64) uint64 { return 1 << (uint64(pid) * 0x9e3779b97f4a7c15 >> 58) }

// Learned is what one event taught the joins about its host, and from when on that
// holds: events that happened earlier need not be asked about again.
type Learned struct {
	// PID has another answer from Since on; 0 means none has.
	PID int64
	// Addresses have another name from Since on. The operator that sets them owns
	// them. Names tells that any address may.
	Addresses []netip.Addr
	Names     bool
	// Session tells that who is logged in, or what a user is called, changed.
	Session bool
	Since   time.Time
}

func (l *Learned) nothing() bool {
	return l.PID == 0 && len(l.Addresses) == 0 && !l.Names && !l.Session
}

// AddGap notes what could not be known, once per question.
func (e *Event) AddGap(question, reason string) {
	for _, g := range e.Gaps {
		if g.Question == question {
			return
		}
	}
	e.Gaps = append(e.Gaps, Gap{question, reason})
}

// Gap is what could not be known about an event, and why.
type Gap struct {
	// Question names what was asked: "process", "command_line", "ancestry",
	// "reputation", "geo", "matches", "name", "names", "delivery", "kind", "state".
	Question string
	// Reason is a fixed word of the output's vocabulary (docs/enriched.md).
	Reason string
}

// The reasons a Gap may give.
const (
	ProcessUnknown  = "process_unknown"  // no process of that pid was seen to start before the event
	ProcessPossible = "process_possible" // the sockets of several processes fit what the sensor saw
	ProcessMismatch = "process_mismatch" // the pid's process has another path than the event says
	NameUnknown     = "name_unknown"     // no name was seen to resolve to the address, and the host's names are seen
	ProcessEvicted  = "process_evicted"  // the same, but the host had so many processes that some were given up
	ProcessThin     = "process_thin"     // the process was unseen so long that only its name and parent were kept
	ParentUnknown   = "parent_unknown"   // an ancestor's start was not seen
	ParentEvicted   = "parent_evicted"   // the same, but the host had so many processes that some were given up
	FeedUnavailable = "feed_unavailable" // a feed never loaded
	GeoUnavailable  = "geo_unavailable"  // a database of countries or networks never loaded
	HostUnknown     = "host_unknown"     // the row does not say which host it is from
	MatchesCut      = "matches_cut"      // more indicators were met than an event carries
	NamesCut        = "names_cut"        // more names resolved to the address than an event carries
	NoDelivery      = "no_delivery"      // the host's rows have no names, so that none can be missed or told twice; said once
	RecordNotRead   = "record_not_read"  // a sensor's record of a kind that no join asks
	StatePartial    = "state_partial"    // what was known of the partition's hosts before was lost
	ShapeUnknown    = "shape_unknown"    // a sensor's record that nothing names
)

// Process is one version of a process: what one execution of one program was.
type Process struct {
	// EntityID is the same for every event of this version.
	EntityID         string
	PID              int64
	Executable       string
	CommandLine      string
	WorkingDirectory string
	Start            time.Time
	UserID           string
	UserName         string
	AuditUserID      string
	ContainerID      string
	// Inferred marks a process that was not seen to start.
	Inferred bool
	// Previous are the programs that the same process ran before, oldest first.
	// Only EntityID, Executable, CommandLine and Start are set.
	Previous []Process
	// Ancestors are the parents, nearest first, as they were at the start.
	Ancestors []Process
}

// NameSource says what tells a Name.
type NameSource string

// The sources of names.
const (
	FromDNS  NameSource = "dns"  // it was looked up
	FromSNI  NameSource = "sni"  // a TLS client asked for it
	FromHTTP NameSource = "http" // an HTTP client asked for it
)

// NameStatus says what a Name is worth.
type NameStatus string

// The statuses of names.
const (
	Attributed NameStatus = "attributed" // the only one
	Candidate  NameStatus = "candidate"  // one of several; nothing tells which
)

// Name is a name of the other end of a socket.
type Name struct {
	Name   string
	Status NameStatus
	Source NameSource
	// SameProcess tells that the socket's own process asked for it.
	SameProcess bool
	// Evidence is the id of the event that tells it.
	Evidence string
}
