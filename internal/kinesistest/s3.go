package kinesistest

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stackjoin/stackjoin/internal/testserver"
)

// S3 starts moto, which speaks S3's protocol, on a loopback port and returns its
// address. It keeps its data in memory, and ends with the test. Where it is missing it
// skips the test, but fails it in CI.
func S3(t testing.TB) (endpoint string) {
	t.Helper()
	home, err := testserver.Fetched("moto", "MOTO_VERSION", "moto.sh")
	if err != nil {
		testserver.Absent(t, "S3 (moto)", err)
	}
	port := testserver.FreePorts(t, 1)[0]
	endpoint = fmt.Sprintf("http://127.0.0.1:%d", port)
	client := S3Client(t, endpoint)
	// Through the module: the environment was moved, so its scripts point nowhere.
	run(t, "moto", "", nil, []string{filepath.Join(home, "bin", "python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", strconv.Itoa(port)}, func(ctx context.Context) error {
		_, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
		return err //nolint:wrapcheck // run tells whose
	})
	return endpoint
}

// S3Client is a client whose connections are closed with the test.
func S3Client(t testing.TB, endpoint string) *s3.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg, _ := AWS(t.Context()) // never fails
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = &endpoint, true
		o.HTTPClient = &http.Client{Transport: transport}
	})
}
