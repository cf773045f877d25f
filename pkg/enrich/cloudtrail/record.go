package cloudtrail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Record is one CloudTrail record: a view of the members that joins ask about, and
// its bytes. What is missing or odd stays empty and is never an error, since a
// record that says little is still evidence; Odd names what was out of order.
//
// Raw and the raw members point into the bytes that were parsed, which the caller
// leaves alone while the Record is in use.
type Record struct {
	Raw []byte

	EventID, AccountID string
	Time               time.Time
	TimeSource         TimeSource
	// Service is eventSource (ec2.amazonaws.com), Name eventName.
	Version, Service, Name, Type, Category, Region string
	Source                                         Source
	UserAgent                                      string
	Identity                                       Identity
	ErrorCode, ErrorMessage                        string
	// ReadOnly and Management are Unknown in records of older versions.
	ReadOnly, Management Truth
	// FromConsole tells that the call was made with a console session.
	FromConsole          bool
	VPCEndpointID        string
	VPCEndpointAccountID string
	TLS                  TLS
	Additional           Additional
	// Request and Response are requestParameters and responseElements; nil for null.
	Request, Response []byte
	// Odd names what is out of order: see docs/cloudtrail.md.
	Odd []string

	id string // what ID returns, empty where it is to be made
	// plain tells that nothing in Raw may have to be masked, clean that no text in it has
	// a control byte.
	plain, clean bool
}

// TLS is tlsDetails. Host is the name that the caller asked for.
type TLS struct{ Version, Cipher, Host string }

// Additional are the members of additionalEventData that are used.
type Additional struct {
	// BytesIn and BytesOut are what an S3 data event moved; AWS writes floats.
	BytesIn, BytesOut float64
	HasBytes          bool
	MFAUsed           Truth
	LoginTo           string
}

// Parse looks at one record. The error is a *event.SyntaxError for bytes that are
// no JSON object, and nothing else is one.
func Parse(raw []byte) (*Record, error) {
	var l look
	err := l.at(raw)
	if err == nil {
		err = l.cursor.End()
	}
	if err != nil {
		return nil, fmt.Errorf("a CloudTrail record: %w", err)
	}
	r := &Record{}
	l.record(r)
	return r, nil
}

func (r *Record) member(name []byte, v node, times *[3]node, known *known) {
	if field := r.field(name); field != nil {
		*field = known.text(v)
		return
	}
	switch string(name) {
	case "eventTime":
		times[0] = v
	case "@timestamp":
		times[1] = v
	case "p_event_time":
		times[2] = v
	case "recipientAccountId":
		r.AccountID = known.text(v)
		r.odd("account_number", !v.isText() && r.AccountID != "")
	case "sourceIPAddress":
		r.Source = sourceOf(known.text(v))
	case "userIdentity":
		r.Identity = identityOf(v, known)
	case "readOnly":
		r.ReadOnly = v.truth()
	case "managementEvent":
		r.Management = v.truth()
	case "sessionCredentialFromConsole":
		r.FromConsole = v.truth() == True
	default:
		r.composite(name, v, known)
	}
}

// composite keeps the members that are objects.
func (r *Record) composite(name []byte, v node, known *known) {
	switch string(name) {
	case "requestParameters":
		r.Request = v.raw()
	case "responseElements":
		r.Response = v.raw()
	case "tlsDetails":
		r.TLS = tlsOf(v, known)
	case "additionalEventData":
		r.Additional = additionalOf(v)
	}
}

// field is where the text of a member is kept.
func (r *Record) field(name []byte) *string {
	switch string(name) {
	case "eventID":
		return &r.EventID
	case "eventVersion":
		return &r.Version
	case "eventSource":
		return &r.Service
	case "eventName":
		return &r.Name
	case "eventType":
		return &r.Type
	case "eventCategory":
		return &r.Category
	case "awsRegion":
		return &r.Region
	case "userAgent":
		return &r.UserAgent
	case "errorCode":
		return &r.ErrorCode
	case "errorMessage":
		return &r.ErrorMessage
	case "vpcEndpointId":
		return &r.VPCEndpointID
	case "vpcEndpointAccountId":
		return &r.VPCEndpointAccountID
	}
	return nil
}

func tlsOf(n node, known *known) (t TLS) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "tlsVersion":
			t.Version = known.text(v)
		case "cipherSuite":
			t.Cipher = known.text(v)
		case "clientProvidedHostHeader":
			t.Host = known.text(v)
		}
	})
	return t
}

func additionalOf(n node) (a Additional) {
	n.each(func(name []byte, v node) {
		switch string(name) {
		case "bytesTransferredIn":
			f, ok := v.float()
			a.BytesIn, a.HasBytes = f, a.HasBytes || ok
		case "bytesTransferredOut":
			f, ok := v.float()
			a.BytesOut, a.HasBytes = f, a.HasBytes || ok
		case "MFAUsed":
			a.MFAUsed = v.truth()
		case "LoginTo":
			a.LoginTo = v.text()
		}
	})
	return a
}

// ID names the action and the account whose copy this is: eventID/recipientAccountId.
// It is the key by which copies are recognised. A record without eventID is named by
// its bytes.
func (r *Record) ID() string {
	if r.id != "" {
		return r.id
	}
	if r.EventID == "" {
		sum := sha256.Sum256(r.Raw)
		return "sha256:" + hex.EncodeToString(sum[:16])
	}
	return r.EventID + "/" + r.Account()
}

// Account is the account that the record belongs to: recipientAccountId, which
// records before version 1.02 lack, else the caller's.
func (r *Record) Account() string {
	if r.AccountID != "" {
		return r.AccountID
	}
	return r.Identity.AccountID
}

// Failed tells that the call did not do what it asked for. A failed console login
// has no errorCode.
func (r *Record) Failed() bool {
	return r.ErrorCode != "" || r.ErrorMessage != "" || bytes.Contains(r.Response, []byte("ConsoleLogin")) && nodeOf(r.Response).get("ConsoleLogin").text() == "Failure"
}
