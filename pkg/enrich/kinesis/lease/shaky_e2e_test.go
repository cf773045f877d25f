//go:build e2e

package lease_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
)

// DynamoDB that fails when a lease was just taken is told, and the shard read once it
// answers again.
func TestALeaseTakenWhileTheTableFailsIsReadLater(t *testing.T) {
	s := newSite(t, 2)
	behind, err := url.Parse(*s.table.Client.Options().BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	var refused atomic.Int32
	proxy := httputil.NewSingleHostReverseProxy(behind)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte(`"UpdateExpression":"SET leaseCounter`)) && refused.Add(1) <= 3 { // a renewal
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"no"}`))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s.table.Client = kinesistest.DynamoClient(t, front.URL)
	s.worker("a", read)
	s.await("both shards are read", func(loads map[string]int) bool { return loads["a"] == 2 })
	s.check()
	if n := refused.Load(); n <= 3 {
		t.Errorf("%d renewals", n)
	}
}
