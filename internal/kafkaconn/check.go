package kafkaconn

import (
	"crypto/tls"

	"github.com/stackjoin/stackjoin/internal/config"
)

// Check says which of the files that the configuration names cannot be used as they are
// on disk now: unreadable, empty, not PEM, or a key of another certificate. It is for a
// program's check of its configuration; Options does not call it.
func (c Config) Check() []config.Problem {
	var found problems
	c.TLS.check(&found)
	for _, secret := range c.SASL.files() {
		if _, err := config.ReadSecret("", secret.path); err != nil {
			found.add(secret.key, err.Error())
		}
	}
	return found
}

func (t TLS) check(found *problems) {
	if t.CAFile != "" {
		if _, err := readAuthorities(t.CAFile); err != nil {
			found.add("tls.ca_file", err.Error())
		}
	}
	if t.CertFile != "" && t.KeyFile != "" {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			found.add("tls.cert_file", "with key_file: "+err.Error())
		}
	}
}

// secretFile is a setting that names a file with a secret.
type secretFile struct{ key, path string }

func (s SASL) files() []secretFile {
	return []secretFile{
		{"sasl.password_file", s.PasswordFile},
		{"sasl.oauth.token_file", s.OAuth.TokenFile},
		{"sasl.oauth.client_secret_file", s.OAuth.ClientSecretFile},
		{"sasl.msk.secret_key_file", s.MSK.SecretKeyFile},
		{"sasl.msk.session_token_file", s.MSK.SessionTokenFile},
	}
}
