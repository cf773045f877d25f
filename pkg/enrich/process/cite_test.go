package process_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/process"
	"github.com/stackjoin/stackjoin/pkg/enrich/state"
)

func userEvent(at, pid int) string {
	return fmt.Sprintf(`{"name":"user_events","hostIdentifier":"h","unixTime":%d,"columns":{"pid":"%d","uid":"0","auid":"1000","type":"1112",`+
		`"path":"/usr/sbin/sshd","address":"198.51.100.7","terminal":"pts/0","message":"op=login","time":"%d"},"action":"added"}`, at+30, pid, at)
}

// cited is the evidence of the last row, each as part@line; part names what is cited
// where that is in the record.
func cited(e *enriched) string {
	name := map[string]string{e.Enrichment.Process.EntityID: e.Enrichment.Process.Executable, e.Enrichment.Session.ID: "login"}
	for _, a := range e.Enrichment.Process.Ancestors {
		name[a.EntityID] = a.Executable
	}
	var all []string
	for _, p := range e.Enrichment.Evidence[1:] {
		all = append(all, fmt.Sprintf("%s %s@%d", p.For, name[p.ID], p.Line))
	}
	return strings.Join(all, ", ")
}

func TestTheRowsThatMadeAnAnswerAreCited(t *testing.T) {
	tree := []string{
		exec("h", t0, 10, 1, "/usr/sbin/sshd", "execve"), userEvent(t0+1, 10), exec("h", t0+2, 11, 10, "/bin/bash", "execve"), // 1 to 3
		exec("h", t0+3, 12, 11, "/usr/bin/curl", "execve"), // 4
	}
	listedAt := func(at int) string { return listed("h", "added", at, 20, 0, t0-900, "/usr/sbin/daemon") }
	long := []string{exec("h", t0, 100, 0, "/bin/0", "execve")}
	for i := 1; i < 20; i++ {
		long = append(long, exec("h", t0+i, 100+i, 99+i, fmt.Sprint("/bin/", i), "execve"))
	}
	for name, c := range map[string]struct {
		rows []string
		want string
	}{
		"a call of a process": {append(tree[:4:4], connect("h", t0+4, 12, "/usr/bin/curl")), "process /usr/bin/curl@4, ancestor /bin/bash@3, ancestor /usr/sbin/sshd@1, session login@2"},
		"a process's own row": {tree, "ancestor /bin/bash@3, ancestor /usr/sbin/sshd@1, session login@2"},
		"no process":          {[]string{connect("h", t0, 5, "")}, ""},
		"listed twice, and before that": {
			[]string{listedAt(t0 + 60), listedAt(t0 + 120), listedAt(t0 + 30), connect("h", t0+130, 20, "")}, "process /usr/sbin/daemon@3",
		},
		"the exec row stands for a listed one": {
			[]string{listed("h", "added", t0+60, 20, 0, t0, "/bin/a"), exec("h", t0, 20, 0, "/bin/a", "execve"), connect("h", t0+70, 20, "")}, "process /bin/a@2",
		},
		"eight ancestors at most": {
			append(long, connect("h", t0+60, 119, "")),
			"process /bin/19@20, ancestor /bin/18@19, ancestor /bin/17@18, ancestor /bin/16@17, ancestor /bin/15@16, ancestor /bin/14@15, ancestor /bin/13@14, ancestor /bin/12@13, ancestor /bin/11@12",
		},
	} {
		t.Run(name, func(t *testing.T) {
			kept := state.NewMemory()
			all := run(t, process.New(process.Config{}, kept), c.rows...)
			last := &all[len(all)-1]
			if got := cited(last); got != c.want {
				t.Errorf("cited\n%s\nwant\n%s", got, c.want)
			}
			again := newEvent(t, c.rows[len(c.rows)-1])
			if err := process.New(process.Config{}, kept).Answer(again); err != nil || len(again.Evidence) < strings.Count(c.want, "@") {
				t.Errorf("after a restart %+v is cited, error %v", again.Evidence, err)
			}
		})
	}
}

// While a fleet is upgraded, state goes to and from a version that knows no places:
// answers stay, and only what has a place is cited.
func TestStateOfTheFormatBeforeAnswersWithoutPlaces(t *testing.T) {
	kept := state.NewMemory()
	run(t, process.New(process.Config{Format: 1}, kept), exec("h", t0, 10, 0, "/bin/old", "execve"))
	for _, format := range []int{1, 2} {
		op := process.New(process.Config{Format: format}, kept)
		all := run(t, op, exec("h", t0+1, 11, 10, "/bin/new", "execve"), connect("h", t0+2, 11, ""))
		if got, want := cited(&all[1]), []string{"", "process /bin/new@1"}[format-1]; got != want || all[1].ancestors() != "10" {
			t.Errorf("format %d: cited %q, want %q; ancestors %s", format, got, want, all[1].ancestors())
		}
	}
}

func TestEvidenceIsReadAtItsPositionAndTellsHowLateItWas(t *testing.T) {
	op := process.New(process.Config{}, state.NewMemory())
	e := newEvent(t, exec("h", t0, 10, 0, "/bin/a", "execve"))
	e.Position = enrich.Position{Topic: "rows", Partition: 3, Offset: 41}
	e.Appended = e.Time.Add(90 * 1e9)
	if err := op.OnEvent(e, nil); err != nil {
		t.Fatal(err)
	}
	call := newEvent(t, connect("h", t0+5, 10, ""))
	if err := op.OnEvent(call, nil); err != nil {
		t.Fatal(err)
	}
	want := enrich.Evidence{For: "process", ID: call.Process.EntityID, Position: e.Position, Lateness: 90 * 1e9}
	if len(call.Evidence) != 1 || call.Evidence[0] != want {
		t.Errorf("evidence %+v, want %+v", call.Evidence, want)
	}
}
