package kafkaconn

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/logging"
)

// Options returns the options for a franz-go client that connects as configured and logs
// to log. It opens no file and no connection. An error lists what Validate finds.
func (c Config) Options(log *slog.Logger) ([]kgo.Opt, error) {
	if err := c.invalid(); err != nil {
		return nil, err
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.WithLogger(bridge{log, &logging.Throttle{}}),
	}
	if c.ClientID != "" {
		options = append(options, kgo.ClientID(c.ClientID))
	}
	if c.TLS.Enabled {
		options = append(options, kgo.Dialer(c.TLS.dial))
	}
	if mechanism := c.SASL.mechanism(); mechanism != nil {
		options = append(options, kgo.SASL(mechanism))
	}
	c.warn(log)
	return options, nil
}

func (c Config) invalid() error {
	var all []error
	for _, p := range c.Validate() {
		all = append(all, fmt.Errorf("kafka: %s: %s", p.Key, p.Message))
	}
	return errors.Join(all...)
}

// warn says what is allowed but dangerous.
func (c Config) warn(log *slog.Logger) {
	if c.TLS.InsecureSkipVerify {
		log.Warn("the brokers' certificates are not verified: anyone on the way can read and change everything")
	}
	if m := c.SASL.Mechanism; !c.TLS.Enabled && (m == Plain || m == OAuthBearer) {
		log.Warn("the password or token goes over the network in clear: enable TLS", "mechanism", string(m))
	}
}
