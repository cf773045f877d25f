package loggerstat

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// health is the answer of /healthz.
type health struct {
	Status  string   `json:"status"` // ok, or unhealthy
	Reasons []string `json:"reasons,omitempty"`
	// Notes are worth knowing but heal by themselves.
	Notes   []string `json:"notes,omitempty"`
	Version string   `json:"version"`
	Agent   string   `json:"agent,omitempty"`
	Config  string   `json:"config"`
	Ship    string   `json:"shipping"`
	Waiting uint64   `json:"waiting_calls"`
	Oldest  float64  `json:"oldest_age_seconds"`
}

// healthOf judges a snapshot. What needs somebody's hand is a reason; a destination
// that is away is a note, for the spool is there to wait for it.
func healthOf(s Snapshot, now time.Time) health {
	h := health{
		Status: "ok", Version: short(s.Version), Agent: short(s.Agent), Config: string(s.ConfigState), Ship: string(s.ShippingState),
		Waiting: s.WaitingCalls, Oldest: s.oldestAge(now).Round(time.Millisecond).Seconds(),
		Reasons: reasons(s), Notes: notes(s),
	}
	if len(h.Reasons) > 0 {
		h.Status = "unhealthy"
	}
	return h
}

func reasons(s Snapshot) []string {
	var list []string
	add := func(holds bool, format string, args ...any) {
		if holds {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	add(!s.Registered, "not registered with osqueryd")
	add(!s.UnwritableSince.IsZero(), "the spool is unwritable%s", because(s.UnwritableSince, s.UnwritableWhy))
	add(s.ConfigState == ConfigLastGood, "the configuration is wrong; the last good one is used")
	add(s.ConfigState == ConfigNone, "the configuration is wrong and there is no last good one: nothing is shipped")
	add(s.ShippingState == ShippingHeld, "the line is held%s", because(s.ShippingSince, s.ShippingWhy))
	add(s.ShippingState == ShippingOff && s.ConfigState != ConfigNone, "nothing is shipped%s", because(s.ShippingSince, s.ShippingWhy))
	return list
}

func notes(s Snapshot) []string {
	var list []string
	if !s.FailingSince.IsZero() {
		list = append(list, "the destination is failing"+because(s.FailingSince, s.LastError))
	}
	if l := s.lost(); l.Calls > 0 {
		list = append(list, fmt.Sprintf("%d calls were dropped since the start: %s", l.Calls, drops(s.Lost)))
	}
	return list
}

// because says since when and why, as far as that is known.
func because(since time.Time, why string) (words string) {
	if !since.IsZero() {
		words = " since " + since.UTC().Format(time.RFC3339)
	}
	if why != "" {
		words += ": " + short(why)
	}
	return words
}

// serveHealth answers 200 when osqueryd's calls are taken, kept and shipped, else
// 503 with the reasons.
func serveHealth(w http.ResponseWriter, s Snapshot) {
	h := healthOf(s, time.Now())
	b, err := json.Marshal(h)
	if err != nil { // texts and numbers always marshal
		http.Error(w, "no answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if len(h.Reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// Whoever asked may be gone.
	_, _ = w.Write(append(b, '\n'))
}
