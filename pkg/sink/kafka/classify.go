package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/stackjoin/stackjoin/pkg/sink"
)

// errNotSent is the error of records that were held back: to send them would
// have been to pass over an earlier record that failed.
var errNotSent = errors.New("not sent: an earlier record of the batch failed")

// refused tells whether the broker, or the client for it, said that it will
// never take a batch. Only these blame the records; a corrupt batch was damaged
// on the way, a policy can be changed.
func refused(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord)
}

// clockFault tells whether the broker did not take a batch's timestamps.
func clockFault(err error) bool { return errors.Is(err, kerr.InvalidTimestamp) }

// sound tells whether a client that gave err can be used again as it is: the
// broker answered, and nothing is in flight. Any other error may come from a
// state that the client does not leave by itself, such as a producer id that
// was refused once.
func sound(err error) bool {
	if err == nil || sink.IsPermanent(err) || refused(err) || clockFault(err) || errors.Is(err, errNotSent) {
		return true
	}
	for _, mild := range []error{
		kerr.UnknownTopicOrPartition,
		kerr.TopicAuthorizationFailed,
		kerr.InvalidTopicException,
		kerr.PolicyViolation,
		kerr.NotEnoughReplicas,
		kerr.CorruptMessage,
	} {
		if errors.Is(err, mild) {
			return true
		}
	}
	return false
}

// NeedsHand tells whether a failure of Write is one that somebody has to mend: a
// missing topic, a refused login or permission, a policy, a version. Any other
// heals by itself once the broker is back.
func NeedsHand(err error) bool {
	for _, cause := range []error{
		kerr.UnknownTopicOrPartition,
		kerr.InvalidTopicException,
		kerr.TopicAuthorizationFailed,
		kerr.ClusterAuthorizationFailed,
		kerr.SaslAuthenticationFailed,
		kerr.UnsupportedSaslMechanism,
		kerr.PolicyViolation,
		kerr.UnsupportedVersion,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	var partial *sink.BatchError
	if !errors.As(err, &partial) {
		return false
	}
	for _, why := range partial.Failed {
		if NeedsHand(why) {
			return true
		}
	}
	return false
}
