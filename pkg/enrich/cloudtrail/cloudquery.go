package cloudtrail

import (
	"github.com/stackjoin/stackjoin/pkg/event"
)

// columnsOf pairs the columns of cloudquery's table aws_cloudtrail_events with the
// members of a record, in the order in which AWS writes them.
func columnsOf() [27][2]string {
	return [...][2]string{
		{"event_version", "eventVersion"},
		{"user_identity", "userIdentity"},
		{"event_time", "eventTime"},
		{"event_source", "eventSource"},
		{"event_name", "eventName"},
		{"region_code", "awsRegion"},
		{"source_ip_address", "sourceIPAddress"},
		{"user_agent", "userAgent"},
		{"error_code", "errorCode"},
		{"error_message", "errorMessage"},
		{"request_parameters", "requestParameters"},
		{"response_elements", "responseElements"},
		{"additional_event_data", "additionalEventData"},
		{"request_id", "requestID"},
		{"event_id", "eventID"},
		{"read_only", "readOnly"},
		{"resources", "resources"},
		{"api_version", "apiVersion"},
		{"management_event", "managementEvent"},
		{"recipient_account_id", "recipientAccountId"},
		{"service_event_details", "serviceEventDetails"},
		{"shared_event_id", "sharedEventID"},
		{"vpc_endpoint_id", "vpcEndpointId"},
		{"event_category", "eventCategory"},
		{"addendum", "addendum"},
		{"session_credential_from_console", "sessionCredentialFromConsole"},
		{"tls_details", "tlsDetails"},
	}
}

// rebuild puts a record together from a row's columns: those that hold JSON as JSON,
// all others as text. ok is false for a row of another table.
func rebuild(r *event.Row) (record []byte, ok bool) {
	if _, ok := r.Column("user_identity"); !ok {
		return nil, false
	}
	if _, ok := r.Column("event_name"); !ok {
		return nil, false
	}
	record = append(record, '{')
	for _, pair := range columnsOf() {
		v, ok := r.Column(pair[0])
		if pair[0] == "recipient_account_id" && v.Empty() {
			v, ok = r.Column("account_id")
		}
		if !ok || v.Empty() {
			continue
		}
		if len(record) > 1 {
			record = append(record, ',')
		}
		record = append(event.AppendString(record, pair[1]), ':')
		record = appendColumn(record, v)
	}
	return append(record, '}'), true
}

func appendColumn(dst []byte, v event.Value) []byte {
	text := v.Text()
	if composite := text[0] == '{' || text[0] == '['; composite || text == "null" || text == "true" || text == "false" {
		c := event.NewCursor([]byte(text))
		if _, err := c.Value(); err == nil && c.End() == nil {
			return append(dst, text...)
		}
	}
	return event.AppendString(dst, text)
}

// row reads the rows of cloudquery's table aws_cloudtrail_events, in any of the
// forms of osquery's results.
func (d *decoder) row(raw []byte) error {
	rows, err := event.SplitResult(raw)
	if err != nil {
		return d.refuse("malformed", err, raw, int64(len(raw)))
	}
	for i := range rows.Len() {
		var r event.Row
		if err := r.Parse(rows.AppendRow(nil, i)); err != nil {
			return d.refuse("malformed", err, raw, int64(len(raw)))
		}
		text, ok := rebuild(&r)
		if !ok {
			err = d.skipped("other_row")
		} else if record, wrong := Parse(text); wrong != nil {
			err = d.refuse("malformed", wrong, text, int64(len(text)))
		} else {
			err = d.found(Found{Record: record, Rebuilt: true})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
