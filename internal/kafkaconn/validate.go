package kafkaconn

import (
	"net"
	"net/url"
	"reflect"
)

func (s SASL) validate(found *problems) {
	switch s.Mechanism {
	case Plain, ScramSHA256, ScramSHA512:
		found.need(s.Username != "", "sasl.username", "needed for "+string(s.Mechanism))
		found.need(s.Password != "" || s.PasswordFile != "", "sasl.password", "needed for "+string(s.Mechanism)+", or password_file")
	case OAuthBearer:
		s.OAuth.validate(found)
	case AWSMSKIAM:
		s.MSK.validate(found)
	case None, "":
	default:
		found.add("sasl.mechanism", "unknown")
	}
	s.unused(found)
}

// unused reports the settings that another mechanism needs: they would do nothing, and
// whoever wrote them believes that they do.
func (s SASL) unused(found *problems) {
	user := s.Mechanism == Plain || s.Mechanism == ScramSHA256 || s.Mechanism == ScramSHA512
	if !user && (s.Username != "" || s.Password != "" || s.PasswordFile != "") {
		found.add("sasl.mechanism", "must be plain or scram for username and password to have an effect")
	}
	if s.Mechanism != OAuthBearer && !empty(s.OAuth) {
		found.add("sasl.mechanism", "must be oauthbearer for the settings of oauth to have an effect")
	}
	if s.Mechanism != AWSMSKIAM && !empty(s.MSK) {
		found.add("sasl.mechanism", "must be aws-msk-iam for the settings of msk to have an effect")
	}
}

func empty(section any) bool {
	v := reflect.ValueOf(section)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() && (f.Kind() == reflect.String || f.Len() > 0) {
			return false
		}
	}
	return true
}

func (o OAuth) validate(found *problems) {
	token := o.Token != "" || o.TokenFile != ""
	grant := o.TokenURL != ""
	switch {
	case !token && !grant:
		found.add("sasl.oauth", "needs token, token_file or token_url")
	case token && grant:
		found.add("sasl.oauth", "has both a token and token_url")
	case token:
		found.need(o.ClientID == "" && o.ClientSecret == "" && o.ClientSecretFile == "" && len(o.Scopes) == 0,
			"sasl.oauth.token_url", "needed for the client and scopes to have an effect")
	default:
		found.need(isTokenURL(o.TokenURL), "sasl.oauth.token_url", "must be an https address without user and password")
		found.need(o.ClientID != "", "sasl.oauth.client_id", "needed with token_url")
		found.need(o.ClientSecret != "" || o.ClientSecretFile != "", "sasl.oauth.client_secret", "needed with token_url, or client_secret_file")
	}
}

// isTokenURL says whether a secret may be sent to the address: by https, or by http to
// the machine itself. An address with a user is refused because errors show addresses.
func isTokenURL(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

func (m MSK) validate(found *problems) {
	secret := m.SecretKey != "" || m.SecretKeyFile != ""
	session := m.SessionToken != "" || m.SessionTokenFile != ""
	found.need(m.AccessKey == "" || secret, "sasl.msk.secret_key", "needed with access_key, or secret_key_file")
	found.need(m.AccessKey != "" || !secret && !session, "sasl.msk.access_key", "needed with secret_key and session_token")
}
