package kafkaconn

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/stackjoin/stackjoin/internal/config"
)

// mechanism returns what logs each connection in, nil for none. Secrets are read when it
// is asked, not here.
func (s SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case Plain:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password()
			return plain.Auth{User: s.Username, Pass: password}, err
		})
	case ScramSHA256:
		return scram.Sha256(s.scram)
	case ScramSHA512:
		return scram.Sha512(s.scram)
	case OAuthBearer:
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.OAuth.token(ctx)
			return oauth.Auth{Token: token, Extensions: s.OAuth.Extensions}, err
		})
	case AWSMSKIAM:
		return iam{s.MSK, time.Now}
	case None:
	}
	return nil
}

func (s SASL) scram(context.Context) (scram.Auth, error) {
	password, err := s.password()
	return scram.Auth{User: s.Username, Pass: password}, err
}

func (s SASL) password() (string, error) {
	secret, err := config.ReadSecret(s.Password, s.PasswordFile)
	return secret.Reveal(), err
}
