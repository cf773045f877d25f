package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/config"
)

const (
	topKeys  = "level, brokers, size, wait, count, small, port, ratio, on, labels, modes, auth, extra, feeds"
	nothing  = `, got nothing; remove the key to take its default, or write ""`
	noAnchor = "anchors, aliases and merge keys are not supported; write the value out"
)

// TestProblems holds the exact messages: they are what a user works with.
func TestProblems(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":       {"a: 1\n", "f.yaml:1: a: unknown key (allowed: " + topKeys + ")"},
		"slip":              {"\nbroker: 1\n", `f.yaml:2: broker: unknown key, did you mean "brokers" (allowed: ` + topKeys + ")"},
		"nested slip":       {"auth:\n  passwrod: tiger\n", `f.yaml:2: auth.passwrod: unknown key, did you mean "password" (allowed: user, password)`},
		"slip in item":      {"feeds:\n- name: a\n  evry: 1h\n", `f.yaml:3: feeds[0].evry: unknown key, did you mean "every" (allowed: name, every)`},
		"odd key":           {"auth:\n  \"a.b\\nc\": 1\n", `f.yaml:2: auth."a.b\nc": unknown key (allowed: user, password)`},
		"duplicate":         {"count: 1\non: true\ncount: 2\n", "f.yaml:3: count: duplicate key, first set at line 1"},
		"duplicate in map":  {"labels:\n  a: 1\n  a: 2\n", "f.yaml:3: labels.a: duplicate key, first set at line 2"},
		"whole number":      {"count: many\n", `f.yaml:1: count: expected a whole number, got "many"`},
		"fraction":          {"count: 1.5\n", `f.yaml:1: count: expected a whole number, got "1.5"`},
		"octal":             {"count: 010\n", `f.yaml:1: count: expected a whole number, got "010"`},
		"int8":              {"small: 128\n", `f.yaml:1: small: expected a whole number from -128 to 127, got "128"`},
		"uint16":            {"port: -1\n", `f.yaml:1: port: expected a whole number from 0 to 65535, got "-1"`},
		"number":            {"ratio: .inf\n", `f.yaml:1: ratio: expected a number, got ".inf"`},
		"bool":              {"on: yes\n", `f.yaml:1: on: expected true or false, got "yes"`},
		"size":              {"size: 1GB\n", `f.yaml:1: size: expected a size such as 64KiB or 1GiB, got "1GB"`},
		"duration":          {"wait: 5\n", `f.yaml:1: wait: expected a duration such as 500ms, 30s or 2h, got "5"`},
		"enum":              {"level: debgu\n", `f.yaml:1: level: expected one of info, debug, got "debgu", did you mean "debug"`},
		"enum in list":      {"modes:\n- x\n- z9\n", `f.yaml:3: modes[1]: expected one of x, y, got "z9"`},
		"enum by variable":  {"modes: ${HOST}\n", `f.yaml:1: modes: expected one of x, y, got "${HOST}"`},
		"no list":           {"brokers: a,b\n", `f.yaml:1: brokers: expected a list, one "- item" on each line, got a single value`},
		"map for list":      {"brokers: {a: 1}\n", `f.yaml:1: brokers: expected a list, one "- item" on each line, got a section`},
		"list for scalar":   {"count: [1]\n", "f.yaml:1: count: expected a whole number, got a list"},
		"map for scalar":    {"count:\n  a: 1\n", "f.yaml:2: count: expected a whole number, got a section"},
		"nothing":           {"count:\n", "f.yaml:1: count: expected a whole number" + nothing},
		"null":              {"count: ~\n", "f.yaml:1: count: expected a whole number" + nothing},
		"null item":         {"brokers:\n- a\n-\n", "f.yaml:3: brokers[1]: expected text" + nothing},
		"no section":        {"auth: tiger\n", "f.yaml:1: auth: expected a section (keys: user, password), got a single value"},
		"no map":            {"labels: [a]\n", "f.yaml:1: labels: expected a section (names and values), got a list"},
		"no file":           {"- a\n", "f.yaml:1: expected a section (keys: " + topKeys + "), got a list"},
		"alias":             {"size: &a 1KiB\nratio: 1\n", "f.yaml:1: size: " + noAnchor},
		"merge":             {"auth:\n  <<: {user: a}\n", "f.yaml:2: auth: " + noAnchor},
		"tag":               {"count: !!int 1\n", "f.yaml:1: count: tags are not supported; quote a value to make it text"},
		"two documents":     {"count: 1\n---\ncount: 2\n", "f.yaml:2: only one YAML document is allowed in a file"},
		"syntax":            {"count: 1\nauth: [tiger\n", "f.yaml:2: not valid YAML: sequence end token ']' not found"},
		"not text":          {"count: \xff\n", "f.yaml: not UTF-8 text"},
		"too large":         {"#" + strings.Repeat(" ", 1<<20), "f.yaml: larger than 1MiB"},
		"unset":             {"on: true\nauth:\n  user: ${NONE}\n", "f.yaml:3: auth.user: variable NONE is not set and has no default; write ${NONE:-value} to give one"},
		"unset list":        {"brokers: ${NONE}\n", "f.yaml:1: brokers: variable NONE is not set and has no default; write ${NONE:-value} to give one"},
		"not closed":        {"auth: {user: \"${HOST\"}\n", "f.yaml:1: auth.user: ${ without a closing }; write $${ for a literal ${"},
		"bad name":          {"auth: {user: \"${A-B}\"}\n", "f.yaml:1: auth.user: not a variable: use ${NAME} or ${NAME:-default}, or $${ for a literal ${"},
		"nested default":    {"auth:\n  user: ${A:-${B}}\n", "f.yaml:2: auth.user: a default cannot hold another variable"},
		"value not quoted":  {"count: ${PASS}\n", `f.yaml:1: count: expected a whole number, got "${PASS}"`},
		"validator":         {"on: true\nauth:\n  password: tiger\n", "f.yaml:2: auth.user: needed with a password"},
		"validator in list": {"feeds:\n- name: a\n- every: 1s\n", "f.yaml:3: feeds[1].name: needed"},
		"no consequence":    {"feeds:\n- name: [a]\n", "f.yaml:2: feeds[0].name: expected text, got a list"},
		"shortened": {
			"count: " + strings.Repeat("y", 90) + "\n",
			`f.yaml:1: count: expected a whole number, got "` + strings.Repeat("y", 60) + `..."`,
		},
		"all at once": {
			"feeds:\n- every: never\ncoutn: 3\nauth: {password: tiger}\nsize: x\n",
			`f.yaml:2: feeds[0].every: expected a duration such as 500ms, 30s or 2h, got "never"` + "\n" +
				"f.yaml:2: feeds[0].name: needed\n" +
				`f.yaml:3: coutn: unknown key, did you mean "count" (allowed: ` + topKeys + ")\n" +
				"f.yaml:4: auth.user: needed with a password\n" +
				`f.yaml:5: size: expected a size such as 64KiB or 1GiB, got "x"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var broken *config.Errors
			err := config.Parse("f.yaml", []byte(c.text), &sample{}, variables)
			if !errors.As(err, &broken) {
				t.Fatalf("error %v", err)
			}
			if got := broken.Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// inner reports the same through the struct it is inlined into.
type Inner struct {
	A int `yaml:"a" doc:"A."`
}

func (Inner) Validate() []config.Problem { return []config.Problem{{Key: "a", Message: "no"}} }

type outer struct {
	Inner `yaml:",inline"`
}

func TestInlinedValidatorReportsOnce(t *testing.T) {
	err := config.Parse("f", []byte("a: 1\n"), &outer{}, nil)
	if err == nil || err.Error() != "f:1: a: no" {
		t.Errorf("error %v", err)
	}
}

// TestSecretsAreNotEchoed puts a secret wherever a secret field can be wrong.
func TestSecretsAreNotEchoed(t *testing.T) {
	for _, text := range []string{
		"auth:\n  password: [tiger]\n",
		"auth:\n  password: {tiger: tiger}\n",
		"auth:\n  password: tiger: tiger\n",
		"auth:\n  password: \"tiger\n",
		"auth:\n  password: &tiger tiger\n",
		"auth:\n  password: !tiger tiger\n",
		"auth:\n  password: ${tiger\n",
		"auth:\n  password: ${tiger tiger}\n",
		"auth:\n  password: ${A:-tiger${B}}\n",
		"auth: tiger\nextra: tiger\n",
		"auth: [tiger]\nextra: [{token: tiger}]\n",
		"auth:\n  passwrod: tiger\n",
		"extra: {token: tiger, token: tiger}\n",
		"count: ${TIGER}\nmodes: ${TIGER}\nlevel: ${TIGER}\n",
		"extra:\n  token: tiger\n since: 1\n",
		"extra:\n  token: !tiger\n",
		"extra: {token: !tiger}\n",
		"extra:\n  token: @tiger\n",
		"extra:\n  token: *tiger\n",
		"extra:\n  token: |tiger\n",
	} {
		err := config.Parse("f", []byte(text), &sample{}, func(string) (string, bool) { return "tiger", true })
		if err == nil {
			t.Errorf("%q: no error", text)
		} else if strings.Contains(err.Error(), "tiger") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
