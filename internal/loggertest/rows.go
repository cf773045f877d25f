package loggertest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// Rows makes result lines like those of a Linux host: processes and sockets, about
// 860 bytes a row in event form. The same seed makes the same lines.
type Rows struct {
	rng *rand.Rand
	n   int
}

// NewRows returns the rows of one host.
func NewRows(seed uint64) *Rows { return &Rows{rng: rand.New(rand.NewPCG(seed, 1))} } //nolint:gosec // test data

// Line is what the lines of one run have in common.
func (r *Rows) Line() osqueryd.Line {
	return osqueryd.Line{
		Name: "pack_linux_process_events", HostIdentifier: "ip-10-0-3-17.eu-central-1.compute.internal", Time: time.Unix(1_795_428_680, 0),
		Counter: 57, Decorations: map[string]string{
			"host_uuid": "48754d56-277e-7cb6-dd7b-f58673f0c7fd", "username": "develop", "hostname": "ip-10-0-3-17",
			"account": "123456789012", "instance_id": "i-0b22a22eec53b9321",
		},
	}
}

// Row draws the next row, numbered in column "eid".
func (r *Rows) Row() osqueryd.Row {
	r.n++
	pid := 1000 + r.rng.IntN(60_000)
	return osqueryd.Row{
		"auid": 1000, "cmdline": fmt.Sprintf("/usr/bin/python3 /opt/app/worker.py --queue q%d --token %016x --shard %d", r.rng.IntN(50), r.rng.Uint64(), r.rng.IntN(512)),
		"ctime": 1_795_000_000 + r.rng.IntN(400_000), "cwd": fmt.Sprintf("/srv/app/releases/%08x", r.rng.Uint32()), "egid": 1000, "eid": fmt.Sprintf("%010d", r.n), "euid": 1000,
		"gid": 1000, "mode": "0100755", "owner_gid": 0, "owner_uid": 0, "parent": pid - r.rng.IntN(900), "path": "/usr/bin/python3.11", "pid": pid,
		"status": "", "syscall": "execve", "time": 1_795_428_000 + r.rng.IntN(600), "uid": 1000, "uptime": 86_400 + r.rng.IntN(600),
	}
}

// Call is a call of n rows in batch form.
func (r *Rows) Call(n int) string {
	rows := make([]osqueryd.Row, n)
	for i := range rows {
		rows[i] = r.Row()
	}
	return r.Line().Batch(nil, rows)
}
