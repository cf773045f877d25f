package kinesistest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stackjoin/stackjoin/internal/testserver"
)

// Dynamo starts dynalite, which speaks DynamoDB's protocol, on a loopback port and
// returns its address. It keeps its data in memory, and ends with the test. Where Node
// or the package are missing it skips the test, but fails it in CI.
func Dynamo(t testing.TB) string {
	t.Helper()
	port := testserver.FreePorts(t, 1)[0]
	endpoint := fmt.Sprintf("http://127.0.0.1:%d", port)
	client := DynamoClient(t, endpoint)
	start(t, "dynalite", nil, []string{"cli.js", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--createTableMs", "10"}, func(ctx context.Context) error {
		_, err := client.ListTables(ctx, &dynamodb.ListTablesInput{})
		return err //nolint:wrapcheck // start tells whose
	})
	address, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(address)
	proxy.ErrorLog = quiet()
	front := NewFront(t, whole{proxy})
	return front.Endpoint()
}

// whole hands on only requests that came whole, and to their end: dynalite dies of one
// whose sender was killed.
type whole struct{ next http.Handler }

// ServeHTTP implements http.Handler.
func (w whole) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return
	}
	// A context that ends with nothing but this: for one that never ends, the proxy would
	// look after the connection itself.
	ctx, cancel := context.WithCancel(context.WithoutCancel(in.Context()))
	defer cancel()
	in = in.Clone(ctx)
	in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	w.next.ServeHTTP(out, in)
}

// DynamoClient is a client whose connections are closed with the test.
func DynamoClient(t testing.TB, endpoint string) *dynamodb.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg, _ := AWS(t.Context()) // never fails
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.BaseEndpoint = &endpoint
		o.HTTPClient = &http.Client{Transport: transport}
	})
}
