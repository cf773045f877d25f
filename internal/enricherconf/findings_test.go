package enricherconf_test

import (
	"strings"
	"testing"
	"time"
)

func TestASuppressionIsTakenAsWritten(t *testing.T) {
	c, err := load(t, "findings: {max_per_hour: 7}\nsuppressions:\n  - {host: web-*, rule: match_*, owner: ada, reason: exercise, expires: 2027-01-31}\n")
	if err != nil {
		t.Fatal(err)
	}
	p := c.Policy("results/3")
	if p.MaxPerHour != 7 || p.Partition != "results/3" || len(p.Suppressions) != 1 {
		t.Fatalf("%+v", p)
	}
	if s := p.Suppressions[0]; s.Host != "web-*" || s.Rule != "match_*" || s.Owner != "ada" || s.Reason != "exercise" ||
		!s.Expires.Equal(time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", s)
	}
}

func TestAWrongSuppressionIsRefusedWithLineAndKey(t *testing.T) {
	const good = "suppressions:\n  - host: web\n    owner: ada\n    reason: x\n    expires: 2027-01-31T18:00:00+02:00\n"
	if _, err := load(t, good); err != nil {
		t.Fatal(err)
	}
	for change, want := range map[[2]string]string{
		{"host: web", "host: \"\""}:            "enricher.yaml:2: suppressions[0]: must say a host",
		{"host: web", "rule: match_addresses"}: "enricher.yaml:2: suppressions[0].rule: is none of match_address",
		{"    owner: ada\n", ""}:               "suppressions[0].owner: must be given",
		{"    reason: x\n", ""}:                "suppressions[0].reason: must be given",
		{"2027-01-31T18:00:00+02:00", "soon"}:  `enricher.yaml:5: suppressions[0].expires: "soon" is not a time`,
		{"reason: x", "resaon: x"}:             `enricher.yaml:4: suppressions[0].resaon: unknown key, did you mean "reason"`,
	} {
		if _, err := load(t, strings.Replace(good, change[0], change[1], 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", change[1], err, want)
		}
	}
	if _, err := load(t, "findings: {max_per_hour: 0}\n"); err == nil || !strings.Contains(err.Error(), "findings.max_per_hour: must be at least 1") {
		t.Error(err)
	}
}
