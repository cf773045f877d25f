package compact_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stackjoin/stackjoin/internal/compact"
)

func TestWhatIsWrittenIsReadAndACutIsTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, s, v := rapid.Uint64().Draw(t, "number"), rapid.String().Draw(t, "text"), rapid.Bool().Draw(t, "truth")
		at := time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
		if rapid.Bool().Draw(t, "zero time") || at.Equal(time.Unix(0, 0)) {
			at = time.Time{}
		}
		b := compact.Time(compact.Truth(compact.Text(compact.Number(compact.Number(nil, 3), n), s), v), at)
		read := func(b []byte) (*compact.Reader, bool) {
			r := compact.NewReader(b)
			r.Format(3)
			same := r.Number() == n && r.Text() == s && r.Truth() == v && r.Time().Equal(at)
			return r, same
		}
		if r, same := read(b); !same || r.Err() != nil || r.Rest() != 0 {
			t.Fatalf("same %v, error %v, %d bytes left", same, r.Err(), r.Rest())
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if r, _ := read(b[:cut]); cut > 0 && !errors.Is(r.Err(), compact.ErrShort) || r.Err() == nil {
			t.Fatalf("cut to %d of %d bytes: %v", cut, len(b), r.Err())
		}
	})
}

func TestAnotherFormatIsRefused(t *testing.T) {
	r := compact.NewReader([]byte{9, 1})
	if r.Format(3); r.Err() == nil || r.Number() != 0 {
		t.Errorf("error %v", r.Err())
	}
}

func FuzzReader(f *testing.F) {
	f.Add(compact.Time(compact.Text(compact.Number(nil, 7), "text"), time.Unix(1, 2)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := compact.NewReader(b)
		for r.Rest() > 0 && r.Err() == nil {
			before := r.Rest()
			_, _, _, _ = r.Number(), r.Text(), r.Truth(), r.Time()
			if r.Rest() >= before {
				t.Fatal("nothing was read")
			}
		}
		if r.Length() != 0 || r.Text() != "" {
			t.Fatal("more was read than there is")
		}
	})
}
