package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/config"
)

const wantPage = `## Sample

| Key | Type | Default | Allowed | Meaning |
|---|---|---|---|---|
| ¬level¬ | text | ¬info¬ | ¬info¬, ¬debug¬ | How much to log. |
| ¬brokers¬ | list of text | ¬a:1, b:2¬ |  | Where to connect. |
| ¬size¬ | size | ¬64KiB¬ |  | How large. |
| ¬wait¬ | duration | ¬2m¬ |  | How long. |
| ¬count¬ | whole number | ¬3¬ |  | How many. |
| ¬small¬ | whole number from -128 to 127 |  |  | A small number. |
| ¬port¬ | whole number from 0 to 65535 |  |  | A port. |
| ¬ratio¬ | number | ¬0.5¬ |  | How much \| of it. |
| ¬on¬ | true or false |  |  | Whether. |
| ¬labels¬ | map of text |  |  | What to add. |
| ¬modes¬ | list of text |  | ¬x¬, ¬y¬ | Which ways. |
| ¬auth.user¬ | text | empty |  | Who. |
| ¬auth.password¬ | secret |  |  | The password of user. |
| ¬extra¬ | section | absent |  | Something more. |
| ¬extra.path¬ | text | ¬/tmp¬ |  | Where. |
| ¬extra.since¬ | size |  |  | From what size. |
| ¬extra.token¬ | secret |  |  | A token. |
| ¬feeds¬ | list of section |  |  | Where to read. |
| ¬feeds[].name¬ | text |  |  | The name. |
| ¬feeds[].every¬ | duration | ¬1h¬ |  | How often. |
`

func TestDocument(t *testing.T) {
	want := strings.ReplaceAll(wantPage, "¬", "`")
	for range 3 {
		for _, v := range []any{sample{}, &sample{}} {
			var out strings.Builder
			if err := config.Document(&out, "Sample", v); err != nil {
				t.Fatal(err)
			}
			if out.String() != want {
				t.Fatalf("got %s", out.String())
			}
		}
	}
}

func TestDocumentRefuses(t *testing.T) {
	for name, v := range map[string]any{
		"nil":       nil,
		"no struct": 1,
		"no doc": struct {
			A int `yaml:"a"`
		}{},
		"bad default in a list": struct {
			A []struct {
				B int `yaml:"b" default:"x" doc:"B."`
			} `yaml:"a" doc:"A."`
		}{},
	} {
		var out strings.Builder
		if err := config.Document(&out, "T", v); err == nil || out.Len() > 0 {
			t.Errorf("%s: error %v, wrote %q", name, err, out.String())
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("full")

func TestDocumentTellsOfAFailedWrite(t *testing.T) {
	if err := config.Document(full{}, "T", sample{}); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}
