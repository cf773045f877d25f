//go:build e2e

package kafkaconn

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// Each way to secure a connection, on a real broker: a record goes there and
// comes back.
func TestEverySecurityModeOnARealBroker(t *testing.T) {
	b := kafkatest.Real(t, kafkatest.With(kafkatest.TLS, kafkatest.MutualTLS, kafkatest.SASL, kafkatest.SASLTLS))
	kafkatest.CreateTopic(t, b.Addrs(), "t", 1, nil)
	tls := TLS{Enabled: true, CAFile: b.CAFile()}
	mutual := tls
	mutual.CertFile, mutual.KeyFile = b.ClientCertFile(), b.ClientKeyFile()
	user := func(m Mechanism) SASL {
		return SASL{Mechanism: m, Username: kafkatest.User, Password: config.Secret(kafkatest.Password)}
	}
	token := SASL{Mechanism: OAuthBearer, OAuth: OAuth{Token: config.Secret(b.Token(t, time.Hour))}}
	for name, c := range map[string]struct {
		listener kafkatest.Listener
		tls      TLS
		sasl     SASL
	}{
		"TLS":                   {kafkatest.TLS, tls, SASL{}},
		"mTLS":                  {kafkatest.MutualTLS, mutual, SASL{}},
		"PLAIN":                 {kafkatest.SASL, TLS{}, user(Plain)},
		"SCRAM-SHA-256":         {kafkatest.SASL, TLS{}, user(ScramSHA256)},
		"SCRAM-SHA-512":         {kafkatest.SASL, TLS{}, user(ScramSHA512)},
		"SCRAM-SHA-512 and TLS": {kafkatest.SASLTLS, tls, user(ScramSHA512)},
		"OAUTHBEARER":           {kafkatest.SASL, TLS{}, token},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Brokers: []string{b.Addr(c.listener)}, TLS: c.tls, SASL: c.sasl}
			if err := roundTrip(t, cfg, name); err != nil {
				t.Error(err)
			}
		})
	}
	wrong := user(ScramSHA256)
	wrong.Password = "hunter2"
	err := roundTrip(t, Config{Brokers: []string{b.Addr(kafkatest.SASL)}, SASL: wrong}, "x", kgo.RequestRetries(1))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a wrong password: %v", err)
	}
	if err := roundTrip(t, Config{Brokers: []string{b.Addr(kafkatest.MutualTLS)}, TLS: tls}, "x", kgo.RequestRetries(1)); err == nil {
		t.Error("mTLS without a certificate was let in")
	}
}

// roundTrip produces value and waits until it is read back.
func roundTrip(t *testing.T, cfg Config, value string, extra ...kgo.Opt) error {
	t.Helper()
	options, err := cfg.Options(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(append(options, kgo.ConsumeTopics("t")), extra...)...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return err
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
		return err
	}
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, r := range fetches.Records() {
			if string(r.Value) == value {
				return nil
			}
		}
	}
}
