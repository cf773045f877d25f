package event

import (
	"bytes"
	"time"
)

// AnswerRecord is one resource record of a DNS answer.
type AnswerRecord struct {
	// Name is what the record is about, where the source says so: the name asked
	// for, or an alias on the way.
	Name string
	// Type is its type as a word (A, CNAME), empty where the source does not say.
	Type string
	// Data is an address, a name or text, as the source writes it.
	Data string
	// TTL is how long it may be kept, below 0 where nobody says.
	TTL time.Duration
}

const unknownTTL = -1

// Answers reads the fields Answer and AnswerTTL of a DNS event, in the order of
// the answer: Zeek's lists of texts and TTLs, Suricata's and Route 53 Resolver's
// lists of objects, or text as Windows gives it, with semicolons between
// ("type:  5 www.example.net;::ffff:192.0.2.1;"). What is none of these is no
// answer.
func Answers(answer, ttl Value) []AnswerRecord {
	if answer.Empty() {
		return nil
	}
	list := answer.Raw
	if answer.String { // a list may be text in a column
		list = []byte(answer.Text())
	}
	if list[0] != '[' {
		return textAnswers(list, ttl)
	}
	s := scanner{b: list}
	var all []AnswerRecord
	if s.array(func() error {
		record, err := s.answer()
		all = append(all, record)
		return err
	}) != nil {
		return nil
	}
	setTTLs(all, ttl)
	return all
}

// answer reads one element of a list.
func (s *scanner) answer() (AnswerRecord, error) {
	record := AnswerRecord{TTL: unknownTTL}
	if s.peek() != '{' {
		v, err := s.any()
		record.Data = v.Text()
		return record, err
	}
	err := s.object(func(key []byte) error {
		v, err := s.any()
		switch string(key) {
		case "rrname":
			record.Name = v.Text()
		case "rrtype", "Type":
			record.Type = v.Text()
		case "rdata", "Rdata":
			record.Data = v.Text()
		case "ttl":
			record.TTL = v.ttl()
		}
		return err
	})
	return record, err
}

// setTTLs gives each record its own of a list of TTLs.
func setTTLs(all []AnswerRecord, ttls Value) {
	if ttls.String || ttls.Empty() || ttls.Raw[0] != '[' {
		return
	}
	s := scanner{b: ttls.Raw}
	i := 0
	_ = s.array(func() error { // the row's own parser has read it
		v, err := s.any()
		if i < len(all) {
			all[i].TTL = v.ttl()
		}
		i++
		return err
	})
}

// ttl reads seconds, with a fraction or without.
func (v Value) ttl() time.Duration {
	whole, _, _ := bytes.Cut(v.Raw, []byte{'.'})
	n, ok := Value{Raw: whole}.Int()
	if !ok || n < 0 || n > 1<<31 {
		return unknownTTL
	}
	return time.Duration(n) * time.Second
}

func textAnswers(text []byte, ttl Value) (all []AnswerRecord) {
	for part := range bytes.SplitSeq(text, []byte{';'}) {
		part = bytes.TrimSpace(part)
		record := AnswerRecord{TTL: unknownTTL}
		if rest, typed := bytes.CutPrefix(part, []byte("type:")); typed {
			number, data, _ := bytes.Cut(bytes.TrimSpace(rest), []byte{' '})
			record.Type, part = recordType(string(number)), bytes.TrimSpace(data)
		}
		if len(part) == 0 {
			continue
		}
		if !ttl.Empty() {
			record.TTL = ttl.ttl()
		}
		record.Data = string(part)
		all = append(all, record)
	}
	return all
}

// recordType is the word for a record type's number, where joins know it.
func recordType(number string) string {
	switch number {
	case "1":
		return "A"
	case "5":
		return "CNAME"
	case "12":
		return "PTR"
	case "28":
		return "AAAA"
	}
	return number
}
