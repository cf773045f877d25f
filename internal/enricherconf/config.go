// Package enricherconf is the configuration of the enricher: its keys, their
// defaults and what they mean. docs/config.md is generated from it.
//
// It must not open what it describes.
package enricherconf

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/stackjoin/stackjoin/internal/awsconn"
	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/kafkaconn"
	"github.com/stackjoin/stackjoin/internal/logging"
	"github.com/stackjoin/stackjoin/internal/metrics"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/dns"
	"github.com/stackjoin/stackjoin/pkg/enrich/flow"
	"github.com/stackjoin/stackjoin/pkg/enrich/geo"
	"github.com/stackjoin/stackjoin/pkg/enrich/ledger"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/route"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

// Config is the whole file.
type Config struct {
	Kafka        kafkaconn.Config `yaml:"kafka"`
	Kinesis      *Kinesis         `yaml:"kinesis" doc:"Kinesis to read from, in the place of Kafka, and to write to (docs/kinesis.md)."`
	Group        string           `yaml:"group" default:"stackjoin-enricher" doc:"Consumer group. Processes of one group share the partitions; transactional ids begin with it, and its state is in the compacted topic GROUP.state."`
	Inputs       Inputs           `yaml:"inputs"`
	Outputs      Outputs          `yaml:"outputs"`
	Topics       Topics           `yaml:"topics"`
	Delivery     string           `yaml:"delivery" default:"exactly_once" enum:"exactly_once|at_least_once" doc:"exactly_once commits output, state and input offsets in one transaction. at_least_once is for brokers without transactions: after a failure rows come again, under the same ids, and are joined by a state that may have seen them."`
	Sessions     int              `yaml:"sessions" default:"0" doc:"Members of the group in this process, each with a goroutine of its own; 0 means one per core."`
	State        State            `yaml:"state"`
	Joins        Joins            `yaml:"joins"`
	Telemetry    Telemetry        `yaml:"telemetry"`
	Feeds        []Feed           `yaml:"feeds" doc:"Reputation feeds. Without any, no event is matched."`
	Retro        Retro            `yaml:"retro"`
	Geo          geo.Config       `yaml:"geo"`
	Findings     Findings         `yaml:"findings"`
	Suppressions []Suppression    `yaml:"suppressions" doc:"Matches, and uses of instances' keys, that nobody is to be told of. Their findings are written with the status suppressed."`
	Labels       Labels           `yaml:"labels" doc:"What owners call what they have in the cloud: shown where it is met, and used in the severity of findings (docs/cloudtrail.md)."`
	Lenses       []Lens           `yaml:"lenses" doc:"What the rows of your own tables and queries mean. The first that fits a row is taken, before those built in."`
	Ingest       Ingest           `yaml:"ingest"`
	Metrics      metrics.Config   `yaml:"metrics"`
	Log          logging.Config   `yaml:"log"`
}

// Inputs names what is read.
type Inputs struct {
	Results []string `yaml:"results" default:"osquery.results" doc:"Topics of osquery rows, as logger-ext writes them or as osquery's own loggers do."`
	// What follows is taken by stage 1.
	Sensor     []string `yaml:"sensor" doc:"Topics of network sensors' logs: Zeek's and Suricata's JSON, Route 53 Resolver's query logs. Each record is enriched, and linked with the process behind it (docs/enriched.md)."`
	CloudTrail []string `yaml:"cloudtrail" doc:"Topics of CloudTrail's records, in any shape in which AWS delivers them (docs/cloudtrail.md)."`
	Rekey      []string `yaml:"rekey" doc:"Topics of osquery rows that are not keyed by their host: each goes to the partition of its host's key, and is joined there. None of inputs.results."`
}

// Routed are the topics that stage 1 takes.
func (i *Inputs) Routed() []string { return slices.Concat(i.Sensor, i.CloudTrail, i.Rekey) }

// Outputs names what is written.
type Outputs struct {
	Enriched       string       `yaml:"enriched" default:"osquery.enriched" doc:"Topic of the enriched rows, keyed by host."`
	Findings       string       `yaml:"findings" default:"osquery.findings" doc:"Topic of findings, keyed by their id."`
	CloudTrail     string       `yaml:"cloudtrail" default:"cloudtrail.enriched" doc:"Topic of CloudTrail's records, enriched, keyed by eventID/recipientAccountId. Written where inputs.cloudtrail names a topic."`
	DeadLetter     string       `yaml:"deadletter" default:"osquery.deadletter" doc:"Topic of records that could not be taken."`
	MaxRecordBytes config.Bytes `yaml:"max_record_bytes" default:"1000000" doc:"Largest record the output topics take (their max.message.bytes). Larger ones go to the dead letters."`
	To             string       `yaml:"to" enum:"kinesis|kafka|files|s3" doc:"Where what is read from Kinesis goes; to Kinesis when empty. What is read from Kafka goes to Kafka, in its transactions."`
	Dir            string       `yaml:"dir" doc:"Folder for to: files: each topic is files of a line per record, begun anew at each start. For to: s3 a place such as s3://bucket/prefix: what of a topic is told at once is an object of lines in gzip."`
	Endpoint       string       `yaml:"endpoint" doc:"Address of S3 for to: s3; AWS's own when empty."`
}

// Ingest says where enricher ingest reads and writes.
type Ingest struct {
	CloudTrail string         `yaml:"cloudtrail" default:"cloudtrail" doc:"Topic that enricher ingest cloudtrail writes CloudTrail's records to, keyed by eventID/recipientAccountId. What cannot be read goes to outputs.deadletter."`
	AWS        awsconn.Config `yaml:"aws"`
}

// Topics is what enricher topics makes of the topics.
type Topics struct {
	Partitions int             `yaml:"partitions" default:"0" doc:"Partitions of the input topics and of what is joined with them by number. 0 keeps what the inputs have, and is 12 where there are none. Sessions beyond that number, over all processes, stay idle."`
	Replicas   int             `yaml:"replicas" default:"0" doc:"Replicas of topics that are created; 0 means 3 where there are 3 brokers or more, else the brokers' default.replication.factor."`
	Retention  config.Duration `yaml:"retention" default:"0s" doc:"How long outputs are kept, and inputs that are created. 0s leaves it to the brokers."`
}

// State says where things are kept between runs.
type State struct {
	Dir    string `yaml:"dir" doc:"Folder for what outlives a restart: the last good copy of each feed, and copies of the partitions' state, so that a restart reads back only what is new. One process has it for itself. Empty keeps feeds nowhere, and state in memory: all of it is read back from the state topic."`
	Format int    `yaml:"format" default:"0" doc:"Format to write the state in: 0 for this version's newest, or the one before while a fleet is upgraded and may have to go back. The newest is 2, which keeps where each row was read; 1 does not."`
}

// Joins bounds the joins.
type Joins struct {
	Wait              config.Duration `yaml:"wait" default:"2m" doc:"How long, by its host's clock, what is told of an event may still change, and an event waits for its process or a name. At least twice the longest interval of an event query."`
	WaitBytes         config.Bytes    `yaml:"wait_bytes" default:"64MiB" doc:"Memory for the rows of that window, of one partition. Beyond it the oldest are told as they are, and no longer change."`
	Emit              string          `yaml:"emit" default:"complete" enum:"complete|immediate" doc:"complete holds an event whose process or name is not known yet, for joins.wait. immediate tells it at once, and again when an answer comes."`
	ProcessLive       config.Duration `yaml:"process_live" default:"168h" doc:"How long a process is remembered after its start, unless its pid is taken by another. Later events of that pid have the gap process_unknown."`
	ProcessMaxPerHost int             `yaml:"process_max_per_host" default:"65536" doc:"Processes remembered per host; the oldest go first, and their events have the gap process_unknown."`
	NameTTL           config.Duration `yaml:"name_ttl" default:"300s" doc:"How long a DNS answer that tells no TTL names its addresses; five minutes are added to every TTL. Later sockets have the gap name_unknown."`
	Skew              config.Duration `yaml:"skew" default:"5s" doc:"How far the clocks of hosts and network sensors may be apart: a sensor's record and a host's socket without a local port are one when they have the same other end within that time."`
	OwnerWait         config.Duration `yaml:"owner_wait" default:"1h" doc:"How long a sensor's record of an address that is no known host's is kept, how long one that was sent on may still turn out to be another host's, and how long a host's sockets are remembered for sensors' records that come late."`
	OwnerWaitBytes    config.Bytes    `yaml:"owner_wait_bytes" default:"64MiB" doc:"Bound of the records kept for that, of one partition of the sensors' topics. Beyond it they are linked with no host, and are counted. Those that may turn out to be another host's have as much again; beyond it they stay where they are."`
	NamesMaxPerHost   int             `yaml:"names_max_per_host" default:"8192" doc:"Addresses with names remembered per host; those that end first go first."`
}

// Retro says how far back what feeds learn is looked for.
type Retro struct {
	Window config.Duration `yaml:"window" default:"24h" doc:"How long, by when rows were appended, what a feed learns later is still looked for in them: the rows that may have met it are read again from the inputs, which have to keep them for as long. An indicator that a feed no longer lists matches events from before it left for as long, too. 0s does neither."`
}

// Telemetry says what is expected of the hosts that send.
type Telemetry struct {
	Heartbeat config.Duration `yaml:"heartbeat" default:"5m" doc:"Time between two heartbeats, as logger-ext's key of that name has it. A host that sent some and then nothing for three times that is told as host_silent."`
	RowWait   config.Duration `yaml:"row_wait" default:"2m" doc:"How long, by its host's clock, a call waits for the rest of its rows when no other comes after it. What is missing then is told as telemetry_gap."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (c *Config) Validate() []config.Problem {
	var wrong []config.Problem
	add := func(bad bool, key, format string, args ...any) {
		if bad {
			wrong = append(wrong, config.Problem{Key: key, Message: fmt.Sprintf(format, args...)})
		}
	}
	add(c.Group == "", "group", "must not be empty")
	add(len(c.Inputs.Results) == 0, "inputs.results", "must name a topic")
	add(c.Outputs.CloudTrail == "" && len(c.Inputs.CloudTrail) > 0, "outputs.cloudtrail", "must name a topic")
	add(c.Outputs.Enriched == "", "outputs.enriched", "must name a topic")
	add(c.Outputs.Findings == "", "outputs.findings", "must name a topic")
	add(c.Outputs.DeadLetter == "", "outputs.deadletter", "must name a topic")
	add(c.Topics.Partitions < 0 || c.Topics.Partitions > 100_000, "topics.partitions", "must be between 0 and 100000")
	add(c.Topics.Replicas < 0 || c.Topics.Replicas > 100, "topics.replicas", "must be between 0 and 100")
	add(c.Outputs.MaxRecordBytes < 16<<10, "outputs.max_record_bytes", "must be at least 16KiB")
	add(c.State.Format < 0 || c.State.Format > state.Format, "state.format", "must be 0 for the newest, or at most %d", state.Format)
	add(c.Ingest.CloudTrail == "", "ingest.cloudtrail", "must name a topic")
	add(c.Sessions < 0, "sessions", "must not be negative")
	add(c.Joins.ProcessMaxPerHost < 1, "joins.process_max_per_host", "must be at least 1")
	add(c.Joins.Wait <= 0, "joins.wait", "must be more than 0")
	add(c.Joins.WaitBytes < 1<<20, "joins.wait_bytes", "must be at least 1MiB")
	add(c.Joins.NameTTL <= 0, "joins.name_ttl", "must be more than 0")
	add(c.Joins.NamesMaxPerHost < 1, "joins.names_max_per_host", "must be at least 1")
	add(c.Joins.Skew <= 0, "joins.skew", "must be more than 0")
	add(c.Joins.OwnerWait <= 0, "joins.owner_wait", "must be more than 0")
	add(c.Joins.OwnerWaitBytes < 1<<20, "joins.owner_wait_bytes", "must be at least 1MiB")
	add(c.Telemetry.Heartbeat <= 0, "telemetry.heartbeat", "must be more than 0")
	add(c.Telemetry.RowWait <= 0, "telemetry.row_wait", "must be more than 0")
	add(c.Retro.Window < 0, "retro.window", "must not be negative")
	add(c.Findings.MaxPerHour < 1, "findings.max_per_hour", "must be at least 1")
	taken := map[string]string{}
	for _, input := range []struct {
		key    string
		topics []string
	}{{"inputs.results", c.Inputs.Results}, {"inputs.sensor", c.Inputs.Sensor}, {"inputs.cloudtrail", c.Inputs.CloudTrail}, {"inputs.rekey", c.Inputs.Rekey}} {
		for _, topic := range input.topics {
			add(taken[topic] != "", input.key, "%q is in %s already", topic, taken[topic])
			taken[topic] = input.key
		}
	}
	for _, topic := range append(c.Inputs.Results[:len(c.Inputs.Results):len(c.Inputs.Results)], c.Inputs.Routed()...) {
		add(topic == c.Outputs.CloudTrail, "outputs.cloudtrail", "is also an input: the enricher would read what it writes")
		add(topic == c.Outputs.Enriched, "outputs.enriched", "is also an input: the enricher would read what it writes")
		add(topic == c.Outputs.Findings, "outputs.findings", "is also an input: the enricher would read what it writes")
		add(topic == c.Outputs.DeadLetter, "outputs.deadletter", "is also an input: the enricher would read what it writes")
	}
	c.validateKinesis(add)
	names := map[string]bool{}
	for i, feed := range c.Feeds {
		for _, m := range feed.Check() {
			add(true, fmt.Sprintf("feeds[%d].%s", i, m.Key), "%s", m.Message)
		}
		name := feed.Resolved().Name
		add(names[name], fmt.Sprintf("feeds[%d].name", i), "%q is the name of an earlier feed", name)
		names[name] = true
		hasHeaders := len(feed.Headers)+len(feed.HeaderFiles) > 0
		add(hasHeaders && feed.Resolved().URL == "", fmt.Sprintf("feeds[%d].headers", i), "are for a feed with an url")
	}
	lenses := map[string]bool{}
	for i := range c.Lenses {
		add(lenses[c.Lenses[i].Name], fmt.Sprintf("lenses[%d].name", i), "%q is the name of an earlier lens", c.Lenses[i].Name)
		lenses[c.Lenses[i].Name] = true
	}
	return wrong
}

// StateTopic is the topic of the group's state.
func (c *Config) StateTopic() string { return c.Group + ".state" }

// SideTopic is the topic of records about hosts that did not come with their rows.
func (c *Config) SideTopic() string { return c.Group + ".side" }

// FactsTopic is the topic of what every process is to know of hosts.
func (c *Config) FactsTopic() string { return c.Group + ".facts" }

// RouteGroup is the group of stage 1, and the topic of its state.
func (c *Config) RouteGroup() string { return c.Group + ".route" }

// Members is the number of sessions to run.
func (c *Config) Members() int {
	if c.Sessions > 0 {
		return c.Sessions
	}
	return runtime.GOMAXPROCS(0)
}

// Process is the bounds of the process join.
func (c *Config) Process() process.Config {
	return process.Config{Live: c.Joins.ProcessLive.Std(), MaxPerHost: c.Joins.ProcessMaxPerHost, Format: c.State.Format}
}

// Waiting says how events wait for answers.
func (c *Config) Waiting() enrich.Waiting {
	return enrich.Waiting{Wait: c.Joins.Wait.Std(), Immediate: c.Joins.Emit == "immediate", MaxBytes: int64(c.Joins.WaitBytes), Keep: c.Kinesis != nil}
}

// DNS is the bounds of the join of sockets and names.
func (c *Config) DNS() dns.Config {
	return dns.Config{TTL: c.Joins.NameTTL.Std(), MaxAddresses: c.Joins.NamesMaxPerHost, Format: c.State.Format}
}

// Flow is the bounds of the join of sensors' records and sockets.
func (c *Config) Flow() flow.Config {
	return flow.Config{Skew: c.Joins.Skew.Std(), Keep: c.Joins.OwnerWait.Std()}
}

// Route says what stage 1 takes by which topic.
func (c *Config) Route() route.Config {
	return route.Config{
		CloudTrail: c.sources(c.Inputs.CloudTrail), Rows: c.sources(c.Inputs.Rekey), Wait: c.Joins.OwnerWait.Std(), MaxBytes: int64(c.Joins.OwnerWaitBytes),
	}
}

// Cloud is the bounds of the join of hosts and CloudTrail, and what is labelled.
func (c *Config) Cloud() cloud.Config {
	return cloud.Config{Hold: c.Joins.Wait.Std(), Labels: c.Labels.Known(), Suppressed: c.suppressed()}
}

// Ledger is what the ledger is told of the hosts.
func (c *Config) Ledger() ledger.Config {
	return ledger.Config{Heartbeat: c.Telemetry.Heartbeat.Std(), RowWait: c.Telemetry.RowWait.Std()}
}

// Load reads the file at path, or the defaults when path is empty, with ${NAME}
// taken from the environment. Its error tells everything that is wrong.
func Load(path string) (*Config, error) {
	var c Config
	if path == "" {
		return &c, config.Defaults(&c)
	}
	if err := config.Load(path, &c, os.LookupEnv); err != nil {
		return nil, err
	}
	return &c, nil
}
