package schemas_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloud"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/pkg/enrich/finding"
	"github.com/stackjoin/stackjoin/pkg/enrich/owner"
	"github.com/stackjoin/stackjoin/pkg/event"
	"github.com/stackjoin/stackjoin/schemas"
	"github.com/stackjoin/stackjoin/schemas/compat"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

func TestEveryRecordHasItsSchema(t *testing.T) {
	want := []string{cloudtrail.SchemaEnriched, cloud.SchemaLink, event.SchemaDeadLetter, enrich.SchemaEnriched, owner.SchemaFact, finding.Schema, event.SchemaGap, event.SchemaHeartbeat,
		event.SchemaRow, enrich.SchemaSide, event.SchemaStatus}
	if got := schemas.Names(); !slices.Equal(got, want) {
		t.Errorf("schemas of %q, want %q", got, want)
	}
	if _, err := schemas.Read("stackjoin.row/9"); err == nil {
		t.Error("a schema that does not exist is read")
	}
	if id := schemas.ID(event.SchemaRow); id != "https://stackjoin.dev/schemas/row/1.json" {
		t.Errorf("the row's $id is %s", id)
	}
}

func TestSchemasTellWhatTheyAreOf(t *testing.T) {
	for _, name := range schemas.Names() {
		text, err := schemas.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		var about struct {
			Schema      string `json:"$schema"`
			ID          string `json:"$id"`
			Title       string
			Description string
		}
		if err := json.Unmarshal(text, &about); err != nil {
			t.Fatal(err)
		}
		if about.Schema != "https://json-schema.org/draft/2020-12/schema" || about.ID != schemas.ID(name) || about.Title == "" || about.Description == "" {
			t.Errorf("%s says of itself: %+v", name, about)
		}
	}
}

// TestNothingReleasedChanges compares each schema with its last release.
func TestNothingReleasedChanges(t *testing.T) {
	for _, name := range schemas.Names() {
		current, err := schemas.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		file := strings.ReplaceAll(strings.TrimPrefix(name, "stackjoin."), "/", "-") + ".json"
		released, err := os.ReadFile(filepath.Join("released", file))
		if err != nil {
			t.Fatalf("no released copy: %v", err)
		}
		problems, err := compat.Compare(released, current)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s changed since its release, which needs a new major version: %s", name, p)
		}
	}
}

// TestSchemasRefuse changes one thing in a good sample: a schema that takes
// everything would pass all the other tests.
func TestSchemasRefuse(t *testing.T) {
	for _, test := range []struct{ sample, from, to string }{
		{"row-event.json", `,"delivery":{`, `,"delivered":{`},
		{"row-event.json", `"agent":"6f1c9b1e-`, `"agent":"6f1c9b1e`},
		{"row-event.json", `"run":"00ff00ff00ff00ff"`, `"run":"00FF00FF00FF00FF"`},
		{"row-event.json", `"seq":1042`, `"seq":"1042"`},
		{"row-event.json", `"seq":1042`, `"seq":-1`},
		{"row-event.json", `"seq":1042`, `"seq":18446744073709551616`},
		{"row-event.json", `"row":0,`, ``},
		{"row-event.json", `"prev":"00ff00ff00ff00ff/1040"`, `"prev":"1040"`},
		{"row-event.json", `10:11:20.305Z`, `10:11:20Z`},
		{"row-event.json", `2026-11-23T`, `2026-13-23T`},
		{"row-event.json", `"spooled":`, `"spool":0,"spooled":`},
		{"row-event.json", `"columns":{"action":"connect","pid":"30219","remote_address":"198.51.100.23"}`, `"columns":[]`},
		{"row-event.json", `"action":"added"`, `"action":1`},
		{"row-escaped.json", `"raw":`, `"row":`},
		{"row-escaped.json", `"escaped":true`, `"escaped":1`},
		{"status-osqueryd.json", `"severity":1`, `"severity":"1"`},
		{"status-osqueryd.json", `"message":`, `"log_type":"status","message":`},
		{"status-osqueryd.json", `,"version":"5.23.1"`, ``},
		{"status-escaped.json", `"escaped":true`, `"escaped":false`},
		{"status-escaped.json", `"escaped":true,`, ``},
		{"deadletter-malformed.json", `"reason":"malformed"`, `"reason":"lost"`},
		{"deadletter-malformed.json", `"kind":"deadletter"`, `"kind":"gap"`},
		{"deadletter-malformed.json", `"original":"`, `"original":"*`},
		{"deadletter-malformed.json", `"seq":1042`, `"sequence":1042`},
		{"deadletter-malformed.json", `"sha256":"`, `"sha256":"g`},
		{"deadletter-read.json", `,"offset":1234567`, ``},
		{"enriched-match.json", `"enrichment":`, `"enriched":`},
		{"enriched-match.json", `"schema":"stackjoin.enriched/1"`, `"schema":"stackjoin.enriched/2"`},
		{"enriched-match.json", `"destination":{"address":"198.51.100.23","ip":"198.51.100.23"`, `"destination":{"address":"198.51.100.23","ip":"198.51.100.256"`},
		{"enriched-match.json", `"port":443`, `"port":"443"`},
		{"enriched-match.json", `"category":["network"]`, `"category":["net"]`},
		{"enriched-match.json", `"category":["network"]`, `"category":"network"`},
		{"enriched-match.json", `"network":{"transport":"tcp"}`, `"network":{"transport":"tcp","vlan":7}`},
		{"enriched-match.json", `"generation":"9c1f",`, ``},
		{"enriched-match.json", `"confidence":"High"`, `"confidence":"certain"`},
		{"enriched-match.json", `"inferred":true`, `"inferred":false`},
		{"enriched-match.json", `"time_source":"column"`, `"time_source":"guess"`},
		{"enriched-gap.json", `"reason":"process_unknown"`, `"reason":"whatever"`},
		{"enriched-foreign.json", `"line":7`, `"line":0`},
		{"finding-lost.json", `"status":"open"`, `"status":"closed"`},
		{"finding-lost.json", `"word":"lost"`, `"word":"gone"`},
		{"finding-lost.json", `"at_least":true`, `"at_least":false`},
		{"finding-rows.json", `"rows":"3-7,9"`, `"rows":"3-"`},
		{"finding-match.json", `"T1071.001"`, `"1071"`},
		{"finding-match.json", `"evidence":`, `"proof":`},
		{"cloudtrail.enriched-instance.json", `"enrichment":`, `"enriched":`},
		{"cloudtrail.enriched-instance.json", `"proof":"role_delivery"`, `"proof":"guess"`},
		{"cloudtrail.enriched-instance.json", `"source":"address"`, `"source":"198.51.100.7"`},
		{"cloudtrail.enriched-instance.json", `"outcome":"success"`, `"outcome":"Success"`},
		{"cloudtrail.enriched-instance.json", `"generation":"9c1f",`, ``},
		{"cloudtrail.enriched-odd.json", `"reason":"time_unknown"`, `"reason":"whatever"`},
		{"cloudtrail.enriched-odd.json", `"odd":["`, `"odd":["x","`},
		{"cloudtrail.link-attributed.json", `"status":"attributed"`, `"status":"sure"`},
		{"cloudtrail.link-attributed.json", `"score":`, `"points":`},
		{"cloudtrail.link-minute.json", `"count":`, `"number":`},
		{"finding-credential.json", `"no_sensor":true`, `"no_sensor":false`},
		{"enriched-cloud.json", `"proof":"metadata"`, `"proof":"guess"`},
	} {
		t.Run(test.sample+" "+test.to, func(t *testing.T) {
			kind, _, _ := strings.Cut(test.sample, "-")
			name := "stackjoin." + kind + "/1"
			samples, err := schemas.Samples(name)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(samples[test.sample]), test.from, test.to, 1)
			if changed == string(samples[test.sample]) {
				t.Fatalf("%s has no %s", test.sample, test.from)
			}
			if err := schematest.Check(name, []byte(changed)); err == nil {
				t.Errorf("passes: %s", changed)
			}
		})
	}
	if schematest.Check("stackjoin.row/9", []byte("{}")) == nil || schematest.Check(event.SchemaRow, []byte("{")) == nil {
		t.Error("an unknown schema or text that is no JSON passes")
	}
}
