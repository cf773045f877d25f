package cloudtrail

import "strings"

// time takes the first of the record's times that is one: eventTime, @timestamp,
// p_event_time.
func (r *Record) time(times [3]node) {
	r.TimeSource = TimeUnknown
	for i, source := range [...]TimeSource{TimeEvent, TimeTimestamp, TimePanther} {
		t, usual, ok := when(times[i])
		if !ok {
			continue
		}
		r.Time, r.TimeSource = t, source
		r.odd("time_form", !usual || source != TimeEvent)
		return
	}
	r.odd("time_missing", true)
}

// odd notes what is out of order.
func (r *Record) odd(word string, is bool) {
	if is {
		r.Odd = append(r.Odd, word)
	}
}

// check notes what no record of AWS's own looks like. Nothing of it is fatal.
func (r *Record) check() {
	if r.Source.Kind == "" {
		r.Source.Kind = SourceNone
	}
	r.odd("event_id_missing", r.EventID == "")
	r.odd("event_name_missing", r.Name == "")
	r.odd("version", r.Version != "" && !strings.HasPrefix(r.Version, "1."))
	r.odd("source_address", r.Source.Kind == SourceInvalid)
	r.odd("region", r.Region != "" && !regionForm(r.Region))
	r.odd("account", r.AccountID != "" && !accountForm(r.AccountID))
	r.odd("identity_missing", r.Identity == (Identity{}))
	id, proof := r.Identity.Instance()
	r.odd("instance_case", proof != "" && proof != ProofScope && id != r.Identity.SessionName())
}

func accountForm(text string) bool {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) == 12
}

// regionForm tells words and at last a number: eu-west-1, us-gov-east-1.
func regionForm(text string) bool {
	parts := strings.Split(text, "-")
	last := parts[len(parts)-1]
	if len(parts) < 3 || len(last) != 1 || last[0] < '0' || last[0] > '9' {
		return false
	}
	for _, part := range parts[:len(parts)-1] {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return true
}
