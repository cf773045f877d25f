package cloud

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
)

// word is what an instance's host says to whoever owns the instance's keys: that it is
// the instance, and what its processes did about one key and address. Its counts are
// all there are, so that the last word holds.
type word struct {
	Instance string      `json:"instance"`
	Host     enrich.Host `json:"host"`
	Name     string      `json:"name,omitempty"`
	Tally    *tally      `json:"tally,omitempty"`
}

// tally counts the calls of one key and address by what was found of their processes,
// once the host's clock had passed them.
type tally struct {
	Key        string    `json:"key"`
	Address    string    `json:"address"`
	Attributed int64     `json:"attributed,omitempty"`
	Unseen     int64     `json:"unseen,omitempty"`
	Last       time.Time `json:"last"` // of the calls
}

func (t *tally) name() string { return t.Key + "|" + t.Address }

func readWord(s *enrich.Side) (*word, error) {
	w := &word{}
	if err := json.Unmarshal(s.Value, w); err != nil {
		return nil, fmt.Errorf("word of a host: %w", err)
	}
	if w.Instance == "" || w.Host == "" {
		return nil, errDigest
	}
	return w, nil
}

// introduce says which instance a host is, where that is new: to the partition of the
// instance's id, and to all who route, if its rows do not (owner.Operator).
func (o *Operator) introduce(h *host, out *enrich.Out) error {
	if !o.cfg.Apart || !h.record.Sensor || h.now.Instance == "" {
		return nil
	}
	known := strings.Join([]string{o.cfg.Group, strconv.Itoa(int(o.cfg.Partition)), h.now.Instance, h.record.Name}, "|")
	if h.record.Known == known {
		return nil
	}
	h.record.Known = known
	if err := o.putRecord(h); err != nil {
		return err
	}
	if h.now.Proof != ByMetadata {
		fact := owner.Fact{Kind: owner.HostInstance, Host: h.id, Partition: o.cfg.Partition, RowsKey: h.rowsKey, Instance: h.now.Instance, Account: h.now.Account}
		record, err := fact.Output()
		if err != nil {
			return fmt.Errorf("cloud of %s: %w", h.id, err)
		}
		out.Add(record)
	}
	return o.say(&word{Instance: h.now.Instance, Host: h.id, Name: h.record.Name}, out)
}

// weigh counts what was found of a call's process, and says so where it is another than
// before. That none was seen counts only once the host's clock has passed the call.
func (o *Operator) weigh(h *host, c *call, status Status, out *enrich.Out) error {
	if status == Possible || !h.passed(c, o.cfg.Hold) {
		status = ""
	}
	if status == c.Counted || c.Key == "" {
		return nil
	}
	address := c.Source
	if a, err := netip.ParseAddr(address); err == nil {
		address = a.Unmap().WithZone("").String()
	}
	t := h.words[c.Key+"|"+address]
	if t == nil {
		t = &tally{Key: c.Key, Address: address}
		h.words[t.name()] = t
	}
	t.count(c.Counted, -1)
	t.count(status, 1)
	if c.Last.After(t.Last) {
		t.Last = c.Last
	}
	c.Counted = status
	o.changed.calls[c] = h
	if err := o.put(h, keyed(wordKey, t.name()), t); err != nil {
		return err
	}
	said := *t
	return o.say(&word{Instance: c.Instance, Host: h.id, Name: h.record.Name, Tally: &said}, out)
}

func (t *tally) count(s Status, n int64) {
	switch s {
	case Attributed:
		t.Attributed += n
	case Unseen:
		t.Unseen += n
	case Possible: // says nothing of the key
	}
}

// say tells the owner of an instance's keys, who may be the Operator itself.
func (o *Operator) say(w *word, out *enrich.Out) error {
	if !o.cfg.Apart {
		return o.hear(w)
	}
	s := enrich.Side{Host: enrich.Host(w.Instance), Kind: enrich.SideHost, Value: encode(w), Source: "host/" + string(w.Host)}
	record, err := s.Output(enrich.ByKey)
	if err != nil {
		return fmt.Errorf("cloud of %s: %w", w.Host, err)
	}
	out.Add(record)
	return nil
}

// hear takes in what a host says of its instance.
func (o *Operator) hear(w *word) error {
	h, err := o.host(enrich.Host(w.Instance))
	if err != nil {
		return err
	}
	if h.record.Is != w.Host || h.record.IsNamed != w.Name {
		h.record.Is, h.record.IsNamed = w.Host, w.Name
		if err := o.putRecord(h); err != nil {
			return err
		}
		h.doubt()
	}
	o.again.due[h.id] = true
	if w.Tally == nil {
		return nil
	}
	h.words[w.Tally.name()] = w.Tally
	if h.credentials[w.Tally.name()] != nil {
		h.unsure[w.Tally.name()] = true
	}
	return o.put(h, keyed(wordKey, w.Tally.name()), w.Tally)
}

// sweepWords forgets what was counted of keys that nobody judges any more.
func (o *Operator) sweepWords(h *host, now time.Time) error {
	for name, t := range h.words {
		if t.Last.Before(now.Add(-sharedWithin - o.cfg.Lateness)) {
			delete(h.words, name)
			if err := o.drop(h, keyed(wordKey, name)); err != nil {
				return err
			}
		}
	}
	return nil
}
