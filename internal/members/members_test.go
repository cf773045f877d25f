package members_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/internal/members"
)

// thing has a member of each sort.
type thing struct {
	Text   string    `json:"text,omitempty"`
	Texts  []string  `json:"texts,omitempty"`
	Number int64     `json:"number,omitempty"`
	Small  int32     `json:"small,omitempty"`
	Amount float64   `json:"amount,omitempty"`
	Mark   bool      `json:"mark,omitempty"`
	Moment time.Time `json:"moment,omitzero"`
	Inner  []inner   `json:"inner,omitempty"`
}

type inner struct {
	Text string `json:"text,omitempty"`
}

func (x *thing) append(dst []byte) []byte {
	w := members.Writer{B: dst}
	w.Open('{')
	w.Text("text", x.Text)
	w.Texts("texts", x.Texts...)
	w.Count("number", x.Number)
	w.Count("small", int64(x.Small))
	w.Amount("amount", x.Amount)
	w.Mark("mark", x.Mark)
	w.Moment("moment", x.Moment)
	w.List("inner", len(x.Inner), func(i int) { w.Text("text", x.Inner[i].Text) })
	w.Close('}')
	return w.B
}

func (x *thing) read(r *members.Reader, name []byte) error {
	switch string(name) {
	case "text":
		return r.Text(&x.Text)
	case "texts":
		x.Texts = nil
		return r.Texts(&x.Texts)
	case "number":
		return r.Number(&x.Number)
	case "small":
		return r.Small(&x.Small)
	case "amount":
		return r.Amount(&x.Amount)
	case "mark":
		return r.Truth(&x.Mark)
	case "moment":
		return r.Moment(&x.Moment)
	case "inner":
		x.Inner = nil
		return r.List(func() error {
			var one inner
			err := r.Object(func(name []byte) error {
				if string(name) == "text" {
					return r.Text(&one.Text)
				}
				return r.Skip()
			})
			x.Inner = append(x.Inner, one)
			return err
		})
	}
	return r.Skip()
}

func full() *thing {
	return &thing{
		Text: "a \"quoted\" <é\u2028> \x01 text", Texts: []string{"a", "b"}, Number: 1 << 60, Small: 7, Amount: 1.25, Mark: true,
		Moment: time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC), Inner: []inner{{"x"}, {"y"}},
	}
}

func TestWhatIsWrittenIsReadByEither(t *testing.T) {
	want := full()
	written := want.append(nil)
	var own, plain thing
	if err := members.Read(written, own.read); err != nil || !reflect.DeepEqual(&own, want) {
		t.Errorf("%s is read as %+v: %v", written, own, err)
	}
	if err := json.Unmarshal(written, &plain); err != nil || !reflect.DeepEqual(&plain, want) {
		t.Errorf("encoding/json reads %s as %+v: %v", written, plain, err)
	}
	if text := (&thing{}).append([]byte("before ")); string(text) != "before {}" {
		t.Errorf("nothing is %s", text)
	}
}

// What does not fit what is read is refused, as encoding/json refuses it.
func TestWhatDoesNotFitIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "null", "[]", `{"text":1}`, `{"texts":["a",2]}`, `{"texts":"a"}`, `{"number":"1"}`, `{"number":1.5}`, `{"number":9223372036854775808}`,
		`{"small":2147483648}`, `{"amount":"1"}`, `{"amount":1e999}`, `{"mark":0}`, `{"mark":"true"}`, `{"moment":"yesterday"}`, `{"moment":1}`,
		`{"inner":[1]}`, `{"inner":{}}`, `{"text":"a"`, `{"text":"a"} x`, "{\"text\":\"a\nb\"}", "{\"other\":\"a\nb\"}", `{"text":}`,
	} {
		var x, plain thing
		err := members.Read([]byte(text), x.read)
		if text == "null" { // for encoding/json that is an object left as it is
			err = json.Unmarshal([]byte(`{"text":1}`), &plain)
		}
		if err == nil || text != "null" && json.Unmarshal([]byte(text), &plain) == nil {
			t.Errorf("%s is taken: %+v", text, x)
		}
	}
}

func TestNullLeavesWhatIsThere(t *testing.T) {
	x := full()
	text := `{"text":null,"number":null,"small":null,"amount":null,"mark":null,"moment":null}`
	if err := members.Read([]byte(text), x.read); err != nil || !reflect.DeepEqual(x, full()) {
		t.Errorf("%+v: %v", x, err)
	}
}

func TestTextsAreClippedAtACharactersEdge(t *testing.T) {
	w := members.Writer{Limit: 4}
	w.Open('{')
	w.Text("short", "abcd")
	if w.Cut {
		t.Error("what fits was cut")
	}
	w.Text("long", "abcéf")
	w.Texts("all", "abcde", "", "abcde", "x")
	w.Texts("none", "", "")
	w.Object("nothing", func() { w.Text("empty", "") })
	w.Object("something", func() { w.Raw("raw", []byte(`[1]`)) })
	w.Members([]byte(`"more":1,"yet":2`))
	w.Close('}')
	want := `{"short":"abcd","long":"abc","all":["abcd","x"],"something":{"raw":[1]},"more":1,"yet":2}`
	if string(w.B) != want || !w.Cut || !json.Valid(w.B) {
		t.Errorf("%s, cut %v, want %s", w.B, w.Cut, want)
	}
}

func TestValidIsJSON(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: true, ` [1,"a"] `: true, `1`: true, `null`: true, ``: false, `{}{}`: false, `{"a":1,}`: false, "\"a\nb\"": false, `"\x"`: false,
	} {
		if got := members.Valid([]byte(text)); got != want || got != json.Valid([]byte(text)) {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Whatever is taken, encoding/json takes alike.
func FuzzRead(f *testing.F) {
	f.Add(full().append(nil))
	f.Add([]byte(`{"text":null,"inner":[{"text":"a","x":[{}]}],"small":-1,"amount":-1.5e3,"moment":"2026-11-23T10:00:00+02:00"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var x, plain thing
		err := members.Read(text, x.read)
		if members.Valid(text) && !json.Valid(text) {
			t.Fatalf("%q is no JSON", text)
		}
		if err != nil {
			return
		}
		// Names are compared exactly here and folded there, and what is no UTF-8 is mended
		// here in the writer.
		if json.Unmarshal(text, &plain) != nil && bytes.IndexByte(text, '\\') < 0 && !folds(string(text)) {
			t.Fatalf("%q is read as %+v", text, x)
		}
		again := x.append(nil)
		if !json.Valid(again) {
			t.Fatalf("%q became %s", text, again)
		}
	})
}

// folds tells text in which a name may be another for who folds them.
func folds(text string) bool {
	return strings.ToLower(text) != text || strings.ContainsAny(text, "\u017f\u212a")
}
