package cloudtrail

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
)

var (
	errNested  = errors.New("envelopes are nested too deeply")
	errUnknown = errors.New("neither a CloudTrail record nor an envelope of one")
)

func bytesReader(text []byte) io.Reader { return bytes.NewReader(text) }

// shape holds the members by which envelopes are told apart.
type shape struct {
	raw []byte

	eventSource, eventName, userIdentity, eventVersion, eventID     node
	records, events, messages                                       node // lists of what is inside
	detailType, detail                                              node // EventBridge
	messageType, logEvents, awslogs                                 node // CloudWatch Logs
	cloudTrailEvent                                                 node // LookupEvents
	notification, message, sns, body, s3, bucket, keys, test, other node // SNS, SQS, S3
	kinesis, digest, line                                           node
	row                                                             bool // osquery's
}

func (s *shape) field(name []byte) *node {
	switch string(name) {
	case "eventSource":
		return &s.eventSource
	case "eventName":
		return &s.eventName
	case "userIdentity":
		return &s.userIdentity
	case "eventVersion":
		return &s.eventVersion
	case "eventID":
		return &s.eventID
	case "Records":
		return &s.records
	case "Events":
		return &s.events
	case "Messages":
		return &s.messages
	case "detail-type":
		return &s.detailType
	case "detail":
		return &s.detail
	case "messageType":
		return &s.messageType
	case "logEvents":
		return &s.logEvents
	case "awslogs":
		return &s.awslogs
	}
	return s.notice(name)
}

// notice are the members of notifications.
func (s *shape) notice(name []byte) *node {
	switch string(name) {
	case "CloudTrailEvent":
		return &s.cloudTrailEvent
	case "Type":
		return &s.notification
	case "Message":
		return &s.message
	case "Sns":
		return &s.sns
	case "body", "Body":
		return &s.body
	case "s3":
		return &s.s3
	case "s3Bucket":
		return &s.bucket
	case "s3ObjectKey":
		return &s.keys
	case "Event":
		return &s.test
	case "kinesis":
		return &s.kinesis
	case "digestS3Bucket":
		return &s.digest
	case "message":
		return &s.line
	}
	return &s.other
}

// shape tells apart what was looked at last.
func (l *look) shape() *shape {
	s := &shape{raw: l.raw}
	for _, m := range l.members {
		*s.field(m.name) = m.v
		s.row = s.row || string(m.name) == "columns" || string(m.name) == "diffResults" || string(m.name) == "snapshot"
	}
	return s
}

// isRecord tells a CloudTrail record: it names an action and says whose it was. One of
// CloudTrail Insights has no eventName.
func (s *shape) isRecord() bool {
	versioned, identified := s.eventVersion.text() != "", s.eventID.text() != ""
	if s.eventName.text() == "" {
		return versioned && identified
	}
	return versioned || identified || s.userIdentity.isObject() || strings.HasSuffix(s.eventSource.text(), ".amazonaws.com")
}

// isRecord tells a record that has what AWS's own have, and nothing that a notification
// has; shape.isRecord tells the others.
func (l *look) isRecord() bool {
	n := 0
	for _, m := range l.members {
		switch string(m.name) {
		case "eventVersion", "eventName", "eventID":
			if !m.v.isText() || len(m.v.v.Raw) == 0 {
				return false
			}
			n++
		case "Records", "s3", "kinesis":
			return false
		}
	}
	return n == 3
}

// unwrap finds what one JSON value holds.
func (d *decoder) unwrap(raw []byte, depth int) error {
	if depth > maxDepth {
		return d.refuse("malformed", errNested, raw, int64(len(raw)))
	}
	switch n := nodeOf(raw); {
	case n.isArray():
		return d.all(n, depth)
	case n.isText():
		return d.inner(n, raw, depth)
	case !n.isObject():
		return d.refuse("malformed", errUnknown, raw, int64(len(raw)))
	}
	if err := d.look.at(raw); err != nil {
		return d.refuse("malformed", err, raw, int64(len(raw)))
	}
	return d.unwrapLook(depth)
}

// unwrapLook is unwrap for the object looked at last.
func (d *decoder) unwrapLook(depth int) error {
	if d.look.isRecord() { // nearly always
		return d.recorded()
	}
	s := d.look.shape()
	switch {
	case s.records.isArray():
		return d.all(s.records, depth)
	case s.s3.isObject() && s.eventSource.text() == "aws:s3":
		return d.object(s.s3.get("bucket", "name").text(), s.s3.get("object"), true, s)
	case s.kinesis.isObject():
		return d.base64(s.kinesis.get("data"), s.raw, depth)
	case s.isRecord():
		return d.recorded()
	case s.detailType.isText():
		return d.eventBridge(s, depth)
	case s.logEvents.isArray(), s.messageType.isText():
		return d.logs(s, depth)
	case s.row:
		return d.row(s.raw)
	}
	return d.notice(s, depth)
}

// recorded finds the record that was looked at last.
func (d *decoder) recorded() error {
	d.look.record(&d.record)
	return d.found(Found{Record: &d.record})
}

// notice reads notifications and other small envelopes.
func (d *decoder) notice(s *shape, depth int) error {
	switch {
	case s.awslogs.isObject():
		return d.base64(s.awslogs.get("data"), s.raw, depth)
	case s.cloudTrailEvent.isText():
		return d.inner(s.cloudTrailEvent, s.raw, depth)
	case s.events.isArray():
		return d.all(s.events, depth)
	case s.messages.isArray():
		return d.all(s.messages, depth)
	case s.bucket.isText():
		return d.trailNotice(s)
	case s.sns.isObject():
		return d.inner(s.sns.get("Message"), s.raw, depth)
	case s.notification.text() == "Notification":
		return d.inner(s.message, s.raw, depth)
	case s.notification.text() == "SubscriptionConfirmation", s.notification.text() == "UnsubscribeConfirmation":
		return d.skipped("subscription")
	case s.body.isText():
		return d.inner(s.body, s.raw, depth)
	case s.test.text() == "s3:TestEvent":
		return d.skipped("test_event")
	case s.digest.isText():
		return d.skipped("digest")
	case strings.HasPrefix(s.line.whole(), "{"): // a log shipper's event around a line of a file
		return d.inner(s.line, s.raw, depth)
	}
	return d.refuse("malformed", errUnknown, s.raw, int64(len(s.raw)))
}

func (d *decoder) all(list node, depth int) error {
	return list.eachElement(func(e node) error { return d.unwrap(valueText(e), depth+1) })
}

// valueText is the JSON text of a value.
func valueText(n node) []byte {
	if !n.v.String {
		return n.v.Raw
	}
	return append(append([]byte{'"'}, n.v.Raw...), '"')
}

// inner reads the text of a member, which is JSON again.
func (d *decoder) inner(n node, outer []byte, depth int) error {
	text := []byte(n.whole())
	if depth >= maxDepth {
		return d.refuse("malformed", errNested, outer, int64(len(outer)))
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return d.refuse("malformed", errUnknown, outer, int64(len(outer)))
	}
	return d.message(text, depth+1)
}

func (d *decoder) base64(n node, outer []byte, depth int) error {
	text, err := base64.StdEncoding.DecodeString(n.whole())
	if err != nil || len(text) == 0 || depth >= maxDepth {
		return d.refuse("malformed", fmt.Errorf("data is no base64: %w", errors.Join(errUnknown, err)), outer, int64(len(outer)))
	}
	return d.message(text, depth+1)
}

// eventBridge reads an event of EventBridge's, which is about CloudTrail only where
// its detail is a record.
func (d *decoder) eventBridge(s *shape, depth int) error {
	if object := s.detail.get("object"); object.isObject() && strings.HasPrefix(s.detailType.text(), "Object ") {
		return d.object(s.detail.get("bucket", "name").text(), object, false, s)
	}
	if s.detail.isObject() && d.look.at(s.detail.v.Raw) == nil && d.look.shape().isRecord() {
		return d.unwrap(s.detail.v.Raw, depth+1)
	}
	return d.skipped("other_event")
}

func (d *decoder) logs(s *shape, depth int) error {
	if s.messageType.text() == "CONTROL_MESSAGE" {
		return d.skipped("control_message")
	}
	return s.logEvents.eachElement(func(e node) error {
		message := e.get("message")
		if !strings.HasPrefix(strings.TrimSpace(message.whole()), "{") { // another program's line
			return d.refuse("malformed", errUnknown, valueText(e), int64(len(e.v.Raw)))
		}
		return d.inner(message, valueText(e), depth)
	})
}

// object finds a file that S3 tells of; its notifications escape keys as in a form,
// EventBridge does not.
func (d *decoder) object(bucket string, object node, escaped bool, s *shape) error {
	key := object.get("key").text()
	if escaped {
		if plain, err := url.QueryUnescape(key); err == nil {
			key = plain
		}
	}
	if bucket == "" || key == "" {
		return d.refuse("malformed", errUnknown, s.raw, int64(len(s.raw)))
	}
	size, _ := object.get("size").v.Int()
	return d.found(Found{Object: &Object{Bucket: bucket, Key: key, Size: size}})
}

// trailNotice reads what CloudTrail itself tells over SNS.
func (d *decoder) trailNotice(s *shape) error {
	named := func(key node) error { return d.found(Found{Object: &Object{Bucket: s.bucket.text(), Key: key.text()}}) }
	if s.keys.isText() {
		return named(s.keys)
	}
	return s.keys.eachElement(named)
}
