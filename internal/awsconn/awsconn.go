// Package awsconn turns the part of a configuration that says how to reach AWS
// (region, identity, proxy) into a configuration of the AWS SDK, for every program
// here that talks to a service of AWS.
//
// Files are read again at each Load, so that a rotated one takes effect without a
// restart. The package must never let a secret into an error or a log line, and
// knows nothing of any service.
package awsconn

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/stackjoin/stackjoin/internal/config"
)

// Config says how to reach AWS and as whom: with the keys here, or by the default
// chain of the AWS SDK (environment, shared files, web identity, container,
// instance), and from there in a role where one is named.
type Config struct {
	Region           string        `yaml:"region" doc:"AWS region; taken from the AWS chain or the instance when empty."`
	Endpoint         string        `yaml:"endpoint" doc:"Address of the service, such as https://vpce-1.kinesis.eu-west-1.vpce.amazonaws.com; AWS's own when empty."`
	Profile          string        `yaml:"profile" doc:"Profile of the AWS chain's shared files."`
	AccessKey        string        `yaml:"access_key" doc:"AWS access key id; the default AWS chain is used when empty."`
	SecretKey        config.Secret `yaml:"secret_key" doc:"AWS secret access key of access_key."`
	SecretKeyFile    string        `yaml:"secret_key_file" doc:"File with the secret access key; it wins over secret_key, and is read again when AWS refuses it."`
	SessionToken     config.Secret `yaml:"session_token" doc:"AWS session token, when the keys are temporary."`
	SessionTokenFile string        `yaml:"session_token_file" doc:"File with the session token; it wins over session_token, and is read again when AWS refuses it."`
	AssumeRole       Role          `yaml:"assume_role"`
	FIPS             bool          `yaml:"fips" default:"false" doc:"Use AWS's endpoints with FIPS 140 cryptography."`
	DualStack        bool          `yaml:"dual_stack" default:"false" doc:"Use AWS's endpoints that answer on IPv6 too."`
	Proxy            config.Secret `yaml:"proxy" doc:"HTTP proxy, such as http://proxy:3128; that of the environment (HTTPS_PROXY, NO_PROXY) when empty."`
	CAFile           string        `yaml:"ca_file" doc:"PEM file of the authorities that may sign the certificates; those of the system when empty."`
}

// Role is a role to take on.
type Role struct {
	ARN             string `yaml:"arn" doc:"Role to take on with the identity above."`
	ExternalID      string `yaml:"external_id" doc:"External id that the role's trust asks for."`
	SessionName     string `yaml:"session_name" default:"stackjoin" doc:"Name of the session, as CloudTrail shows it."`
	WebIdentityFile string `yaml:"web_identity_token_file" doc:"File with an OpenID Connect token to take the role on with, instead of the identity above; it is read for each session."`
	Region          string `yaml:"region" doc:"Region to ask for the role in; region when empty."`
}

// Validate tells what the types alone do not. It implements config.Validator.
func (c Config) Validate() []config.Problem {
	var wrong []config.Problem
	need := func(ok bool, key, message string) {
		if !ok {
			wrong = append(wrong, config.Problem{Key: key, Message: message})
		}
	}
	secret := c.SecretKey != "" || c.SecretKeyFile != ""
	need(c.AccessKey == "" || secret, "secret_key", "needed with access_key, or secret_key_file")
	need(c.AccessKey != "" || !secret && c.SessionToken == "" && c.SessionTokenFile == "", "access_key", "needed with secret_key and session_token")
	need(c.AccessKey == "" || c.Profile == "", "profile", "says another identity than access_key")
	need(c.Endpoint == "" || isURL(c.Endpoint, "https", "http"), "endpoint", "must be an address such as https://kinesis.eu-west-1.amazonaws.com")
	need(c.Endpoint == "" || !c.FIPS && !c.DualStack, "endpoint", "says itself what fips and dual_stack would choose")
	need(c.Proxy == "" || isURL(c.Proxy.Reveal(), "http", "https", "socks5"), "proxy", "must be an address such as http://proxy:3128")
	role := c.AssumeRole
	need(role.ARN == "" || strings.HasPrefix(role.ARN, "arn:"), "assume_role.arn", "must be an ARN such as arn:aws:iam::123456789012:role/name")
	need(role.ARN != "" || role.ExternalID == "" && role.WebIdentityFile == "", "assume_role.arn", "needed for the rest of assume_role to have an effect")
	return wrong
}

func isURL(address string, schemes ...string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return false
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme {
			return true
		}
	}
	return false
}

// Check says which of the files that the configuration names cannot be used as they
// are on disk now. It is for a program's check of its configuration.
func (c Config) Check() []config.Problem {
	var wrong []config.Problem
	for key, path := range map[string]string{
		"secret_key_file": c.SecretKeyFile, "session_token_file": c.SessionTokenFile,
		"assume_role.web_identity_token_file": c.AssumeRole.WebIdentityFile, "ca_file": c.CAFile,
	} {
		if _, err := config.ReadSecret("", path); err != nil {
			wrong = append(wrong, config.Problem{Key: key, Message: err.Error()})
		}
	}
	return wrong
}

// Load makes the SDK's configuration. It asks the instance for its region where
// nothing else says one; credentials are asked for when they are first used.
func (c Config) Load(ctx context.Context) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(c.client()), awsconfig.WithAppID("stackjoin"),
	}
	if c.Region != "" {
		options = append(options, awsconfig.WithRegion(c.Region))
	}
	if c.Profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(c.Profile))
	}
	if c.FIPS {
		options = append(options, awsconfig.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if c.DualStack {
		options = append(options, awsconfig.WithUseDualStackEndpoint(aws.DualStackEndpointStateEnabled))
	}
	more, err := c.files()
	if err != nil {
		return aws.Config{}, err
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, append(options, more...)...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("default AWS chain: %w", err)
	}
	if loaded.Region == "" {
		told, err := imds.NewFromConfig(loaded).GetRegion(ctx, &imds.GetRegionInput{})
		if err != nil {
			return aws.Config{}, fmt.Errorf("no region: set region, or AWS_REGION in the environment; the instance tells none: %w", err)
		}
		loaded.Region = told.Region
	}
	c.assume(&loaded)
	return loaded, nil
}

// files are the options that come from files of ours, as they are on disk now.
func (c Config) files() ([]func(*awsconfig.LoadOptions) error, error) {
	var options []func(*awsconfig.LoadOptions) error
	if c.CAFile != "" {
		pem, err := config.ReadSecret("", c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		options = append(options, awsconfig.WithCustomCABundle(strings.NewReader(pem.Reveal())))
	}
	if c.AccessKey == "" {
		return options, nil
	}
	secret, err := config.ReadSecret(c.SecretKey, c.SecretKeyFile)
	if err != nil {
		return nil, fmt.Errorf("secret_key_file: %w", err)
	}
	session, err := config.ReadSecret(c.SessionToken, c.SessionTokenFile)
	if err != nil {
		return nil, fmt.Errorf("session_token_file: %w", err)
	}
	keys := credentials.NewStaticCredentialsProvider(c.AccessKey, secret.Reveal(), session.Reveal())
	return append(options, awsconfig.WithCredentialsProvider(keys)), nil
}

// client is an HTTP client that goes through the proxy; the SDK's own default takes
// the environment's.
func (c Config) client() *awshttp.BuildableClient {
	client := awshttp.NewBuildableClient()
	if c.Proxy == "" {
		return client
	}
	return client.WithTransportOptions(func(t *http.Transport) {
		if address, err := url.Parse(c.Proxy.Reveal()); err == nil { // Validate has read it
			t.Proxy = http.ProxyURL(address)
		}
	})
}

// assume puts the role in the place of the identity that was found.
func (c Config) assume(loaded *aws.Config) {
	role := c.AssumeRole
	if role.ARN == "" {
		return
	}
	client := sts.NewFromConfig(*loaded, func(o *sts.Options) {
		if role.Region != "" {
			o.Region = role.Region
		}
	})
	if role.WebIdentityFile != "" {
		loaded.Credentials = aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(client, role.ARN, stscreds.IdentityTokenFile(role.WebIdentityFile),
			func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = role.SessionName }))
		return
	}
	loaded.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, role.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = role.SessionName
		if role.ExternalID != "" {
			o.ExternalID = &role.ExternalID
		}
	}))
}
