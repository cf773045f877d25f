package kafkaconn

import (
	"fmt"
	"net"
	"strconv"

	"github.com/stackjoin/stackjoin/internal/config"
)

// Config says how to reach a Kafka cluster.
type Config struct {
	Brokers  []string `yaml:"brokers" default:"127.0.0.1:9092" doc:"Brokers to start from, as host:port; the cluster names the rest."`
	ClientID string   `yaml:"client_id" default:"stackjoin" doc:"Name of this client in the brokers' logs, metrics and quotas."`
	TLS      TLS      `yaml:"tls"`
	SASL     SASL     `yaml:"sasl"`
}

// TLS says how to encrypt the connections and with which certificates.
type TLS struct {
	Enabled            bool   `yaml:"enabled" default:"false" doc:"Encrypt the connections to the brokers."`
	CAFile             string `yaml:"ca_file" doc:"PEM file of the authorities that may sign the brokers' certificates; those of the system when empty."`
	CertFile           string `yaml:"cert_file" doc:"PEM file of the client's certificate chain, for brokers that ask for one (mTLS)."`
	KeyFile            string `yaml:"key_file" doc:"PEM file of the private key of cert_file."`
	ServerName         string `yaml:"server_name" doc:"Name that the brokers' certificates must have; the host connected to when empty."`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify" default:"false" doc:"Danger: accept any certificate, so that anyone on the way can read and change everything, passwords included; never outside a test."`
}

// Mechanism is a way to say who the client is.
type Mechanism string

// The mechanisms, as in a configuration.
const (
	None        Mechanism = "none"
	Plain       Mechanism = "plain"
	ScramSHA256 Mechanism = "scram-sha-256"
	ScramSHA512 Mechanism = "scram-sha-512"
	OAuthBearer Mechanism = "oauthbearer"
	AWSMSKIAM   Mechanism = "aws-msk-iam"
)

// SASL says who the client is to the brokers.
type SASL struct {
	Mechanism    Mechanism     `yaml:"mechanism" default:"none" enum:"none|plain|scram-sha-256|scram-sha-512|oauthbearer|aws-msk-iam" doc:"How to log in to the brokers."`
	Username     string        `yaml:"username" doc:"User of plain and scram."`
	Password     config.Secret `yaml:"password" doc:"Password of plain and scram."`
	PasswordFile string        `yaml:"password_file" doc:"File with the password; it wins over password and is read for each connection."`
	OAuth        OAuth         `yaml:"oauth"`
	MSK          MSK           `yaml:"msk"`
}

// OAuth says where the token of oauthbearer comes from: token_file, or token, or the
// client credentials grant at token_url.
type OAuth struct {
	Token            config.Secret     `yaml:"token" doc:"Token of oauthbearer."`
	TokenFile        string            `yaml:"token_file" doc:"File with the token; it wins over token and is read for each connection."`
	TokenURL         string            `yaml:"token_url" doc:"Where to ask for a token for each connection, by the client credentials grant; https, or http to this machine."`
	ClientID         string            `yaml:"client_id" doc:"Client of the grant."`
	ClientSecret     config.Secret     `yaml:"client_secret" doc:"Secret of the grant."`
	ClientSecretFile string            `yaml:"client_secret_file" doc:"File with the secret of the grant; it wins over client_secret and is read for each connection."`
	Scopes           []string          `yaml:"scopes" doc:"Scopes to ask for."`
	Extensions       map[string]string `yaml:"extensions" doc:"SASL extensions to send with the token, as some providers ask for."`
}

// MSK says which AWS identity aws-msk-iam signs with: the keys here, or the default chain
// of the AWS SDK (environment, shared files, web identity, container, instance).
type MSK struct {
	Region           string        `yaml:"region" doc:"AWS region of the cluster; taken from the broker's name when empty, or from the AWS chain."`
	AccessKey        string        `yaml:"access_key" doc:"AWS access key id; the default AWS chain is used when empty."`
	SecretKey        config.Secret `yaml:"secret_key" doc:"AWS secret access key of access_key."`
	SecretKeyFile    string        `yaml:"secret_key_file" doc:"File with the secret access key; it wins over secret_key and is read for each connection."`
	SessionToken     config.Secret `yaml:"session_token" doc:"AWS session token, when the keys are temporary."`
	SessionTokenFile string        `yaml:"session_token_file" doc:"File with the session token; it wins over session_token and is read for each connection."`
}

// Validate says what is wrong with the values. It does not look at the files; Check does.
func (c Config) Validate() []config.Problem {
	var found problems
	if len(c.Brokers) == 0 {
		found.add("brokers", "at least one host:port is needed")
	}
	for i, broker := range c.Brokers {
		if !isHostPort(broker) {
			found.add(fmt.Sprintf("brokers[%d]", i), fmt.Sprintf("%q is not host:port", broker))
		}
	}
	c.TLS.validate(&found)
	c.SASL.validate(&found)
	if c.SASL.Mechanism == AWSMSKIAM && !c.TLS.Enabled {
		found.add("tls.enabled", "aws-msk-iam needs TLS")
	}
	return found
}

func isHostPort(broker string) bool {
	host, port, err := net.SplitHostPort(broker)
	n, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && host != "" && n > 0
}

func (t TLS) validate(found *problems) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		found.add("tls", "cert_file and key_file go together")
	}
	if set := t.CAFile + t.CertFile + t.KeyFile + t.ServerName; !t.Enabled && (set != "" || t.InsecureSkipVerify) {
		found.add("tls.enabled", "must be true for the other settings of tls to have an effect")
	}
	if t.InsecureSkipVerify && t.CAFile != "" {
		found.add("tls.insecure_skip_verify", "contradicts ca_file: nothing is verified")
	}
}

// problems collects what is wrong.
type problems []config.Problem

func (p *problems) add(key, message string) {
	*p = append(*p, config.Problem{Key: key, Message: message})
}

// need reports the key unless the condition holds.
func (p *problems) need(holds bool, key, message string) {
	if !holds {
		p.add(key, message)
	}
}
