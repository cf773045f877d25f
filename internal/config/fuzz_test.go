package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/config"
)

// FuzzParse holds for any text: no panic, one line for each problem, no value of a
// variable in a message, and the same answer twice.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "level: debug\nbrokers: [a, b]\n", "brokers: ${LIST:-a,b}\nsize: 1GiB\n", "auth:\n  user: u\n  password: ${P}\n",
		"feeds:\n- name: a\n  every: 1h\n- {}\n", "extra:\nlabels: {a: b, a: c}\n", "- a\n---\nb\n", "a: &x {}\nb: *x\n",
		"? [a]\n: b\n", "count: !!int 1\n", "on: |\n  true\n", "\tcount: 1\n", "auth: {user: \"a$${b\"}\n", "<<: *a\n", "%YAML 1.2\n---\n",
	} {
		f.Add([]byte(seed))
	}
	const value = "0e1f9c77-from-a-variable"
	env := func(string) (string, bool) { return value, true }
	f.Fuzz(func(t *testing.T, text []byte) {
		var once, twice sample
		err := config.Parse("f.yaml", text, &once, env)
		again := config.Parse("f.yaml", text, &twice, env)
		if (err == nil) != (again == nil) || err != nil && err.Error() != again.Error() {
			t.Fatalf("first %v\nthen %v", err, again)
		}
		if err == nil {
			return
		}
		var broken *config.Errors
		if !errors.As(err, &broken) {
			t.Fatalf("%T %v", err, err)
		}
		if lines := strings.Split(err.Error(), "\n"); len(lines) != len(broken.Problems) {
			t.Fatalf("%d problems in %d lines: %q", len(broken.Problems), len(lines), err)
		}
		if strings.Contains(err.Error(), value) && !strings.Contains(string(text), value) {
			t.Fatalf("a variable's value in %q", err)
		}
	})
}
