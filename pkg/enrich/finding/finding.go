// Package finding holds the record of what is raised for a person: a loss of
// telemetry, a silent host, a match that policy lets through.
//
// It must never decide whether something is worth a finding; that is for who makes
// it. It must never do I/O or keep state.
package finding

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Schema is the schema of a finding.
const Schema = "stackjoin.finding/1"

// Kind is the word for findings where outputs have a kind.
const Kind = "finding"

// Status says whether a finding holds.
type Status string

// The statuses of a finding.
const (
	Open       Status = "open"
	Suppressed Status = "suppressed" // it holds, and its owner asked not to be told
	Retracted  Status = "retracted"  // it does not hold, or no longer; Reason says why
)

// Severity says how much a finding matters.
type Severity string

// The severities, with the number that stands in event.severity.
const (
	Info     Severity = "info"     // 10
	Low      Severity = "low"      // 30
	Medium   Severity = "medium"   // 50
	High     Severity = "high"     // 70
	Critical Severity = "critical" // 90
)

func (s Severity) number() int64 {
	switch s {
	case Low:
		return 30
	case Medium:
		return 50
	case High:
		return 70
	case Critical:
		return 90
	}
	return 10
}

// The rules of findings about telemetry itself. Rules are words of the output's
// vocabulary (docs/findings.md).
const (
	TelemetryGap     = "telemetry_gap"
	HostSilent       = "host_silent"
	IdentityConflict = "identity_conflict"
)

// The rules of indicators that were met, by what they are about, and of those rules
// when they raise too much.
const (
	MatchAddress     = "match_address"
	MatchName        = "match_name"
	MatchURL         = "match_url"
	MatchFile        = "match_file" // a file's hash or path
	MatchFingerprint = "match_fingerprint"
	MatchValue       = "match_value"
	RuleNoisy        = "rule_noisy"
)

// CredentialOutside is the rule of an instance's credentials that were used from an
// address that the instance does not have.
const CredentialOutside = "credential_outside_host" //nolint:gosec // a rule's name, no credential

// Finding is one finding as it stands. Better evidence revises or retracts it under
// the same ID, with a higher Revision. What is zero is left out of the record.
type Finding struct {
	// ID is hash(rule, what triggered it or its group), see ID. It never holds the
	// partner that a join chose.
	ID       string
	Revision int64
	// Rule is the rule's word, Title what it is about in a few words, and Reason
	// what happened in plain ones.
	Rule, Title, Reason string
	Status              Status
	Severity            Severity
	// Confidence is from 0 to 100.
	Confidence int
	// FirstSeen and LastSeen are times of events, as the hosts tell them.
	FirstSeen, LastSeen time.Time
	// Count is how often it was seen.
	Count int64
	// Retro tells that it was found in what had passed, after a list had learned of an
	// indicator.
	Retro bool
	// Techniques are ATT&CK ids.
	Techniques []string
	Evidence   []Evidence

	Host     enrich.Host
	HostName string
	// Process and Session are copies, so that the finding can be read alone.
	// Session is a JSON object as enriched records have it.
	Process *enrich.Process
	Session []byte

	Threat *enrich.Threat // the indicator that was met
	// Copies stand in the place of Process and Threat where those are not at hand.
	Copies      Copies
	Executables []string // of a match: which programs met it
	Agents      []string // of identity_conflict: who sends under one name
	Loss        *Loss    // of telemetry_gap

	// Cloud and AWS are JSON objects as enriched records have them under those names.
	// NoSensor tells that no osquery is known on the instance that it is about, so that
	// nothing is known of what ran there.
	Cloud, AWS []byte
	NoSensor   bool
}

// Copies are parts of a finding as JSON that enrich.AppendProcess and
// enrich.AppendThreat wrote, Threats with commas between them.
type Copies struct{ Process, Threats []byte }

// Evidence is an event that a finding rests on: its id, and where it was read.
type Evidence struct {
	ID       string
	Position enrich.Position
}

// Loss says what did not arrive.
type Loss struct {
	Agent, Run, Topic string
	// Word is why: a marker's reason, or "lost" where nothing explains it, or
	// "rows" where rows of a call are missing. Policy is the setting that dropped.
	Word, Policy string
	// From and To are the seqs of the first call that may be missing and of the
	// last, which is. From is 0 where nothing tells.
	From, To uint64
	// Calls is how many are missing; with AtLeast that is the least it can be.
	Calls   uint64
	AtLeast bool
	// Rows are the missing rows of call To, as ranges ("3-7,9"), and RowCount how
	// many those are.
	Rows     string
	RowCount uint64
	Bytes    int64
	// Possible tells that nothing says for which topic the calls were.
	Possible bool
	// Since and Until bound the time in which they were spooled, or of an absence.
	Since, Until time.Time
}

// ID names a finding by its rule and what triggered it or its group.
func ID(rule string, trigger ...string) string {
	h := sha256.New()
	_, _ = io.WriteString(h, rule) // a hash never fails
	for _, part := range trigger {
		_, _ = io.WriteString(h, "\x00"+part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Output is the finding as a record of the findings stream, keyed by its id.
func (f *Finding) Output(ingested time.Time) enrich.Output {
	return enrich.Output{
		Stream: enrich.Findings, Key: []byte(f.ID), Value: f.Append(nil, ingested), ID: f.ID, Kind: Kind, Schema: Schema,
	}
}

// Above tells whether s matters more than o.
func (s Severity) Above(o Severity) bool { return s.number() > o.number() }
