package kinesis

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// errNotSent is the error of records that were held back: to send them would have
// been to pass over an earlier record that failed.
var errNotSent = errors.New("not sent: an earlier record of the batch failed")

// apiError is what the service said of one entry or of a request.
type apiError struct{ code, message string }

// Error names the code first: it is what to look for.
func (e *apiError) Error() string { return e.code + ": " + e.message }

// said is what the service said in err; its code is empty when it did not speak.
func said(err error) apiError {
	var own *apiError
	if errors.As(err, &own) {
		return *own
	}
	var theirs smithy.APIError
	if errors.As(err, &theirs) {
		return apiError{theirs.ErrorCode(), theirs.ErrorMessage()}
	}
	return apiError{}
}

// verdict is what an error asks for.
type verdict int

const (
	held      verdict = iota // somebody or time must mend it
	throttled                // too much for the shard, or for the account
	failed                   // a fault of the service's own
	refused                  // the service blames the records
)

// judge reads a code. Only codes that PutRecords documents blame the records, and
// only where the words are of records and not of the stream's name.
func judge(err error) verdict {
	word := said(err)
	if strings.HasPrefix(word.message, "Slow down") { // which is how Firehose says it
		return throttled
	}
	switch word.code {
	case "ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException",
		"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException":
		return throttled
	case "InternalFailure", "InternalFailureException", "InternalServerError", "ServiceUnavailable", "ServiceUnavailableException":
		return failed
	case "InvalidArgumentException", "ValidationException":
		words := strings.ToLower(word.message)
		if strings.Contains(words, "record") || strings.Contains(words, "partition") {
			return refused
		}
	}
	return held
}

// stale tells whether err may come from credentials that have been replaced.
func stale(err error) bool {
	word := said(err)
	switch word.code {
	case "ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId",
		"IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
		"AccessDenied", "AccessDeniedException", "NotAuthorized":
		return true
	case "InvalidSignatureException":
		// A wrong clock is the client's to mend: it has learnt the service's time.
		return !strings.Contains(word.message, "Signature expired") && !strings.Contains(word.message, "Signature not yet current")
	case "":
		// Signing failed for want of credentials; or the network did, and to read
		// them again does no harm.
		return true
	}
	return false
}

// needsHand lists what does not heal by itself.
func needsHand(code string) bool {
	switch code {
	case "ResourceNotFoundException", "InvalidArgumentException", "ValidationException",
		"InvalidSourceException", "InvalidKMSResourceException", "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired":
		return true
	case "":
		return false
	}
	return stale(&apiError{code: code})
}

// NeedsHand tells whether a failure of Write is one that somebody has to mend: a
// missing stream, refused credentials or permissions, a key that cannot be used. Any
// other heals by itself.
func NeedsHand(err error) bool {
	var partial *sink.BatchError
	if !errors.As(err, &partial) {
		return errors.Is(err, ErrStreamName) || needsHand(said(err).code)
	}
	for _, why := range partial.Failed {
		if NeedsHand(why) {
			return true
		}
	}
	return false
}

// shardIn finds the shard that a throughput error names in its words; the answer
// has no other place for it.
func shardIn(message string) string {
	const prefix = "shardId-"
	at := strings.Index(message, prefix)
	if at < 0 {
		return ""
	}
	name := message[at:]
	if end := strings.IndexFunc(name[len(prefix):], func(c rune) bool { return c < '0' || c > '9' }); end >= 0 {
		name = name[:len(prefix)+end]
	}
	return name
}

// ErrStreamName tells that a stream cannot have the name that it is to have.
var ErrStreamName = errors.New("is no name of a stream")

// CheckStream tells what is wrong with a stream's name before the service would in
// words that blame the records.
func CheckStream(name string) error {
	allowed := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
	}
	if len(name) == 0 || len(name) > 128 || strings.ContainsFunc(name, func(c rune) bool { return !allowed(c) }) {
		return fmt.Errorf("%.200q %w: must be 1 to 128 letters, digits, dots, dashes or underscores", name, ErrStreamName)
	}
	return nil
}
