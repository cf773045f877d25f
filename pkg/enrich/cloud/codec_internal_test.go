package cloud

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// filled sets every member of v, so that one which is forgotten shows.
func filled(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() { //nolint:exhaustive // the kinds that are kept
	case reflect.String:
		v.SetString("text <\"é\u2028> " + itoa(*n))
	case reflect.Int64, reflect.Int32:
		v.SetInt(*n)
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		filled(v.Index(0), n)
		filled(v.Index(1), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1763892000+*n, 123456789).UTC()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				filled(v.Field(i), n)
			}
		}
	default:
		panic(v.Kind().String() + " is not filled")
	}
}

// What encoding/json wrote before is read, what is written now is read by it, and no
// member is lost either way.
func TestCallsAndKeysAreTheJSONOfTheirTags(t *testing.T) {
	for _, make := range []func() member{func() member { return &call{} }, func() member { return &credential{} }} {
		want, n := make(), int64(0)
		filled(reflect.ValueOf(want).Elem(), &n)
		plain, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		fromPlain, fromOwn, back := make(), make(), make()
		if err := decodeMember(plain, fromPlain); err != nil || !reflect.DeepEqual(fromPlain, want) {
			t.Errorf("of %s\n%+v is read: %v", plain, fromPlain, err)
		}
		own := encodeMember(want)
		if err := json.Unmarshal(own, fromOwn); err != nil || !reflect.DeepEqual(fromOwn, want) {
			t.Errorf("encoding/json reads of %s\n%+v: %v", own, fromOwn, err)
		}
		if err := decodeMember(own, back); err != nil || !reflect.DeepEqual(back, want) {
			t.Errorf("of %s\n%+v is read: %v", own, back, err)
		}
		empty := make()
		if err := decodeMember(encodeMember(empty), back); err != nil {
			t.Errorf("an empty one: %v", err)
		}
	}
}

// What leaves out what is empty is read as what states it.
func TestAPositionMayBeLeftOut(t *testing.T) {
	c := &call{ID: "1", Records: []recordAt{{ID: "1", Position: enrich.Position{Topic: "t"}}, {ID: "2"}}}
	back := &call{}
	if err := decodeMember(encodeMember(c), back); err != nil || !reflect.DeepEqual(c, back) {
		t.Errorf("%+v: %v", back, err)
	}
}
