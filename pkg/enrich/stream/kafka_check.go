package stream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// checkTimeout is how long a broker may take to answer at start.
const checkTimeout = 15 * time.Second

// CheckKafka asks a broker whether it is there, whether the topics exist, and
// whether those that move together have equal partition counts. Its errors are for
// the person who starts the program.
func CheckKafka(ctx context.Context, cfg KafkaConfig) error {
	client, err := kgo.NewClient(append(cfg.Connection[:len(cfg.Connection):len(cfg.Connection)], kgo.RetryTimeout(checkTimeout))...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	brokers := fmt.Sprint(client.OptValue(kgo.SeedBrokers))
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("kafka: no broker of %s answers: %w", brokers, err)
	}
	names := append([]string{cfg.StateTopic}, cfg.Inputs...)
	for _, topic := range cfg.Outputs {
		names = append(names, topic)
	}
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("kafka: list topics at %s: %w", brokers, err)
	}
	if err := cfg.checkTopics(topics, names, brokers); err != nil {
		return err
	}
	return cfg.checkCompacted(ctx, admin)
}

func (c KafkaConfig) checkTopics(topics kadm.TopicDetails, names []string, brokers string) error {
	inputs := len(topics[c.Inputs[0]].Partitions)
	var missing []string
	for _, name := range names {
		if !topics.Has(name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		advice := "create it, or set inputs.results and outputs to topics that exist (and that this user may describe)"
		if missing[0] == c.StateTopic && inputs > 0 {
			advice = fmt.Sprintf("%s holds the state: create it with cleanup.policy=compact and %d partitions, as %s has", c.StateTopic, inputs, c.Inputs[0])
		}
		return fmt.Errorf("kafka: %s has no topic %s: %s", brokers, strings.Join(missing, ", "), advice)
	}
	for _, name := range names[:1+len(c.Inputs)] {
		if n := len(topics[name].Partitions); n != inputs {
			return fmt.Errorf("kafka: %s has %d partitions and %s has %d: a partition's state and all its inputs move together, so the counts must be equal",
				name, n, c.Inputs[0], inputs)
		}
	}
	return nil
}

// checkCompacted refuses a state topic that forgets. A user who may not see the
// setting is believed to have made it.
func (c KafkaConfig) checkCompacted(ctx context.Context, admin *kadm.Client) error {
	configs, err := admin.DescribeTopicConfigs(ctx, c.StateTopic)
	if err != nil {
		return nil //nolint:nilerr // it may not be ours to see
	}
	for _, topic := range configs {
		for _, setting := range topic.Configs {
			if setting.Key == "cleanup.policy" && setting.MaybeValue() != "compact" {
				return fmt.Errorf("kafka: topic %s has cleanup.policy=%s and would forget state: set it to compact", c.StateTopic, setting.MaybeValue())
			}
		}
	}
	return nil
}

// CheckRetention tells which inputs do not keep their records for window, in words for
// the person who starts the program: what is to be read again later may be gone. What
// this user may not see is believed to be kept.
func CheckRetention(ctx context.Context, cfg KafkaConfig, window time.Duration) (warnings []string) {
	client, err := kgo.NewClient(append(cfg.Connection[:len(cfg.Connection):len(cfg.Connection)], kgo.RetryTimeout(checkTimeout))...)
	if err != nil {
		return nil
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, cfg.Inputs...)
	if err != nil {
		return nil
	}
	for _, topic := range configs {
		for _, setting := range topic.Configs {
			kept, err := strconv.ParseInt(setting.MaybeValue(), 10, 64)
			if err != nil || kept < 0 {
				continue
			}
			switch setting.Key {
			case "retention.ms":
				if kept := time.Duration(kept) * time.Millisecond; kept < window {
					warnings = append(warnings, fmt.Sprintf("topic %s keeps records for %v, retro.window is %v: what feeds learn later than that is not found; set retention.ms to %d or more",
						topic.Name, kept, window, window.Milliseconds()))
				}
			case "retention.bytes":
				warnings = append(warnings, fmt.Sprintf("topic %s keeps at most %d bytes of a partition: where that is less than %v of records, what feeds learn later is not found",
					topic.Name, kept, window))
			}
		}
	}
	return warnings
}
