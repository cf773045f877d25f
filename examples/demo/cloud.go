package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// told is what the demo reads of what rows, links and findings say of the cloud.
type told struct {
	Schema     string
	Enrichment *told
	Timestamp  time.Time `json:"@timestamp"`
	Message    string
	Event      struct{ Action string }
	Process    process
	Rule       struct{ ID string }
	Finding    struct{ Status, Severity string }
	Link       struct {
		Status     string
		Candidates []struct{ Reasons []string }
	}
	AWS struct {
		Instance struct {
			ID     string
			Launch struct {
				Time         time.Time
				By           struct{ Name string }
				Source       string
				Image        string
				ConsoleLogin struct {
					Time time.Time
					MFA  bool
				} `json:"console_login"`
			}
		}
		Login []struct {
			How, Status, ID, Source string
			Principal               struct{ Name string }
		}
		Objects []struct{ Path, Bucket, Key string }
		Labels  []struct {
			Kind, ID string
			Labels   []string
		}
		Data struct {
			Bucket   string
			Count    int
			BytesOut float64 `json:"bytes_out"`
		}
	}
}

// showCloud joins the attacked host's rows with CloudTrail's file of those minutes,
// and tells what came of it.
func showCloud(ctx context.Context, out io.Writer, dir string, attacked *host) error {
	file, err := deliver(dir, attacked.began)
	if err != nil {
		return err
	}
	rows := filepath.Join(dir, "osqueryd.results.log")
	if err := os.WriteFile(rows, []byte(strings.Join(attacked.lines, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("rows: %w", err)
	}
	enriched, links, findings := filepath.Join(dir, "web-01.ndjson"), filepath.Join(dir, "cloudtrail.ndjson"), filepath.Join(dir, "findings.ndjson")
	//nolint:gosec // the demo's own files
	cmd := exec.CommandContext(ctx, "bin/enricher", "scan", "--config", "examples/enricher.yaml", "--out", enriched,
		"--cloudtrail", filepath.Join(dir, "AWSLogs"), "--cloudtrail-out", links, "--findings", findings, rows)
	cmd.Env = append(os.Environ(), "FEEDS_DIR=examples/feeds", "STATE_DIR=")
	if words, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("enricher scan: %w\n%s", err, words)
	}
	fmt.Fprintf(out, "CloudTrail delivers its file of those minutes later (%s). The same rows, joined with it:\n\n", filepath.Base(file))
	var s cloudStory
	for _, path := range []string{enriched, links, findings} {
		if err := each(path, func(t *told) { s.take(t) }); err != nil {
			return err
		}
	}
	s.print(out)
	return s.check()
}

// each reads a file of records.
func each(path string, take func(*told)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("what came out: %w", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var t told
		if err := json.Unmarshal([]byte(line), &t); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if t.Enrichment != nil {
			t.Enrichment.Schema = "row"
			t = *t.Enrichment
		}
		take(&t)
	}
	return nil
}

// cloudStory is what a person wants to know of it.
type cloudStory struct{ shell, read, sent, link, stolen *told }

func (s *cloudStory) take(t *told) {
	switch {
	case t.Rule.ID == "credential_outside_host":
		s.stolen = t
	case t.Link.Status == "attributed" && t.AWS.Data.Count > 0:
		s.link = t
	case t.Schema == "row" && len(t.AWS.Objects) > 0:
		s.read = t
	case t.Schema == "row" && len(t.AWS.Login) > 0 && strings.HasPrefix(t.Process.CommandLine, "curl -sT"):
		s.sent = t
	case t.Schema == "row" && len(t.AWS.Login) > 0 && s.shell == nil:
		s.shell = t
	}
}

func (s *cloudStory) check() error {
	for what, t := range map[string]*told{"shell": s.shell, "file of the bucket": s.read, "upload": s.sent, "call": s.link, "stolen key": s.stolen} {
		if t == nil {
			return errors.New("the joins with CloudTrail did not tell of the " + what)
		}
	}
	if s.shell.AWS.Login[0].Principal.Name != "mallory" || s.link.AWS.Data.Count != 3 {
		return errors.New("the joins with CloudTrail told of somebody or something else")
	}
	return nil
}

func (s *cloudStory) print(out io.Writer) {
	if s.check() != nil {
		return
	}
	line := func(at time.Time, format string, args ...any) {
		fmt.Fprintf(out, "  %s  %s\n", at.Format(time.TimeOnly), defang(fmt.Sprintf(format, args...)))
	}
	launch := &s.shell.AWS.Instance.Launch
	mfa := "without MFA"
	if launch.ConsoleLogin.MFA {
		mfa = "with MFA"
	}
	login := &s.shell.AWS.Login[0]
	line(launch.ConsoleLogin.Time, "%s logs in at the console from %s, %s", launch.By.Name, launch.Source, mfa)
	line(launch.Time, "%s launches %s from image %s%s", launch.By.Name, s.shell.AWS.Instance.ID, launch.Image, s.shell.labels("image"))
	line(s.shell.Timestamp, "%s opens a shell (%s %s, %s): pid %d %q", login.Principal.Name, login.How, login.ID, login.Status, s.shell.Process.PID, s.shell.Process.Executable)
	object := s.read.AWS.Objects[0]
	line(s.read.Timestamp, "%q reads %s: s3://%s/%s%s", s.read.Process.CommandLine, object.Path, object.Bucket, object.Key, s.read.labels("bucket"))
	line(s.link.Timestamp, "%d times %s on %s, %.0f MB, by pid %d %q (%s)", s.link.AWS.Data.Count, s.link.Event.Action, s.link.AWS.Data.Bucket,
		s.link.AWS.Data.BytesOut/1e6, s.link.Process.PID, s.link.Process.CommandLine, strings.Join(s.link.Link.Candidates[0].Reasons, ", "))
	line(s.sent.Timestamp, "%q sends it away, in the session of %s", s.sent.Process.CommandLine, s.sent.AWS.Login[0].Principal.Name)
	line(s.stolen.Timestamp, "finding %s, %s: %s", s.stolen.Rule.ID, s.stolen.Finding.Severity, s.stolen.Message)
	fmt.Fprintln(out)
}

// labels are what the owner calls a thing of that kind.
func (t *told) labels(kind string) string {
	for _, l := range t.AWS.Labels {
		if l.Kind == kind {
			return " (" + strings.Join(l.Labels, ", ") + ")"
		}
	}
	return ""
}
