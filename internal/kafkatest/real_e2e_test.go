//go:build e2e

package kafkatest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/stackjoin/stackjoin/internal/kafkatest"
)

// login is one way into a broker, and whether it should work.
type login struct {
	listener kafkatest.Listener
	opts     []kgo.Opt
	refused  bool
}

func logins(t *testing.T, b *kafkatest.Broker) map[string]login {
	t.Helper()
	trusting := &tls.Config{RootCAs: pool(t, b), MinVersion: tls.VersionTLS12}
	known := trusting.Clone()
	pair, err := tls.LoadX509KeyPair(b.ClientCertFile(), b.ClientKeyFile())
	if err != nil {
		t.Fatal(err)
	}
	known.Certificates = []tls.Certificate{pair}
	with := func(m sasl.Mechanism) []kgo.Opt { return []kgo.Opt{kgo.SASL(m)} }
	return map[string]login{
		"plaintext":      {kafkatest.Plaintext, nil, false},
		"tls":            {kafkatest.TLS, []kgo.Opt{kgo.DialTLSConfig(trusting)}, false},
		"tls, untrusted": {kafkatest.TLS, []kgo.Opt{kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12})}, true},
		"mtls":           {kafkatest.MutualTLS, []kgo.Opt{kgo.DialTLSConfig(known)}, false},
		"mtls, unknown":  {kafkatest.MutualTLS, []kgo.Opt{kgo.DialTLSConfig(trusting)}, true},
		"no login":       {kafkatest.SASL, nil, true},
		"plain":          {kafkatest.SASL, with(plain.Auth{User: kafkatest.User, Pass: kafkatest.Password}.AsMechanism()), false},
		"plain, wrong":   {kafkatest.SASL, with(plain.Auth{User: kafkatest.User, Pass: "guess"}.AsMechanism()), true},
		"scram 256":      {kafkatest.SASL, with(scram.Auth{User: kafkatest.User, Pass: kafkatest.Password}.AsSha256Mechanism()), false},
		"scram 512":      {kafkatest.SASL, with(scram.Auth{User: kafkatest.User, Pass: kafkatest.Password}.AsSha512Mechanism()), false},
		"scram, wrong":   {kafkatest.SASL, with(scram.Auth{User: kafkatest.User, Pass: "guess"}.AsSha512Mechanism()), true},
		"oauth":          {kafkatest.SASL, with(oauth.Auth{Token: b.Token(t, time.Hour)}.AsMechanism()), false},
		"oauth, expired": {kafkatest.SASL, with(oauth.Auth{Token: b.Token(t, -time.Hour)}.AsMechanism()), true},
		"tls and scram": {kafkatest.SASLTLS, append(with(scram.Auth{User: kafkatest.User, Pass: kafkatest.Password}.AsSha256Mechanism()),
			kgo.DialTLSConfig(trusting)), false},
	}
}

func pool(t *testing.T, b *kafkatest.Broker) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(b.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(text)
	return p
}

func TestRealTakesEveryLogin(t *testing.T) {
	b := kafkatest.Real(t, kafkatest.With(kafkatest.TLS, kafkatest.MutualTLS, kafkatest.SASL, kafkatest.SASLTLS))
	kafkatest.CreateTopic(t, b.Addrs(), "t", 1, nil)
	for name, l := range logins(t, b) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if l.refused {
				l.opts = append(l.opts, kgo.RequestRetries(1))
			}
			client := kafkatest.Client(t, []string{b.Addr(l.listener)}, l.opts...)
			if err := client.Ping(ctx); (err != nil) != l.refused {
				t.Errorf("got %v, want refused %v", err, l.refused)
			}
		})
	}
}

func TestRealKeepsItsDataOverStopAndKill(t *testing.T) {
	b := kafkatest.Real(t, kafkatest.Set("message.max.bytes", "2000000"))
	kafkatest.CreateTopic(t, b.Addrs(), "t", 3, map[string]string{"message.timestamp.type": "LogAppendTime"})
	for i, end := range []func(testing.TB){b.Stop, b.Kill} {
		client := kafkatest.Client(t, b.Addrs(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		r := &kgo.Record{Topic: "t", Partition: int32(i), Value: []byte("v")}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		client.Close()
		end(t)
		b.Start(t)
		if got := kafkatest.Read(t, b.Addrs(), "t"); len(got) != i+1 {
			t.Errorf("after end %d: %d records, want %d", i, len(got), i+1)
		}
	}
}
