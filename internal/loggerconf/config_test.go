package loggerconf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/loggerconf"
	"github.com/stackjoin/stackjoin/internal/redact"
	"github.com/stackjoin/stackjoin/internal/route"
)

func load(t *testing.T, text string) (*loggerconf.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loggerconf.Load(path)
}

func TestRoutesAndRulesComeFromTheFile(t *testing.T) {
	c, err := load(t, `
pack_delimiter: /
routes:
- query: "*_events"
  kind: result
  topic: osquery.events
- {pack: "team-*", decorations: {role: "web*"}, topic: osquery.web}
redact:
  key: 0123456789abcdef
  rules:
  - preset: password_flags
  - {name: pin, match: 'pin=([0-9]+)$', columns: [cmdline], queries: ["*process*"]}
`)
	if err != nil {
		t.Fatal(err)
	}
	routes, err := route.Compile(c.Routes, c.PackDelimiter)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := redact.Compile(c.Redact.Rules, []byte(c.Redact.Key.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	row := []byte(`{"name":"pack/team-1/processes","decorations":{"role":"web1"},"columns":{"cmdline":"mysql -psecret pin=1234"}}`)
	if topic, ok := routes.Stream(extension.TypeString, row); !ok || topic != "osquery.web" {
		t.Errorf("goes to %q", topic)
	}
	if out, n := rules.Apply(extension.TypeString, row); n != 2 || !strings.Contains(string(out), "[redacted:pin:") {
		t.Errorf("%d secrets: %s", n, out)
	}
}

// Everything that is wrong is told with its entry, in one go.
func TestAWrongEntryIsNamed(t *testing.T) {
	_, err := load(t, `
pack_delimiter: "*"
routes:
- {query: a, topic: t}
- {topic: t}
- {query: a}
- {query: a, kind: snapshots, topic: t}
redact:
  key: short
  rules:
  - {preset: passwords}
  - {name: n, match: '(?<!a)b', columns: [c]}
  - {name: n, match: 'b'}
`)
	if err == nil {
		t.Fatal("a wrong file is taken")
	}
	for _, want := range []string{
		"c.yaml:2: pack_delimiter: must not hold * or ?",
		"c.yaml:5: routes[1].kind: at least one of query, pack, decorations and kind is needed",
		"c.yaml:6: routes[2].topic: must name a topic",
		`c.yaml:7: routes[3].kind: expected one of result, snapshot, status, got "snapshots"`,
		"c.yaml:9: redact.key: must be at least 16 characters",
		"c.yaml:11: redact.rules[0].preset: expected one of authorization_headers, password_flags, aws_keys, url_credentials",
		`c.yaml:12: redact.rules[1].match: "(?<!a)b" is not supported`,
		"c.yaml:13: redact.rules[2].columns: is needed with match",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 8 {
		t.Errorf("%d problems are told:\n%v", n, err)
	}
}

func TestTheExampleIsValid(t *testing.T) {
	path := filepath.Join("..", "..", "examples", "logger-ext.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, string(text)); err != nil {
		t.Error(err)
	}
	// So is what stands in it as an example, behind #|.
	whole := strings.ReplaceAll(string(text), "#| ", "")
	c, err := load(t, whole)
	if err != nil || len(c.Routes) == 0 || len(c.Redact.Rules) == 0 {
		t.Errorf("%d routes, %d rules: %v", len(c.Routes), len(c.Redact.Rules), err)
	}
}

func TestAnAddressThatCannotBeListenedOnIsRefused(t *testing.T) {
	for listen, good := range map[string]bool{
		"": true, "127.0.0.1:9465": true, ":9465": true, "[::1]:0": true,
		"9465": false, "127.0.0.1": false, "127.0.0.1:70000": false, "127.0.0.1:metrics": false,
	} {
		c, err := load(t, "metrics: {listen: '"+listen+"'}\n")
		if good != (err == nil) || err != nil && !strings.Contains(err.Error(), "metrics.listen") {
			t.Errorf("%q: %v", listen, err)
		}
		if c.Metrics.Listen != listen {
			t.Errorf("%q was read as %q", listen, c.Metrics.Listen)
		}
	}
}
