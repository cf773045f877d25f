package main

import (
	"bytes"
	"os"
	"testing"
)

func TestThePageIsWhatTheCodeSays(t *testing.T) {
	var want bytes.Buffer
	if err := write(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the code says: run make docs", page)
	}
}
