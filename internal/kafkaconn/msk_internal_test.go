package kafkaconn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	franz "github.com/twmb/franz-go/pkg/sasl/aws"
	"pgregory.net/rapid"
)

// TestSignedAgainstPublishedVector holds the signature that the tests of the JavaScript
// client kafkajs-msk-iam-authentication-mechanism (src/create-payload.spec.ts) expect.
func TestSignedAgainstPublishedVector(t *testing.T) {
	keys := aws.Credentials{AccessKeyID: "accessKeyId", SecretAccessKey: "secretAccessKey", SessionToken: "sessionToken"}
	message, err := signed(t.Context(), "examples.com", "us-east-1", keys, time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"version": "2020_10_22", "host": "examples.com", "user-agent": "stackjoin", "action": "kafka-cluster:Connect",
		"x-amz-algorithm":      "AWS4-HMAC-SHA256",
		"x-amz-credential":     "accessKeyId/20210101/us-east-1/kafka-cluster/aws4_request",
		"x-amz-date":           "20210101T000000Z",
		"x-amz-security-token": "sessionToken", "x-amz-signedheaders": "host", "x-amz-expires": "900",
		"x-amz-signature": "3515d158e62c159a3d8d4344942cff44c865cdeac6748a4b5dc42686641bb272",
	}
	got := fields(t, message)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d fields: %v", len(got), got)
	}
}

// TestSignedAgainstOwnArithmetic computes the signature from the message with nothing
// but hashes, as a broker would, and has franz-go's mechanism judge that arithmetic.
func TestSignedAgainstOwnArithmetic(t *testing.T) {
	const host = "b-1.demo.abcdef.c2.kafka.eu-west-1.amazonaws.com"
	other := franz.Auth{AccessKey: "AKIAEXAMPLE", SecretKey: "s/e+c=ret", SessionToken: "to/k+en=="}
	_, message, err := other.AsManagedStreamingIAMMechanism().Authenticate(t.Context(), host+":9098")
	if err != nil {
		t.Fatal(err)
	}
	if got := fields(t, message); got["x-amz-signature"] != signature(got, other.SecretKey) {
		t.Fatal("the arithmetic of this test is wrong")
	}
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`[A-Za-z0-9/+=]{1,40}`)
		keys := aws.Credentials{
			AccessKeyID: text.Draw(r, "id"), SecretAccessKey: text.Draw(r, "secret"),
			SessionToken: rapid.OneOf(rapid.Just(""), text).Draw(r, "session"),
		}
		now := time.Unix(rapid.Int64Range(1e9, 4e9).Draw(r, "now"), 0)
		message, err := signed(context.Background(), host, "eu-west-1", keys, now)
		if err != nil {
			r.Fatal(err)
		}
		got := fields(r, message)
		if got["x-amz-signature"] != signature(got, keys.SecretAccessKey) {
			r.Fatalf("signature of %s", message)
		}
	})
}

func fields(t rapid.TB, message []byte) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err := json.Unmarshal(message, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// signature is AWS Signature Version 4 of a presigned request, from its message.
func signature(message map[string]string, secret string) string {
	var query []string
	for _, name := range []string{
		"Action", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-SignedHeaders",
	} { // in the order of their bytes
		if value, has := message[strings.ToLower(name)]; has {
			query = append(query, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
		}
	}
	request := fmt.Sprintf("GET\n/\n%s\nhost:%s\n\nhost\n%x", strings.Join(query, "&"), message["host"], sha256.Sum256(nil))
	credential := strings.Split(message["x-amz-credential"], "/")
	scope := strings.Join(credential[len(credential)-4:], "/")
	toSign := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", message["x-amz-date"], scope, sha256.Sum256([]byte(request)))
	key := []byte("AWS4" + secret)
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func TestRegionOf(t *testing.T) {
	for host, want := range map[string]string{
		"b-1.demo.abcdef.c2.kafka.eu-west-1.amazonaws.com":        "eu-west-1",
		"b-1-public.demo.abcdef.c2.kafka.us-east-1.amazonaws.com": "us-east-1",
		"b-2.kafka.abcdef.c2.kafka.ap-south-1.amazonaws.com":      "ap-south-1",
		"boot-abc.c1.kafka-serverless.us-west-2.amazonaws.com":    "us-west-2",
		"b-1.demo.abcdef.c2.kafka.cn-north-1.amazonaws.com.cn":    "cn-north-1",
		"b-1.demo.abcdef.c2.kafka.eusc-de-east-1.amazonaws.eu":    "eusc-de-east-1",
		"kafka.example.com": "", "broker.kafka": "", "127.0.0.1": "", "": "",
	} {
		if got := regionOf(host); got != want {
			t.Errorf("%s: got %q", host, got)
		}
	}
}

// clean leaves the AWS chain nothing of this machine.
func clean(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	return dir
}

func authenticate(t *testing.T, m MSK, address string) (map[string]string, error) {
	t.Helper()
	_, message, err := iam{m, time.Now}.Authenticate(t.Context(), address)
	if err != nil {
		return nil, err
	}
	return fields(t, message), nil
}

func TestMSKIdentity(t *testing.T) {
	const host = "b-1.demo.abcdef.c2.kafka.eu-west-1.amazonaws.com:9098"
	dir := clean(t)
	secret := filepath.Join(dir, "secret")
	save(t, secret, "from-file\n")
	static := MSK{AccessKey: "AKSTATIC", SecretKey: "static", SessionToken: "session"}
	inFile := MSK{AccessKey: "AKSTATIC", SecretKey: "static", SecretKeyFile: secret, Region: "us-east-2"}
	for name, c := range map[string]struct {
		msk                MSK
		address            string
		id, secret, region string
	}{
		"static":            {static, host, "AKSTATIC", "static", "eu-west-1"},
		"file wins":         {inFile, host, "AKSTATIC", "from-file", "us-east-2"},
		"region configured": {inFile, "kafka.example.com:9098", "AKSTATIC", "from-file", "us-east-2"},
		"region of chain":   {static, "kafka.example.com:9098", "AKSTATIC", "static", "sa-east-1"},
		"chain":             {MSK{}, host, "AKCHAIN", "chain", "eu-west-1"},
		"chain for all":     {MSK{}, "kafka.example.com:9098", "AKCHAIN", "chain", "sa-east-1"},
	} {
		t.Run(name, func(t *testing.T) {
			save(t, filepath.Join(dir, "config"), "[default]\nregion = sa-east-1\n")
			save(t, filepath.Join(dir, "credentials"), "[default]\naws_access_key_id = AKCHAIN\naws_secret_access_key = chain\n")
			got, err := authenticate(t, c.msk, c.address)
			if err != nil {
				t.Fatal(err)
			}
			credential := strings.Split(got["x-amz-credential"], "/") // id, date, region, service, end
			if credential[0] != c.id || credential[2] != c.region || got["x-amz-signature"] != signature(got, c.secret) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestMSKKeysRotate changes the AWS shared file and the configured file between logins.
func TestMSKKeysRotate(t *testing.T) {
	dir := clean(t)
	m := MSK{Region: "eu-west-1"}
	for _, id := range []string{"AKONE", "AKTWO"} {
		save(t, filepath.Join(dir, "credentials"), "[default]\naws_access_key_id = "+id+"\naws_secret_access_key = chain\n")
		got, err := authenticate(t, m, "kafka.example.com:9098")
		if err != nil || !strings.HasPrefix(got["x-amz-credential"], id+"/") {
			t.Errorf("%s: got %v, error %v", id, got, err)
		}
	}
}

func TestMSKProblems(t *testing.T) {
	dir := clean(t)
	for name, c := range map[string]struct {
		msk           MSK
		address, want string
	}{
		"no port":      {MSK{}, "host", "missing port"},
		"no region":    {MSK{AccessKey: "AK", SecretKey: "tiger"}, "kafka.example.com:9098", "set sasl.msk.region"},
		"no keys":      {MSK{Region: "eu-west-1"}, "kafka.example.com:9098", "default AWS chain"},
		"no secret":    {MSK{Region: "eu-west-1", AccessKey: "AK", SecretKeyFile: dir + "/not"}, "h:1", dir + "/not"},
		"no session":   {MSK{Region: "eu-west-1", AccessKey: "AK", SecretKey: "tiger", SessionTokenFile: dir + "/not"}, "h:1", dir + "/not"},
		"no secret, 2": {MSK{AccessKey: "AK", SecretKeyFile: dir + "/not"}, "b-1.c.kafka.eu-west-1.amazonaws.com:1", dir + "/not"},
	} {
		_, err := authenticate(t, c.msk, c.address)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "tiger") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func save(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestMSKRefusal holds what the session makes of the broker's answers.
func TestMSKRefusal(t *testing.T) {
	if done, _, err := (iamSession{}).Challenge([]byte(`{"version":"2020_10_22"}`)); !done || err != nil {
		t.Errorf("done %v, error %v", done, err)
	}
	if _, _, err := (iamSession{}).Challenge(nil); err == nil {
		t.Error("no error of an empty answer")
	}
}
