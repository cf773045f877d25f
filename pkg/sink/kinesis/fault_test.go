package kinesis_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stackjoin/stackjoin/internal/kinesistest"
	"github.com/stackjoin/stackjoin/pkg/sink"
	"github.com/stackjoin/stackjoin/pkg/sink/kinesis"
)

const rateExceeded = "ProvisionedThroughputExceededException"

// storm refuses entries at random, as a shard that is full and a service that has
// its troubles do.
func storm(seed uint64) kinesistest.Fault {
	rng := rand.New(rand.NewPCG(seed, 0))
	return func(p kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
		switch rng.IntN(20) {
		case 0:
			return &kinesistest.Error{Code: rateExceeded, Message: "Rate exceeded"}, nil
		case 1:
			return &kinesistest.Error{Code: "InternalFailure", Message: "try again"}, nil
		}
		refused := map[int]kinesistest.Error{}
		for i := range p.Records {
			switch rng.IntN(8) {
			case 0:
				refused[i] = kinesistest.Error{Code: rateExceeded, Message: "Rate exceeded"}
			case 1:
				refused[i] = kinesistest.Error{Code: "InternalFailure", Message: "Internal service failure."}
			}
		}
		return nil, refused
	}
}

// Only what failed is sent again, and nothing of a host passes it: each row comes
// once and in order, although a third of all entries is refused.
func TestPartialFailuresKeepOrderAndLoseNothing(t *testing.T) {
	for _, aggregate := range []kinesis.Aggregate{kinesis.KPL, kinesis.NDJSON} {
		f := fake(t, "s")
		f.SetFault(storm(7))
		write(t, open(t, f.Endpoint(), kinesis.Config{Aggregate: aggregate, AggregateBytes: 1 << 10}), rows("s", 7, 1_000))
		inOrder(t, read(t, f.Endpoint(), "s", aggregate), 7, 1_000)
	}
}

// None gives order up, and nothing else.
func TestPartialFailuresWithoutAggregatesLoseNothing(t *testing.T) {
	f := fake(t, "s")
	f.SetFault(storm(8))
	write(t, open(t, f.Endpoint(), kinesis.Config{Aggregate: kinesis.None}), rows("s", 7, 140))
	got := read(t, f.Endpoint(), "s", kinesis.None)
	slices.SortStableFunc(got, func(a, b sink.Record) int {
		if len(a.Value) != len(b.Value) {
			return len(a.Value) - len(b.Value)
		}
		return bytes.Compare(a.Value, b.Value)
	})
	inOrder(t, got, 7, 140)
}

// What fails beside others of its host, which None may send with it, is named.
func TestAFailureBesideOthersIsNamed(t *testing.T) {
	f := fake(t, "s")
	f.SetFault(func(p kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
		return nil, map[int]kinesistest.Error{2: {Code: "KMSDisabledException", Message: "the key is disabled"}}
	})
	err := open(t, f.Endpoint(), kinesis.Config{Aggregate: kinesis.None}).Write(t.Context(), rows("s", 1, 4))
	failed, permanent := verdict(err, 4)
	if !slices.Equal(failed, []int{2}) || len(permanent) != 0 || !kinesis.NeedsHand(err) || !strings.Contains(err.Error(), "KMSDisabledException") {
		t.Errorf("failed %v, for good %v: %v", failed, permanent, err)
	}
}

// The one record that the service refuses is found, whether its words are of the
// entry or of the whole request.
func TestARefusedRecordIsFound(t *testing.T) {
	const words = "1 validation error detected: Value at 'records.1.member.data' failed to satisfy constraint"
	evil := func(e kinesistest.Entry) bool { return bytes.Contains(e.Data, []byte("evil")) }
	for name, fault := range map[string]kinesistest.Fault{
		"by request": func(p kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
			if slices.ContainsFunc(p.Records, evil) {
				return &kinesistest.Error{Code: "ValidationException", Message: words}, nil
			}
			return nil, nil
		},
		"by entry": func(p kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
			refused := map[int]kinesistest.Error{}
			for i, e := range p.Records {
				if evil(e) {
					refused[i] = kinesistest.Error{Code: "InvalidArgumentException", Message: "Record data size is too large"}
				}
			}
			return nil, refused
		},
	} {
		for _, aggregate := range []kinesis.Aggregate{kinesis.KPL, kinesis.NDJSON, kinesis.None} {
			f := fake(t, "s", "dead")
			f.SetFault(fault)
			s := open(t, f.Endpoint(), kinesis.Config{Aggregate: aggregate})
			batch := rows("s", 3, 90)
			evilRow := sink.Record{Topic: "s", Key: []byte("host-1"), Value: []byte(`"evil"`)}
			batch = slices.Insert(batch, 40, evilRow)
			failed, permanent := verdict(s.Write(t.Context(), batch), len(batch))
			if !slices.Equal(permanent, []int{40}) {
				t.Fatalf("%s, %s: failed %v, for good %v", name, aggregate, failed, permanent)
			}
			for _, i := range failed {
				if string(batch[i].Key) != "host-1" || i < 40 {
					t.Errorf("%s, %s: record %d failed", name, aggregate, i)
				}
			}
			rest := make([]sink.Record, 0, len(failed))
			for _, i := range failed {
				if i != 40 {
					rest = append(rest, batch[i])
				}
			}
			if len(rest) > 0 {
				write(t, s, rest)
			}
			inOrder(t, read(t, f.Endpoint(), "s", aggregate), 3, 90)
		}
	}
}

// What an operator mends holds the line, and blames no record; other streams go on.
func TestWhatAnOperatorMendsHoldsTheLine(t *testing.T) {
	for _, tt := range []struct {
		code, message string
		needsHand     bool
	}{
		{"AccessDeniedException", "User is not authorized to perform: kinesis:PutRecords", true},
		{"UnrecognizedClientException", "The security token included in the request is invalid.", true},
		{"ExpiredTokenException", "The security token included in the request is expired", true},
		{"KMSAccessDeniedException", "The ciphertext refers to a key that you cannot use", true},
		{"ValidationException", "1 validation error detected: Value 's' at 'streamName' failed to satisfy constraint", true},
		{"InvalidArgumentException", "StreamARN and StreamName do not match", true},
		{"ServiceUnavailable", "", false},
		{"SomethingNew", "Record of a kind that nobody knows", false},
	} {
		f := fake(t, "s", "other")
		ctx, cancel := context.WithCancel(t.Context())
		refusals := 0
		f.SetFault(func(p kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
			if p.StreamName == "s" {
				if refusals++; refusals == enough {
					cancel()
				}
				return &kinesistest.Error{Code: tt.code, Message: tt.message}, nil
			}
			return nil, nil
		})
		s := open(t, f.Endpoint(), kinesis.Config{})
		err := s.Write(ctx, append(rows("s", 2, 6), rows("other", 2, 6)...))
		cancel()
		failed, permanent := verdict(err, 12)
		if !slices.Equal(failed, []int{0, 1, 2, 3, 4, 5}) || len(permanent) != 0 || kinesis.NeedsHand(err) != tt.needsHand {
			t.Errorf("%s: failed %v, for good %v, needs a hand %v: %v", tt.code, failed, permanent, kinesis.NeedsHand(err), err)
		}
		f.SetFault(nil)
		write(t, s, rows("s", 2, 6))
		inOrder(t, read(t, f.Endpoint(), "s", kinesis.KPL), 2, 6)
	}
}

func TestAMissingStreamHoldsTheLine(t *testing.T) {
	f := fake(t)
	s := open(t, f.Endpoint(), kinesis.Config{})
	for range 2 {
		err := s.Write(t.Context(), rows("late", 2, 10))
		if failed, permanent := verdict(err, 10); len(failed) != 10 || len(permanent) != 0 || !kinesis.NeedsHand(err) || !strings.Contains(err.Error(), "ResourceNotFoundException") {
			t.Fatalf("failed %v, for good %v: %v", failed, permanent, err)
		}
	}
	kinesistest.CreateStream(t, f.Endpoint(), "late", 2)
	write(t, s, rows("late", 2, 10))
	inOrder(t, read(t, f.Endpoint(), "late", kinesis.KPL), 2, 10)
}

// The service would call such a name an invalid argument: it must blame no record.
func TestAWrongStreamNameBlamesNoRecord(t *testing.T) {
	f := fake(t, "s")
	s := open(t, f.Endpoint(), kinesis.Config{})
	for _, name := range []string{"", "a b", "a/b", strings.Repeat("n", 129)} {
		err := s.Write(t.Context(), append(rows(name, 1, 3), rows("s", 1, 3)...))
		if failed, permanent := verdict(err, 6); !slices.Equal(failed, []int{0, 1, 2}) || len(permanent) != 0 || !kinesis.NeedsHand(err) {
			t.Errorf("%.10q: failed %v, for good %v: %v", name, failed, permanent, err)
		}
	}
}

// Credentials are read again once AWS has refused them, or none were found.
func TestRefusedCredentialsAreReadAgain(t *testing.T) {
	f := fake(t, "s")
	connects := 0
	var found error
	s, err := kinesis.New(kinesis.Config{Endpoint: f.Endpoint(), Connect: func(context.Context) (aws.Config, error) {
		connects++
		return aws.Config{Region: kinesistest.Region, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, found
		})}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	write(t, s, rows("s", 1, 1))
	f.SetFault(func(kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
		return &kinesistest.Error{Code: "ExpiredTokenException", Message: "expired"}, nil
	})
	if err := s.Write(t.Context(), rows("s", 1, 1)); err == nil || connects != 1 {
		t.Fatalf("%d connects, %v", connects, err)
	}
	f.SetFault(nil)
	found = errors.New("no credentials to be found")
	if err := s.Write(t.Context(), rows("s", 1, 1)); err == nil || connects != 2 || sink.IsPermanent(err) || !strings.Contains(err.Error(), found.Error()) {
		t.Fatalf("%d connects, %v", connects, err)
	}
	found = nil
	write(t, s, rows("s", 1, 1))
	if connects != 3 {
		t.Errorf("%d connects", connects)
	}
}

func TestAFailureToConnectHoldsTheLine(t *testing.T) {
	s, err := kinesis.New(kinesis.Config{Connect: func(context.Context) (aws.Config, error) {
		return aws.Config{}, errors.New("no region")
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), rows("s", 1, 1)); err == nil || sink.IsPermanent(err) || !strings.Contains(err.Error(), "no region") {
		t.Errorf("got %v", err)
	}
}

// A host whose clock is hours off learns the service's time from its first refusal,
// and must not forget it with the client.
func TestAWrongClockIsMended(t *testing.T) {
	memory := kinesistest.NewFake()
	ahead := time.Now().Add(3 * time.Hour)
	f := kinesistest.NewFront(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", ahead.UTC().Format(http.TimeFormat))
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecords") && (err != nil || ahead.Sub(signed).Abs() > 5*time.Minute) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"__type":"InvalidSignatureException","message":"Signature expired: 1 is now earlier than 2"}`))
			return
		}
		memory.ServeHTTP(w, r)
	}))
	kinesistest.CreateStream(t, f.Endpoint(), "s", 1)
	s := open(t, f.Endpoint(), kinesis.Config{})
	if err := s.Write(t.Context(), rows("s", 1, 2)); err == nil || sink.IsPermanent(err) {
		t.Fatalf("a signature of another time is taken: %v", err)
	}
	write(t, s, rows("s", 1, 2))
	inOrder(t, read(t, f.Endpoint(), "s", kinesis.KPL), 1, 2)
}

// A batch held up by a full shard is given back soon after its context ends.
func TestAnEndedContextEndsTheWait(t *testing.T) {
	f := fake(t, "s")
	f.SetFault(func(kinesistest.Put) (*kinesistest.Error, map[int]kinesistest.Error) {
		return &kinesistest.Error{Code: rateExceeded, Message: "Rate exceeded"}, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := open(t, f.Endpoint(), kinesis.Config{}).Write(ctx, rows("s", 1, 1))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), rateExceeded) {
		t.Errorf("got %v, want ctx's end and why", err)
	}
}
