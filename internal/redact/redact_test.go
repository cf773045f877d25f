package redact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/redact"
	"github.com/stackjoin/stackjoin/internal/testdata"
)

// word takes the word s3cret where it stands in the columns given.
func word(columns ...string) redact.Rule {
	return redact.Rule{Name: "w", Match: "s3cret", Columns: columns}
}

var mark = regexp.MustCompile(`\[redacted:([A-Za-z0-9._-]+):([0-9a-f]{12})\]`)

// signs makes a result easy to compare: the mark of rule w is ♠, of v ♣.
func signs(out []byte) string {
	return mark.ReplaceAllStringFunc(string(out), func(m string) string {
		return map[string]string{"w": "♠", "v": "♣"}[mark.FindStringSubmatch(m)[1]]
	})
}

func TestEveryFormIsWalked(t *testing.T) {
	rules := compile(t, word("c", "message"), redact.Rule{Name: "v", Match: "s3cret", Columns: []string{"other*"}, Queries: []string{"q*"}})
	for _, c := range []struct {
		typ      byte
		in, want string
	}{
		{extension.TypeString, `{"name":"q","columns":{"c":"a s3cret b","d":"s3cret","other1":"s3cret"},"decorations":{"c":"s3cret"}}`,
			`{"name":"q","columns":{"c":"a ♠ b","d":"s3cret","other1":"♣"},"decorations":{"c":"s3cret"}}`},
		{extension.TypeString, `{"name":"p","columns":{"c":"s3crets3cret","other1":"s3cret"}}`, `{"name":"p","columns":{"c":"♠♠","other1":"s3cret"}}`},
		{extension.TypeString, `{"diffResults":{"removed":[{"c":"s3cret"}],"added":[{"d":"s3cret"},{"c":"s3cret"}]},"name":"q"}`,
			`{"diffResults":{"removed":[{"c":"♠"}],"added":[{"d":"s3cret"},{"c":"♠"}]},"name":"q"}`},
		{extension.TypeSnapshot, ` {"snapshot":[{"c":"s3cret","other":"s3cret"}] ,"name":"q"}`, ` {"snapshot":[{"c":"♠","other":"♣"}] ,"name":"q"}`},
		{extension.TypeSnapshot, `{"snapshot":[{"other":"s3cret"}],"name":"p"}`, `{"snapshot":[{"other":"s3cret"}],"name":"p"}`},
		{extension.TypeStringBatch, `["{\"name\":\"q\",\"columns\":{\"c\":\"\\ts3cret\",\"d\":\"s3cret\"}}","plain \u0073\/3cret s3cret"]`,
			`["{\"name\":\"q\",\"columns\":{\"c\":\"\\t♠\",\"d\":\"s3cret\"}}","plain \u0073\/3cret ♠"]`},
		{extension.TypeStringBatch, `["{\"columns\":{\"c\":1,\"other\":2}}",5]`, `["{\"columns\":{\"c\":1,\"other\":2}}",5]`},
		{extension.TypeStatus, `[{"s":0,"m":"a s3cret","f":"s3cret","other":"s3cret"}]`, `[{"s":0,"m":"a ♠","f":"s3cret","other":"s3cret"}]`},
		{extension.TypeEvent, `{"c":"s3cret","d":"s3cret","eid":"0000000001"}`, `{"c":"♠","d":"s3cret","eid":"0000000001"}`},
		// Values that are no text, and columns that hold JSON.
		{extension.TypeString, `{"columns":{"c":["s3cret",{"k":"s3cret"}],"d":null}}`, `{"columns":{"c":["♠",{"k":"♠"}],"d":null}}`},
		// Other JSON: every string, by every rule.
		{extension.TypeUnknown, `{"log":"s3cret","d":{"s3cret":[1,"s3cret"]}}`, `{"log":"♠","d":{"♠":[1,"♠"]}}`},
		{extension.TypeString, `{"name":"p","other":"s3cret"}`, `{"name":"p","other":"♠"}`},
		{extension.TypeString, `["s3cret"]`, `["♠"]`}, {extension.TypeString, ` "s3cret" `, ` "♠" `}, {extension.TypeStatus, `{"m":"s3cret"}`, `{"m":"♠"}`},
		{extension.TypeSnapshot, `{"snapshot":"s3cret","columns":[1,["s3cret"]]}`, `{"snapshot":"♠","columns":[1,["♠"]]}`},
		{extension.TypeString, `{"diffResults":"s3cret"}`, `{"diffResults":"♠"}`},
		// No JSON: the bytes.
		{extension.TypeString, `{"columns":{"d":"s3cret`, `{"columns":{"d":"♠`}, {extension.TypeString, `s3cret`, `♠`},
		{extension.TypeStatus, "\xff{s3cret\"\\", "\xff{♠\"\\"}, {extension.TypeString, `{"columns":{}} s3cret`, `{"columns":{}} ♠`},
	} {
		out, n := rules.Apply(c.typ, []byte(c.in))
		if got := signs(out); got != c.want || n != strings.Count(c.want, "♠")+strings.Count(c.want, "♣") {
			t.Errorf("%c %s\nis   %s\nwant %s (%d)", c.typ, c.in, got, c.want, n)
		}
	}
}

func TestANumberBecomesText(t *testing.T) {
	rules := compile(t, redact.Rule{Name: "w", Match: `^\d{4}`, Columns: []string{"c"}})
	out, n := rules.Apply(extension.TypeString, []byte(`{"columns":{"c":12345,"d":12345}}`))
	if got := signs(out); got != `{"columns":{"c":"♠5","d":12345}}` || n != 1 {
		t.Errorf("%s, %d", got, n)
	}
	out, _ = rules.Apply(extension.TypeStringBatch, []byte(`["{\"columns\":{\"c\":12345}}"]`))
	if got := signs(out); got != `["{\"columns\":{\"c\":\"♠5\"}}"]` {
		t.Error(got)
	}
}

func TestOnlyGroupsAreReplacedWhereThereAreSome(t *testing.T) {
	rules := compile(t, redact.Rule{Name: "w", Match: `(?:key=(\w+)|pin (\d+)(;?))`, Columns: []string{"*"}})
	out, _ := rules.Apply(extension.TypeString, []byte(`{"columns":{"c":"key=abc pin 123 pin"}}`))
	if got := signs(out); got != `{"columns":{"c":"key=♠ pin ♠ pin"}}` {
		t.Error(got)
	}
}

// Whatever a rule found is gone, also where another found a part of it.
func TestSecretsThatOverlapBecomeOne(t *testing.T) {
	rules := compile(t, redact.Rule{Name: "w", Match: "bcd", Columns: []string{"c"}}, redact.Rule{Name: "v", Match: "(abc)|(defg)|xyz", Columns: []string{"c"}})
	out, n := rules.Apply(extension.TypeString, []byte(`{"columns":{"c":"-abcdefg-"}}`))
	if got := signs(out); got != `{"columns":{"c":"-♠-"}}` || n != 1 {
		t.Errorf("%s, %d", got, n)
	}
}

func TestEscapesAreReadOnlyWhereTheyMatter(t *testing.T) {
	rules := compile(t, redact.Rule{Name: "w", Match: "s3\"cré😀t", Columns: []string{"c"}})
	in := `{"columns":{"\u0063":"\ud800\/é\n s3\"cr\u00e9\ud83d\ude00t \u00e9\ud83d","d":"\/"}}`
	want := `{"columns":{"\u0063":"\ud800\/é\n ♠ \u00e9\ud83d","d":"\/"}}`
	out, _ := rules.Apply(extension.TypeString, []byte(in))
	if got := signs(out); got != want {
		t.Errorf("is   %s\nwant %s", got, want)
	}
}

func TestEqualSecretsHaveEqualMarksUnderOneKey(t *testing.T) {
	digest := func(key, payload string) string {
		rules, err := redact.Compile([]redact.Rule{word("c")}, []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		out, _ := rules.Apply(extension.TypeString, []byte(payload))
		return mark.FindStringSubmatch(string(out))[2]
	}
	one := digest("k", `{"columns":{"c":"s3cret"}}`)
	if one != digest("k", `{"columns":{"c":"x \u00733cret y"}}`) || one == digest("other", `{"columns":{"c":"s3cret"}}`) {
		t.Error("a digest does not tell one secret under one key")
	}
}

func TestTheIDNamesTheRules(t *testing.T) {
	id := func(key string, rules ...redact.Rule) uint64 {
		r, err := redact.Compile(rules, []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return r.ID()
	}
	a := id("k", word("c"))
	if a == 0 || id("k") == 0 || a != id("other", word("c")) || a == id("k", word("d")) || a == id("k") {
		t.Error("the ID is not that of the rules")
	}
}

func TestAWrongRuleIsToldInWords(t *testing.T) {
	for want, rule := range map[string]redact.Rule{
		"redact.rules[1].preset: is needed, or match":                      {Name: "a", Columns: []string{"c"}},
		"redact.rules[1].match: cannot stand beside preset":                {Name: "a", Match: "a", Preset: "aws_keys", Columns: []string{"c"}},
		"redact.rules[1].columns: is needed with match":                    {Name: "a", Match: "a"},
		"redact.rules[1].name: is needed with match":                       {Match: "a", Columns: []string{"c"}},
		"redact.rules[1].name: must be at most 64":                         {Name: "a]", Match: "a", Columns: []string{"c"}},
		"redact.rules[1].preset: unknown; there are authorization_headers": {Preset: "aws"},
		`redact.rules[1].match: "(?=" is not supported: RE2 has no look-a`: {Name: "a", Match: "a(?=b)", Columns: []string{"c"}},
		`redact.rules[1].match: "(?<!a)b" is not supported: RE2 has no lo`: {Name: "a", Match: "(?<!a)b", Columns: []string{"c"}},
		`redact.rules[1].match: a parenthesis has no partner in "(a"`:      {Name: "a", Match: "(a", Columns: []string{"c"}},
		`redact.rules[1].match: a bracket is not closed from "[a" on`:      {Name: "a", Match: "[a", Columns: []string{"c"}},
		`redact.rules[1].match: "*" repeats nothing`:                       {Name: "a", Match: "*a", Columns: []string{"c"}},
		`redact.rules[1].match: invalid escape sequence: "\\y"`:            {Name: "a", Match: `\y`, Columns: []string{"c"}},
		"redact.rules[1].columns[0]: must not be empty":                    {Preset: "aws_keys", Columns: []string{""}},
		"redact.rules[1].queries[1]: must not be empty":                    {Preset: "aws_keys", Queries: []string{"a", ""}},
	} {
		if _, err := redact.Compile([]redact.Rule{word("c"), rule}, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v is %v, want %s", rule, err, want)
		}
	}
}

// Whatever stands in the columns: the rest stays byte for byte, the result is JSON
// and says the same but for the secrets.
func TestEverythingElseStaysAsItWas(t *testing.T) {
	rules := compile(t, word("c"), redact.Rule{Name: "v", Match: "[0-9]+é?", Columns: []string{"n*"}})
	piece := rapid.SampledFrom([]string{"s3cret", "12", "é", `\n`, `\"`, `\u0073`, `3cret`, `\ud83d`, `\ude00`, `\\`, "\xff", "\x01", " ", "{", "]", ","})
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string { return strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, label), "") }
		var members []string
		for _, name := range []string{"c", "d", "n1", `\u0063`} {
			members = append(members, `"`+name+`":"`+text(name)+`"`)
		}
		in := []byte(`{"snapshot":[{` + strings.Join(members, ",") + `}],"name":"` + text("name") + `"}`)
		before := slices.Clone(in)
		out, n := rules.Apply(extension.TypeSnapshot, in)
		if !bytes.Equal(in, before) {
			t.Fatal("the payload changed")
		}
		if n == 0 && &out[0] != &in[0] {
			t.Fatal("a payload without secrets was copied")
		}
		if json.Valid(in) && !json.Valid(out) {
			t.Fatalf("%s\nis no JSON any more: %s", in, out)
		}
		if kept := mark.Split(string(out), -1); !isSubsequence(kept, string(in)) {
			t.Fatalf("%q\nbecame %q", in, out)
		}
		if again, more := rules.Apply(extension.TypeSnapshot, in); more != n || !bytes.Equal(again, out) {
			t.Fatal("the second time is different")
		}
	})
}

// isSubsequence tells whether the pieces stand in text one after the other, the
// first at its beginning and the last at its end.
func isSubsequence(pieces []string, text string) bool {
	if !strings.HasPrefix(text, pieces[0]) || !strings.HasSuffix(text, pieces[len(pieces)-1]) {
		return false
	}
	for _, p := range pieces {
		at := strings.Index(text, p)
		if at < 0 {
			return false
		}
		text = text[at+len(p):]
	}
	return true
}

// What osqueryd really wrote passes the presets unchanged: it holds no secret.
func TestLinesThatOsquerydWroteStay(t *testing.T) {
	rules := compile(t, presets()...)
	files, err := filepath.Glob(filepath.Join(testdata.Dir(t), "osquery", "captured", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatal("no captured lines", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
			var call struct{ Type, Log string }
			if err := json.Unmarshal(line, &call); err != nil {
				t.Fatal(err)
			}
			if out, n := rules.Apply(extension.TypeString, []byte(call.Log)); n != 0 {
				t.Errorf("%s: %s", file, out)
			}
		}
	}
}

// A hostile payload costs no more than its length, and no stack.
func TestDeepNestingIsNoTrouble(t *testing.T) {
	rules := compile(t, append(presets(), word("*"))...)
	deep := strings.Repeat("[", 1<<20) + `"s3cret`
	for _, payload := range []string{deep, `{"columns":` + deep, `{"snapshot":` + deep, `{"columns":{"c":` + deep} {
		for _, typ := range []byte("SBNLEU") {
			if out, n := rules.Apply(typ, []byte(payload)); n != 1 || bytes.Contains(out, []byte("s3cret")) {
				t.Errorf("%c: %d secrets", typ, n)
			}
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, s := range []string{
		row("cmdline", `mysql -p"a b" https://u:p@h AWS_SECRET_ACCESS_KEY=`+awsSecret), row("json_cmdline", `["sh","-c","mysql -psecret"]`),
		`["{\"columns\":{\"cmdline\":\"curl -u a:b\"}}"]`, `[{"m":"Authorization: Bearer x"}]`, `{"snapshot":[{"cmdline":"\ud83d\ude00 --password \"x y\""}]}`,
		`{"columns":{"cmdline":12}}`, `mysql -p'`, `["sshpass","-p",""]`, `{"diffResults":{"added":[{"cmdline":"-p="}]}}`, "\"\\", `://:@`, `authorization:`,
	} {
		f.Add(byte(0), []byte(s))
		f.Add(byte(1), []byte(s))
	}
	rules := compile(f, append(presets(), redact.Rule{Name: "any", Match: `[0-9]+|(x)y*`, Columns: []string{"*"}})...)
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		typ := "SBNLEU"[int(kind)%6]
		before := bytes.Clone(payload)
		out, n := rules.Apply(typ, payload)
		if !bytes.Equal(before, payload) || n == 0 != bytes.Equal(out, payload) {
			t.Fatalf("%d secrets in %q: %q", n, before, out)
		}
		if json.Valid(payload) && !json.Valid(out) {
			t.Fatalf("%q is no JSON any more: %q", payload, out)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	rules := compile(b, presets()...)
	miss := row("cmdline", `/usr/bin/python3 /opt/app/worker.py --queue default --concurrency 4 --log-level info`)
	var rows []string
	for i := range 1000 {
		rows = append(rows, fmt.Sprintf(`{"pid":"%d","path":"/usr/bin/python3","cmdline":"python3 worker.py --queue q%d","cwd":"/","uid":"0"}`, i, i))
	}
	batch := `{"diffResults":{"removed":[],"added":[` + strings.Join(rows, ",") + `]},"name":"processes"}`
	for name, payload := range map[string]string{"row, miss": miss, "1000 rows, miss": batch, "row, hit": row("cmdline", "mysql -psecret db")} {
		b.Run(name, func(b *testing.B) {
			text := []byte(payload)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				rules.Apply(extension.TypeString, text)
			}
		})
	}
}
