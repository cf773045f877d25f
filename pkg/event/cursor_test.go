package event_test

import (
	"errors"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/event"
)

func TestACursorFindsMembersInPlace(t *testing.T) {
	text := []byte(" {\"a\":[1,\"x\x01\xff\"],\"b\\u0063\":{\"d\":null}} ")
	c := event.NewCursor(text)
	var found []string
	err := c.Object(func(name []byte) error {
		if string(name) != "a" {
			v, err := c.Value()
			found = append(found, string(name)+"="+v.Text())
			return err
		}
		return c.Array(func() error {
			c.Peek()
			start := c.Offset()
			_, err := c.Value()
			found = append(found, string(text[start:c.Offset()]))
			return err
		})
	})
	if err != nil || c.End() != nil || len(found) != 3 || found[0] != "1" || found[1] != "\"x\x01\xff\"" || found[2] != `bc={"d":null}` {
		t.Errorf("found %q: %v", found, err)
	}
}

func TestACursorTellsWhatIsNoJSON(t *testing.T) {
	for _, text := range []string{``, `{`, `{"a"`, `{"a":1,}`, `{"a":tru}`, `{} x`} {
		c := event.NewCursor([]byte(text))
		err := c.Object(func([]byte) error {
			_, err := c.Value()
			return err
		})
		if err == nil {
			err = c.End()
		}
		var syntax *event.SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Names at every depth are shown, in objects that are stepped over at a glance too.
func TestACursorShowsTheNamesThatItStepsOver(t *testing.T) {
	c := event.NewCursor([]byte(`[{"a":1,"b":"x"},{"c":{"d":[{"e\u0041":null}],"f":{"g":"h"}}}]`))
	names := map[string]bool{}
	c.Watch(func(name []byte) { names[string(name)] = true })
	if _, err := c.Value(); err != nil || len(names) != 7 || !names["a"] || !names["b"] || !names["d"] || !names[`e\u0041`] || !names["g"] || !c.Escapes() {
		t.Errorf("names %v, escapes %v: %v", names, c.Escapes(), err)
	}
	c = event.NewCursor([]byte(`{"a":"b"}`))
	if _, err := c.Value(); err != nil || c.Escapes() {
		t.Errorf("escapes where none are: %v", err)
	}
}
