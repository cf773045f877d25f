// Package loggerconf is the configuration of logger-ext: its keys, their defaults
// and what they mean, and where the file is looked for. docs/config.md is
// generated from it.
//
// It must not open what it describes.
package loggerconf

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/kafkaconn"
	"github.com/stackjoin/stackjoin/internal/kinesisconn"
	"github.com/stackjoin/stackjoin/internal/logging"
	"github.com/stackjoin/stackjoin/internal/redact"
	"github.com/stackjoin/stackjoin/internal/route"
)

// Variable names the environment variable with the file's path.
const Variable = "LOGGER_EXT_CONFIG"

// Config is the whole file.
type Config struct {
	Kafka          *kafkaconn.Config   `yaml:"kafka" doc:"Kafka to send to; with its defaults when the file has neither this nor kinesis nor firehose."`
	Kinesis        *kinesisconn.Config `yaml:"kinesis" doc:"Kinesis to send to, in the place of Kafka (docs/kinesis.md)."`
	Firehose       *Firehose           `yaml:"firehose" doc:"Amazon Data Firehose to send to, in the place of Kafka, as lines of JSON (docs/kinesis.md)."`
	Topics         Topics              `yaml:"topics"`
	Routes         []route.Rule        `yaml:"routes" doc:"Calls that go to topics of their own. The first entry that matches wins, before redact changes anything; the rest goes to topics.results and topics.status."`
	PackDelimiter  string              `yaml:"pack_delimiter" default:"_" doc:"osqueryd's --pack_delimiter, which routes by pack need; Fleet sets a slash."`
	Redact         Redact              `yaml:"redact"`
	Key            string              `yaml:"key" default:"agent" enum:"agent|host_identifier" doc:"What records are keyed by, which decides their partition: the agent's UUID, or osquery's hostIdentifier."`
	Compression    string              `yaml:"compression" default:"zstd" enum:"none|gzip|snappy|lz4|zstd" doc:"Compression of the batches sent to Kafka; kinesis has its own."`
	BuiltInNames   bool                `yaml:"built_in_names" default:"false" doc:"Send osqueryd's lines as its own kafka_producer does, for readers of that: the line as it is, one a record, without delivery; the row's name then stands in headers only."`
	MaxRecordBytes config.Bytes        `yaml:"max_record_bytes" default:"1000000" doc:"Largest record that is sent; larger rows become dead letters. Raise it together with the topics' max.message.bytes, or kinesis.record_bytes; firehose takes no larger one than 1023999 bytes."`
	Batch          Batch               `yaml:"batch"`
	Shipping       Shipping            `yaml:"shipping"`
	Heartbeat      config.Duration     `yaml:"heartbeat" default:"5m" doc:"Time between two heartbeats, records in line with the rows that say that this host lives and how its spool fares; 0 sends none, and nobody then notices a silent host."`
	Spool          Spool               `yaml:"spool"`
	Metrics        Metrics             `yaml:"metrics"`
	Log            logging.Config      `yaml:"log"`
}

// Metrics says where logger-ext tells of itself.
type Metrics struct {
	Listen string `yaml:"listen" doc:"Address for Prometheus to scrape (/metrics) and for health checks (/healthz), such as 127.0.0.1:9465. Whoever reaches it can read it. Empty opens no port. A change takes effect at the next start."`
}

// Topics names where rows go.
type Topics struct {
	Results    string `yaml:"results" default:"osquery.results" doc:"Topic of result rows."`
	Status     string `yaml:"status" default:"osquery.status" doc:"Topic of osquery's own log lines."`
	DeadLetter string `yaml:"deadletter" default:"osquery.deadletter" doc:"Topic of calls and rows that cannot be shipped as they are."`
}

// Batch says when what is spooled is sent.
type Batch struct {
	MaxBytes config.Bytes    `yaml:"max_bytes" default:"640KiB" doc:"Size from which a batch is sent, before compression and without headers. A batch is held in memory; the default fills one request to a broker with usual limits."`
	MaxAge   config.Duration `yaml:"max_age" default:"500ms" doc:"How long the first call of a batch waits for others."`
}

// Shipping bounds what sending costs the host and, with a fleet, the cluster.
type Shipping struct {
	MaxCPU    float64         `yaml:"max_cpu" default:"5" doc:"Most that sending may use, in percent of one core over 10 seconds; 0 means no bound. Taking calls from osqueryd is never slowed."`
	MaxDelay  config.Duration `yaml:"max_delay" default:"30s" doc:"Bound of the random wait after an outage, and at a start with a backlog, so that a fleet does not come back in step."`
	DrainRate config.Bytes    `yaml:"drain_rate" default:"4MiB" doc:"Most bytes a second, before compression, while such a backlog is sent; 0 means no bound."`
}

// Redact takes secrets out of calls before they are written to disk.
type Redact struct {
	Rules   []redact.Rule `yaml:"rules" doc:"What is taken out. A secret becomes [redacted:NAME:DIGEST], with the first 12 hexadecimal digits of its HMAC-SHA256; all rules see the original text."`
	Key     config.Secret `yaml:"key" doc:"Key of the digests. Hosts that share it mark equal secrets alike. A random one, kept beside the spool, when empty."`
	KeyFile string        `yaml:"key_file" doc:"File with the key; it wins over key."`
}

// minKey is the length of a key that cannot be guessed along with the secrets.
const minKey = 16

// Validate tells what the types alone do not. It implements config.Validator.
func (r *Redact) Validate() []config.Problem {
	if n := len(r.Key.Reveal()); n > 0 && n < minKey {
		return []config.Problem{{Key: "key", Message: fmt.Sprintf("must be at least %d characters: whoever guesses it can try out secrets against the digests", minKey)}}
	}
	return nil
}

// Spool bounds what is kept on disk until it is delivered.
type Spool struct {
	Dir               string       `yaml:"dir" doc:"Folder of the spool, made 0700. Empty means the operating system's usual place: /var/lib/stackjoin/spool, /var/db/stackjoin/spool on macOS, %ProgramData%\\stackjoin\\spool on Windows. A change takes effect at the next start."`
	MaxBytes          config.Bytes `yaml:"max_bytes" default:"1GiB" doc:"Largest size of all that logger-ext keeps in the folder. What happens above it is when_full's to say."`
	MinFree           string       `yaml:"min_free" default:"auto" doc:"Size that is left free on the disk for others, as in 512MiB; auto means 1 GiB or 5 % of the disk, whichever is more."`
	WhenFull          string       `yaml:"when_full" default:"drop_oldest" enum:"drop_oldest|drop_newest|block" doc:"What gives way when max_bytes or min_free is reached: the oldest calls that are not being sent; the new ones; or osqueryd, which waits for up to 60 s in all before new calls are dropped. A marker on the topic names what was dropped."`
	Sync              string       `yaml:"sync" default:"call" doc:"When calls are synced to disk: call (before osqueryd is answered) or a time such as 100ms, which is cheaper on slow disks, and survives a crash of logger-ext but not a power cut. A change takes effect at the next start."`
	OversizedMaxBytes config.Bytes `yaml:"oversized_max_bytes" default:"256MiB" doc:"Largest size of the folder oversized in the spool, which keeps rows whole that are too large to send. It counts towards max_bytes."`
}

// FreeBytes is min_free as the spool understands it: 0 is its own default, less
// means nothing. Validate has read it.
func (s *Spool) FreeBytes() int64 {
	n, err := config.ParseBytes(s.MinFree)
	switch {
	case err != nil:
		return 0
	case n == 0:
		return -1
	}
	return int64(n)
}

// SyncEvery is the time between two syncs, 0 for one per call. Validate has read
// it.
func (s *Spool) SyncEvery() time.Duration {
	d, err := config.ParseDuration(s.Sync)
	if err != nil {
		return 0
	}
	return d.Std()
}

func (s *Spool) validate(add func(bad bool, key, message string)) {
	add(s.MaxBytes < 1<<20, "spool.max_bytes", "must be at least 1MiB")
	_, err := config.ParseBytes(s.MinFree)
	add(s.MinFree != "auto" && err != nil, "spool.min_free", "must be auto or a size such as 512MiB")
	d, err := config.ParseDuration(s.Sync)
	add(s.Sync != "call" && (err != nil || d.Std() < time.Millisecond || d.Std() > 10*time.Second), "spool.sync", "must be call, or a time between 1ms and 10s")
}

// Validate tells what the types alone do not. It implements config.Validator.
func (c *Config) Validate() []config.Problem {
	var wrong []config.Problem
	add := func(bad bool, key, message string) {
		if bad {
			wrong = append(wrong, config.Problem{Key: key, Message: message})
		}
	}
	add(c.Topics.Results == "", "topics.results", "must name a topic")
	add(c.Topics.Status == "", "topics.status", "must name a topic")
	add(c.Topics.DeadLetter == "", "topics.deadletter", "must name a topic")
	wrongDelimiter := route.CheckDelimiter(c.PackDelimiter)
	add(wrongDelimiter != "", "pack_delimiter", wrongDelimiter)
	add(c.MaxRecordBytes < 16<<10, "max_record_bytes", "must be at least 16KiB")
	add(c.MaxRecordBytes > 512<<20, "max_record_bytes", "must be at most 512MiB")
	add(c.Batch.MaxBytes < 1<<10 || c.Batch.MaxBytes > 64<<20, "batch.max_bytes", "must be between 1KiB and 64MiB")
	add(c.Batch.MaxAge.Std() > time.Minute, "batch.max_age", "must be at most 1m")
	add(c.Shipping.MaxCPU < 0, "shipping.max_cpu", "must be 0 or more, in percent of a core")
	add(c.Heartbeat != 0 && c.Heartbeat.Std() < time.Second, "heartbeat", "must be 0 or at least 1s")
	c.Spool.validate(add)
	c.validateDestination(add)
	add(!listenable(c.Metrics.Listen), "metrics.listen", "must be an address and a port, such as 127.0.0.1:9465")
	return wrong
}

// listenable tells whether an address is empty or names a TCP port.
func listenable(address string) bool {
	if address == "" {
		return true
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// SpoolDir is the spool's folder.
func (c *Config) SpoolDir() string {
	if c.Spool.Dir != "" {
		return c.Spool.Dir
	}
	return filepath.Join(systemDir("/var/lib/stackjoin", "/var/db/stackjoin"), "spool")
}

// Path is the file to read: the flag's, else the environment's, else the
// operating system's usual one.
func Path(flag string) string {
	if flag != "" {
		return flag
	}
	if path := os.Getenv(Variable); path != "" {
		return path
	}
	return filepath.Join(systemDir("/etc/stackjoin", "/usr/local/etc/stackjoin"), "logger-ext.yaml")
}

// systemDir is the folder for our files on this operating system.
func systemDir(linux, darwin string) string {
	switch runtime.GOOS {
	case "windows":
		base := os.Getenv("ProgramData")
		if base == "" {
			base = `C:\ProgramData`
		}
		return filepath.Join(base, "stackjoin")
	case "darwin":
		return darwin
	}
	return linux
}

// Load reads the file at path with ${NAME} taken from the environment. With an
// error that tells everything that is wrong, the Config is filled as far as it
// went, so that the spool can be found all the same.
func Load(path string) (*Config, error) {
	c := &Config{}
	if err := config.Defaults(c); err != nil {
		return nil, fmt.Errorf("defaults: %w", err)
	}
	err := config.Load(path, c, os.LookupEnv)
	if c.Kafka != nil || c.Kinesis != nil || c.Firehose != nil {
		return c, err
	}
	c.Kafka = &kafkaconn.Config{}
	if defaults := config.Defaults(c.Kafka); defaults != nil {
		return c, fmt.Errorf("defaults: %w", defaults)
	}
	return c, err
}
