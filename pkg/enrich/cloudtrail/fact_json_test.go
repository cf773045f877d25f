package cloudtrail_test

import (
	"encoding/json"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// fill sets every member of v, so that one which is forgotten shows.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() { //nolint:exhaustive // the kinds that facts have
	case reflect.String:
		v.SetString("text <\"é\u2028> " + strconv.FormatInt(*n, 10))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1763892000+*n, 0).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic(v.Kind().String() + " is not filled")
	}
}

// A fact is written as the JSON of its tags: whole, and with nothing but what is there.
func TestAFactIsTheJSONOfItsTags(t *testing.T) {
	var whole cloudtrail.Fact
	n, no := int64(0), false
	fill(reflect.ValueOf(&whole).Elem(), &n)
	for _, f := range []*cloudtrail.Fact{
		&whole, {Kind: cloudtrail.FactInstanceEnd, Subject: "i-1"}, {Kind: cloudtrail.FactProfile, Subject: "i-1", Profile: &cloudtrail.Profile{}},
		{Kind: cloudtrail.FactLogin, Subject: "AIDA", Login: &cloudtrail.Login{MFA: &no}},
	} {
		var own, plain cloudtrail.Fact
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		written := f.Append([]byte(" "))
		if err := json.Unmarshal(written, &own); err != nil || !reflect.DeepEqual(&own, f) {
			t.Errorf("%s is read as %+v: %v", written, own, err)
		}
		if err := json.Unmarshal(text, &plain); err != nil || !reflect.DeepEqual(plain, own) {
			t.Errorf("%s says something else than %s: %v", written, text, err)
		}
	}
}
