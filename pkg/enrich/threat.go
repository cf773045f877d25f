package enrich

import "time"

// SeenIn says where a value was met that the event does not have as its own.
type SeenIn string

// The places; the empty one is a field that says what happened.
const (
	SeenInCommandLine   SeenIn = "command_line"   // somewhere in a command line
	SeenInCandidateName SeenIn = "candidate_name" // one of several names that the other end may have
)

// Threat is an indicator met by an event.
type Threat struct {
	// Indicator is the value as the feed lists it and Type its ECS type.
	Indicator, Type string
	// Field is the ECS field of the event's value, Atomic that value, and How
	// the way they met: exact, prefix, subdomain, ip+port, ip_only.
	Field, Atomic, How string
	// SeenIn tells that the value only stood there, or is not sure to be the
	// event's; Direction who began the conversation that it was an end of.
	SeenIn           SeenIn
	Direction        Direction
	Feed, Generation string
	Confidence       int
	Name, Reference  string
	Tags             []string
	FirstSeen        time.Time
	LastSeen         time.Time
	// Port is the one the indicator is about, 0 for any.
	Port uint16
	// Reports is the feed's own count of lists or sightings, 0 for none.
	Reports uint32
	// TLP is the feed's marking: white, clear, green, amber, red or nothing.
	TLP string
	// Provenance is where the feed lists it, as file:line.
	Provenance string
	// ID is the indicator's own name at its owner, and Event that of what it is
	// part of there.
	ID, Event string
	// Techniques are ids of MITRE ATT&CK.
	Techniques []string
	// ValidFrom and ValidUntil are what the feed says, zero for unknown. An event
	// from before ValidFrom matches too, and BeforeValidFrom says so.
	ValidFrom, ValidUntil time.Time
	BeforeValidFrom       bool
	// FirstSeenHere is when this installation's loads of the feed first had the
	// indicator, zero where nothing is kept over restarts. Delisted is when they no
	// longer had it, after the event; zero where they do.
	FirstSeenHere, Delisted time.Time
	// Since is FirstSeenHere as far as this process knows; it is not told.
	Since time.Time
	// Retro tells that the list learned of the indicator after it was met.
	Retro bool
	// Role is that of the feed's list: block, suppress, downgrade or label. An
	// event's threats are those of block lists; what other lists said of the same
	// value is in SuppressedBy and DowngradedBy, as "feed: indicator", and Labels.
	Role                       string
	SuppressedBy, DowngradedBy string
	Labels                     []string
}
