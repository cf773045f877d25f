//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// step is one system call, or half of one that others came in between of.
type step struct {
	name string
	file string // what -y says of the descriptor
	text string // the line
	// begins and completes are false for the other half.
	begins, completes bool
}

var (
	whole   = regexp.MustCompile(`^(\d+) +(\w+)\((?:\d+<([^>]*)>)?.*\) += (-?\d+)`)
	begun   = regexp.MustCompile(`^(\d+) +(\w+)\((?:\d+<([^>]*)>)?.*<unfinished \.\.\.>$`)
	resumed = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>.* = (-?\d+)`)
)

// steps parses strace's output. A call that failed completes nothing.
func steps(t *testing.T, path string) []step {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []step
	open := map[string]step{} // by thread
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		if m := begun.FindStringSubmatch(text); m != nil {
			one := step{name: m[2], file: m[3], text: text, begins: true}
			open[m[1]] = one
			list = append(list, one)
		} else if m := resumed.FindStringSubmatch(text); m != nil {
			one := open[m[1]]
			one.begins, one.completes = false, !strings.HasPrefix(m[3], "-")
			list = append(list, one)
		} else if m := whole.FindStringSubmatch(text); m != nil {
			list = append(list, step{name: m[2], file: m[3], text: text, begins: true, completes: !strings.HasPrefix(m[4], "-")})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func (s step) isSync() bool { return s.name == "fdatasync" || s.name == "fsync" }

// isAnswer tells whether this begins to write thrift's answer to a call on a
// socket. What is not in a spool's file and has the method's name is one.
func (s step) isAnswer() bool {
	return s.begins && !s.isSync() && !strings.Contains(s.file, "/spool/") && strings.Contains(s.text, `\0\4call`)
}

// DESIGN.md's first promise, as the kernel sees it. A kill -9 proves nothing about
// syncs, for the page cache survives it.
func TestASyncComesBeforeEachAnswer(t *testing.T) {
	tracer, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace on the PATH")
	}
	if said, err := exec.Command(tracer, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("this machine lets nobody trace: %s", said)
	}
	const calls = 20
	s := newSite(t, yaml("127.0.0.1:1")) // no broker: only the spool and osqueryd are written to
	trace, program := filepath.Join(s.dir, "trace"), filepath.Join(s.dir, "traced.sh")
	script := fmt.Sprintf("#!/bin/sh\nexec %s -f -y -s 400 -o %s -e trace=fdatasync,fsync,write,writev,pwrite64,pwritev,sendto,sendmsg %s \"$@\"\n", tracer, trace, os.Args[0])
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	d := s.osqueryd(func(c *osqueryd.Config) { c.Extension.Path = program })
	for i := range calls {
		log(t, d, fmt.Sprintf(`{"name":"q","token":"token-%02d."}`, i))
	}
	s.shutdown(d)
	list := steps(t, trace)
	at := 0
	for i := range calls {
		at = checkOrder(t, list, at, fmt.Sprintf("token-%02d.", i))
	}
	for _, late := range list[at:] {
		if late.isAnswer() {
			t.Errorf("an answer too many: %s", late.text)
		}
	}
}

// checkOrder finds one call's frame after position from, then the sync of its file,
// then the answer, and returns the position after it.
func checkOrder(t *testing.T, list []step, from int, token string) int {
	t.Helper()
	file, syncing, synced := "", false, false
	for i, one := range list[from:] {
		switch {
		case strings.Contains(one.text, token) && strings.Contains(one.file, "/spool/") && one.completes:
			file, syncing, synced = one.file, false, false
		case file != "" && one.isSync() && one.file == file:
			// A sync that had begun before the write proves nothing.
			syncing = syncing || one.begins
			synced = synced || syncing && one.completes
		case one.isAnswer() && file != "":
			if !synced {
				t.Fatalf("%s was answered before a sync of %s: %s", token, file, one.text)
			}
			return from + i + 1
		case one.isAnswer() && from > 0:
			t.Fatalf("%s was answered before its frame was written: %s", token, one.text)
		}
	}
	t.Fatalf("%s: frame in %q, synced %v, and no answer, in a trace of %d calls", token, file, synced, len(list))
	return 0
}
