package kafkaconn_test

import (
	"testing"

	"github.com/stackjoin/stackjoin/internal/config"
	"github.com/stackjoin/stackjoin/internal/kafkaconn"
)

func TestCheck(t *testing.T) {
	dir, ours := t.TempDir(), newAuthority(t)
	certificate, key := ours.issue(t, "a")
	_, otherKey := ours.issue(t, "b")
	ca := write(t, dir, "ca", ours.pem)
	cert, private := write(t, dir, "cert", certificate), write(t, dir, "key", key)
	other, text, none := write(t, dir, "other", otherKey), write(t, dir, "text", []byte("tiger")), dir+"/none"
	blank := write(t, dir, "blank", []byte("\n"))
	for name, c := range map[string]struct {
		config kafkaconn.Config
		keys   []string
	}{
		"nothing to check": {kafkaconn.Config{}, nil},
		"all good": {kafkaconn.Config{
			TLS:  kafkaconn.TLS{CAFile: ca, CertFile: cert, KeyFile: private},
			SASL: kafkaconn.SASL{PasswordFile: text},
		}, nil},
		"no authorities": {kafkaconn.Config{TLS: kafkaconn.TLS{CAFile: none}}, []string{"tls.ca_file"}},
		"not PEM":        {kafkaconn.Config{TLS: kafkaconn.TLS{CAFile: text}}, []string{"tls.ca_file"}},
		"a key as authority": {
			kafkaconn.Config{TLS: kafkaconn.TLS{CAFile: private}}, []string{"tls.ca_file"},
		},
		"no certificate":    {kafkaconn.Config{TLS: kafkaconn.TLS{CertFile: none, KeyFile: private}}, []string{"tls.cert_file"}},
		"certificate text":  {kafkaconn.Config{TLS: kafkaconn.TLS{CertFile: text, KeyFile: private}}, []string{"tls.cert_file"}},
		"key of another":    {kafkaconn.Config{TLS: kafkaconn.TLS{CertFile: cert, KeyFile: other}}, []string{"tls.cert_file"}},
		"the wrong way":     {kafkaconn.Config{TLS: kafkaconn.TLS{CertFile: private, KeyFile: cert}}, []string{"tls.cert_file"}},
		"an empty password": {kafkaconn.Config{SASL: kafkaconn.SASL{PasswordFile: blank}}, []string{"sasl.password_file"}},
		"no secrets": {kafkaconn.Config{SASL: kafkaconn.SASL{
			PasswordFile: none,
			OAuth:        kafkaconn.OAuth{TokenFile: none, ClientSecretFile: none},
			MSK:          kafkaconn.MSK{SecretKeyFile: none, SessionTokenFile: none},
		}}, []string{
			"sasl.password_file", "sasl.oauth.token_file", "sasl.oauth.client_secret_file", "sasl.msk.secret_key_file", "sasl.msk.session_token_file",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			found := c.config.Check()
			if len(found) != len(c.keys) {
				t.Fatalf("found %v", found)
			}
			for i, p := range found {
				if p.Key != c.keys[i] || p.Message == "" {
					t.Errorf("found %v, want %s", p, c.keys[i])
				}
				hides(t, p.Message, "tiger")
			}
		})
	}
}

var _ config.Validator = kafkaconn.Config{}
