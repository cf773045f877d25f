package kafkaconn

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/stackjoin/stackjoin/internal/config"
)

const (
	mskService = "kafka-cluster"
	mskVersion = "2020_10_22"
	mskExpiry  = 15 * time.Minute // as AWS's own library for Java asks for
	mskAgent   = "stackjoin"

	// emptyPayload is the SHA-256 of nothing: the request that is signed has no body.
	emptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// iam is the AWS_MSK_IAM mechanism. franz-go has one too, but it takes the region from
// AWS's own host names or the environment only, so that a broker behind another name, or
// in a partition it does not list, could not be configured.
type iam struct {
	MSK

	now func() time.Time
}

// Name returns the name of the mechanism on the wire.
func (iam) Name() string { return "AWS_MSK_IAM" }

// Authenticate returns the one message of the mechanism: a signed request to connect.
func (m iam) Authenticate(ctx context.Context, address string) (sasl.Session, []byte, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, fmt.Errorf("aws-msk-iam: %w", err)
	}
	keys, region, err := m.identity(ctx, host)
	if err != nil {
		return nil, nil, fmt.Errorf("aws-msk-iam: %w", err)
	}
	message, err := signed(ctx, host, region, keys, m.now())
	if err != nil {
		return nil, nil, fmt.Errorf("aws-msk-iam: %w", err)
	}
	return iamSession{}, message, nil
}

// iamSession ends with the broker's answer, which is never empty when it agrees.
type iamSession struct{}

// Challenge reads the broker's answer.
func (iamSession) Challenge(answer []byte) (bool, []byte, error) {
	if len(answer) == 0 {
		return false, nil, errors.New("aws-msk-iam: the broker refused")
	}
	return true, nil, nil
}

// identity returns the keys to sign with and the region to sign for. The AWS chain is
// only asked for what the configuration and the broker's name do not say.
func (m MSK) identity(ctx context.Context, host string) (aws.Credentials, string, error) {
	region := cmp.Or(m.Region, regionOf(host))
	if m.AccessKey != "" && region != "" {
		keys, err := m.keys()
		return keys, region, err
	}
	chain, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region))
	switch {
	case err != nil:
		return aws.Credentials{}, "", fmt.Errorf("default AWS chain: %w", err)
	case chain.Region == "":
		return aws.Credentials{}, "", fmt.Errorf("no region: set sasl.msk.region, since the name %s does not tell", host)
	}
	if m.AccessKey != "" {
		keys, err := m.keys()
		return keys, chain.Region, err
	}
	keys, err := chain.Credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, "", fmt.Errorf("default AWS chain: %w", err)
	}
	return keys, chain.Region, nil
}

// keys returns the configured keys, with the secret ones as they are on disk now.
func (m MSK) keys() (aws.Credentials, error) {
	secret, err := config.ReadSecret(m.SecretKey, m.SecretKeyFile)
	if err != nil {
		return aws.Credentials{}, err
	}
	session, err := config.ReadSecret(m.SessionToken, m.SessionTokenFile)
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{AccessKeyID: m.AccessKey, SecretAccessKey: secret.Reveal(), SessionToken: session.Reveal()}, nil
}

// regionOf returns the region in a broker's name of AWS, as in
// b-1.name.abcdef.c2.kafka.eu-west-1.amazonaws.com, or nothing.
func regionOf(host string) string {
	labels := strings.Split(host, ".")
	for i := len(labels) - 3; i > 0; i-- {
		if labels[i] == "kafka" || labels[i] == "kafka-serverless" {
			return labels[i+1]
		}
	}
	return ""
}

// signed returns the message of the mechanism: the query of a presigned request to the
// host, as a JSON object with lower-case names.
func signed(ctx context.Context, host, region string, keys aws.Credentials, now time.Time) ([]byte, error) {
	query := url.Values{
		"Action":        {mskService + ":Connect"},
		"X-Amz-Expires": {strconv.Itoa(int(mskExpiry.Seconds()))},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	address, _, err := v4.NewSigner().PresignHTTP(ctx, keys, request, emptyPayload, mskService, region, now)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	presigned, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("sign: the signer gave no address") // the cause would show the signature
	}
	message := map[string]string{"version": mskVersion, "host": host, "user-agent": mskAgent}
	for name, values := range presigned.Query() {
		message[strings.ToLower(name)] = values[0]
	}
	return json.Marshal(message) //nolint:wrapcheck // our own types always marshal
}
