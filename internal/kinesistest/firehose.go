package kinesistest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// FirehoseBucket is where streams of a Firehose deliver to that do not do so by HTTP,
// below their names.
const FirehoseBucket = "lake"

// Firehose is moto, a real program that speaks Firehose's protocol, behind a Front, with
// a bucket and a place that its streams can deliver to by HTTP: unlike in S3, what is
// delivered there is seen in the order in which moto took it. It is safe for concurrent
// use.
type Firehose struct {
	*Front

	// S3 is the address of the bucket's S3.
	S3 string

	client *firehose.Client
	place  *httptest.Server

	mu  sync.Mutex
	got map[string][][]byte // by the path that a stream delivers to
}

// NewFirehose starts one, which ends with the test. Where moto is missing it skips the
// test, but fails it in CI.
func NewFirehose(t testing.TB) *Firehose {
	t.Helper()
	f := &Firehose{S3: S3(t), got: map[string][][]byte{}}
	address, err := url.Parse(f.S3)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(address)
	proxy.ErrorLog = quiet()
	f.Front = NewFront(t, proxy)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg, _ := AWS(t.Context()) // never fails
	f.client = firehose.NewFromConfig(cfg, func(o *firehose.Options) {
		o.BaseEndpoint, o.HTTPClient = &f.S3, &http.Client{Transport: transport}
	})
	f.place = httptest.NewServer(http.HandlerFunc(f.deliver))
	t.Cleanup(f.place.Close)
	if _, err := S3Client(t, f.S3).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(FirehoseBucket)}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *Firehose) deliver(w http.ResponseWriter, r *http.Request) {
	var in struct{ Records []struct{ Data []byte } }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, record := range in.Records {
		f.got[r.URL.Path] = append(f.got[r.URL.Path], record.Data)
	}
}

// Create makes a stream that delivers by HTTP, to be Read, or to the bucket.
func (f *Firehose) Create(t testing.TB, name string, byHTTP bool) {
	t.Helper()
	bucket, role := aws.String("arn:aws:s3:::"+FirehoseBucket), aws.String("arn:aws:iam::123456789012:role/r")
	in := &firehose.CreateDeliveryStreamInput{DeliveryStreamName: &name, DeliveryStreamType: types.DeliveryStreamTypeDirectPut}
	if byHTTP {
		in.HttpEndpointDestinationConfiguration = &types.HttpEndpointDestinationConfiguration{
			EndpointConfiguration: &types.HttpEndpointConfiguration{Url: aws.String(f.place.URL + "/" + name)},
			S3Configuration:       &types.S3DestinationConfiguration{BucketARN: bucket, RoleARN: role},
		}
	} else {
		in.ExtendedS3DestinationConfiguration = &types.ExtendedS3DestinationConfiguration{BucketARN: bucket, RoleARN: role, Prefix: aws.String(name + "/")}
	}
	if _, err := f.client.CreateDeliveryStream(t.Context(), in); unmade(err) {
		t.Fatalf("create Firehose stream %s: %v", name, err)
	}
}

// Read returns what a stream delivered by HTTP, record by record.
func (f *Firehose) Read(name string) [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got["/"+name])
}
