package cloudtrail

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// story are the records of testdata/story.json by eventID, and the facts of all.
func story(t testing.TB) (map[string]*Record, *Table) {
	t.Helper()
	text, err := os.ReadFile("testdata/story.json")
	if err != nil {
		t.Fatal(err)
	}
	n, records := find(t, text)
	if n.records != len(records) || n.refused+n.skipped+n.objects > 0 {
		t.Fatalf("the story holds %+v", n)
	}
	byID, table := map[string]*Record{}, NewTable(0)
	for _, r := range records {
		byID[r.EventID] = r
		for _, f := range Extract(nil, r) {
			table.Add(f)
		}
	}
	return byID, table
}

const (
	web, fleet, forged = "i-0317f6c6b66ae9c40", "i-07d06021b0da55115", "i-00a057f697c421b81"
)

func TestWhoIsBehindEachCall(t *testing.T) {
	records, table := story(t)
	for id, want := range map[string]struct{ root, hops, gap, login string }{
		"run":      {"anaya", "", "", "login"},
		"get":      {"ec2.amazonaws.com", "AssumeRole", "", ""},
		"forged":   {"JohnDoe", "AssumeRole", "", ""},
		"newkey":   {"JohnDoe", "AssumeRole AssumeRole", "", ""},
		"backdoor": {"backdoor", "CreateAccessKey", "", ""}, // the key's maker is told, but does not act through it
		"scope":    {web, "", IssuerUnknown, ""},
		"run-asg":  {"AutoScaling", "", "", ""},
		"internal": {"AWS Internal", "", "", ""},
		"login":    {"anaya", "", "", ""},
	} {
		c := table.Chain(records[id])
		var hops []string
		for _, h := range c.Hops {
			hops = append(hops, h.Via)
		}
		login := ""
		if c.Login != nil {
			login = c.Login.EventID
		}
		if c.Root.Name != want.root || strings.Join(hops, " ") != want.hops || c.Gap != want.gap || login != want.login {
			t.Errorf("%s: root %q by %q, gap %q, login %q; want %+v", id, c.Root.Name, hops, c.Gap, login, want)
		}
	}
	if by := table.Chain(records["backdoor"]).Hops[0].By; by.Name != "x" || by.IssuerARN != "arn:aws:iam::111122223333:role/admin" {
		t.Errorf("the key was made by %+v", by)
	}
}

func TestWhichInstanceMadeEachCall(t *testing.T) {
	records, table := story(t)
	for id, want := range map[string]struct {
		instance         string
		proof            InstanceProof
		launch, launcher string
	}{
		"get":      {web, ProofDelivery, "run", "run"},
		"scope":    {web, ProofScope, "run", "run"},
		"forged":   {forged, ProofSessionName, "", ""},
		"agent":    {fleet, ProofIdentity, "run-asg", "group"}, // Auto Scaling launched it, for whoever made the group
		"run":      {"", "", "", ""},
		"internal": {"", "", "", ""},
		"run-asg":  {"", "", "", ""},
	} {
		h := table.Host(records[id])
		launch, launcher := "", ""
		if h.Launch != nil {
			launch, launcher = h.Launch.EventID, h.Launcher.EventID
		}
		if h.ID != want.instance || h.Proof != want.proof || launch != want.launch || launcher != want.launcher {
			t.Errorf("%s: instance %q by %q, launched by %q for %q; want %+v", id, h.ID, h.Proof, launch, launcher, want)
		}
	}
}

// An issued key proves an instance where the metadata service's version is not told.
func TestAnIssuedKeyProvesTheInstance(t *testing.T) {
	records, table := story(t)
	old, err := Parse(bytes.Replace(records["get"].Raw, []byte(`,"ec2RoleDelivery":"2.0"`), nil, 1))
	if err != nil {
		t.Fatal(err)
	}
	if h := table.Host(old); h.Proof != ProofIssued || h.Launch == nil {
		t.Errorf("with the issue known: %+v", h)
	}
	if h := NewTable(0).Host(old); h.Proof != ProofSessionName || h.Launch != nil {
		t.Errorf("without: %+v", h)
	}
}

func TestFactsOfTheStory(t *testing.T) {
	_, table := story(t)
	for _, want := range []string{
		`launch ` + web + ` {"image_id":"ami-0abcdef1234567890","instance_type":"t3.micro","profile_arn":"arn:aws:iam::111122223333:instance-profile/web","key_name":"ops","private_ip":"10.0.1.10","vpc":"vpc-1a2b3c4d","subnet":"subnet-1a2b3c4d","zone":"eu-west-1a","metadata_tokens":"required"}`,
		`profile ` + web + ` {"role":"arn:aws:iam::111122223333:role/web"}`,
		`address 10.0.1.99 {"id":"eni-03ac9043f76fab96c","instance":"` + web + `","private_ip":"10.0.1.99","mac":"02:fc:9a:8a:db:c3","vpc":"vpc-1a2b3c4d","subnet":"subnet-1a2b3c4d"}`,
		`address 203.0.113.80 {"public_ip":"203.0.113.80","allocation":"eipalloc-1"}`,
		`address eipalloc-1 {"instance":"` + web + `","allocation":"eipalloc-1","association":"eipassoc-1"}`,
		`address 203.0.113.81 {"private_ip":"10.0.1.5","public_ip":"203.0.113.81","allocation":"eipalloc-2","vpc":"vpc-1a2b3c4d","gateway":"nat-1"}`,
		`session anaya-0123456789abcdef0 {"instances":["` + web + `"]}`,
		`session_end anaya-0123456789abcdef0 null`,
		`command f49a1fe5-d12b-4ac0-98bc-0e4bd83d70c0 {"instances":["` + web + `","` + fleet + `"],"document":"AWS-RunShellScript"}`,
		`ssh_key ` + web + ` {"user":"ec2-user","fingerprint":"` + fingerprint("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOtAlK45MAEWZ7MUY2QEmi3M6W+peGL3VCrc0qH54xRu") + `"}`,
		`issued_key AKIABACKDOOR1EXAMPLE {"session_name":"backdoor"}`,
		`login AIDACKCEVSQ6C2EXAMPLE {"mfa":true,"to":"https://console.aws.amazon.com/console/home"}`,
		`login AIDACKCEVSQ6C2EXAMPLE {"failed":true,"mfa":true,"to":"https://console.aws.amazon.com/console/home"}`,
		`instance_end ` + web + ` null`,
		`group fleet-a null`,
	} {
		found := false
		for _, e := range table.facts {
			found = found || inWords(t, e.fact) == want
		}
		if !found {
			t.Errorf("no fact %s", want)
		}
	}
	if launches := table.of(FactLaunch, web); len(launches) != 1 || launches[0].Actor.Source != "198.51.100.23" {
		t.Errorf("%d launches of %s", len(launches), web)
	}
}

// inWords is a fact's kind, subject and particulars.
func inWords(t *testing.T, f *Fact) string {
	t.Helper()
	var detail any
	switch {
	case f.Launch != nil:
		detail = f.Launch
	case f.Key != nil:
		detail = f.Key
	case f.Profile != nil:
		detail = f.Profile
	case f.Session != nil:
		detail = f.Session
	case f.SSHKey != nil:
		detail = f.SSHKey
	case f.Interface != nil:
		detail = f.Interface
	case f.Login != nil:
		detail = f.Login
	case f.Agent != nil:
		detail = f.Agent
	}
	text, err := json.Marshal(detail)
	if err != nil {
		t.Fatal(err)
	}
	return string(f.Kind) + " " + f.Subject + " " + string(text)
}

func TestAFailedCallStatesNoFact(t *testing.T) {
	records, _ := story(t)
	if facts := Extract(nil, records["run-refused"]); len(facts) > 0 {
		t.Errorf("a refused launch states %+v", facts)
	}
	for id, failure := range map[string]string{"run": `"errorCode":"Client.DryRunOperation",`, "issue": `"errorCode":"AccessDenied",`, "session": `"errorMessage":"no",`} {
		r := parsed(t, strings.Replace(string(records[id].Raw), "{", "{"+failure, 1))
		if facts := Extract(nil, r); len(facts) > 0 || !r.Failed() {
			t.Errorf("%s that failed states %+v", id, facts)
		}
	}
}

func TestFactsSurviveTheirWireForm(t *testing.T) {
	_, table := story(t)
	for key, e := range table.facts {
		text, err := json.Marshal(e.fact)
		if err != nil {
			t.Fatal(err)
		}
		var back Fact
		if err := json.Unmarshal(text, &back); err != nil || compare(&back, e.fact) != 0 {
			t.Errorf("%s comes back as %s (%v)", text, inWords(t, &back), err)
		}
		if strings.Contains(string(text), "TOKEN") || strings.Contains(string(text), "streamUrl") || strings.Contains(string(text), "wss:") {
			t.Errorf("a secret in a fact: %s", text)
		}
		if a, b := e.fact.CompactionKey("route"), e.fact.CompactionKey("p3"); a == b || !strings.HasPrefix(a, strings.TrimSuffix(key, "/")) {
			t.Errorf("keys %s and %s of two writers", a, b)
		}
	}
}

func TestGapsSayWhatIsNotKnown(t *testing.T) {
	records, table := story(t)
	plain, e := &Enricher{Facts: NewTable(0)}, &Enricher{Facts: table, Reputation: badAddress{}}
	for _, c := range []struct {
		e    *Enricher
		id   string
		want string
	}{
		{e, "scope", "reputation feed_unavailable"}, // an instance's own session was begun by nobody else
		{plain, "scope", "launch launch_unknown"},
		{plain, "forged", "principal issuer_unknown, host instance_forgeable"},
		{e, "forged", "host instance_forgeable, reputation feed_unavailable"},
		{plain, "run", ""},
		{plain, "run-asg", ""},
		{e, "internal", ""}, // no address to ask about
	} {
		_, summary, err := c.e.Append(nil, records[c.id], Place{}, time.Time{})
		var gaps []string
		for _, g := range summary.Gaps {
			gaps = append(gaps, g.Question+" "+g.Reason)
		}
		if got := strings.Join(gaps, ", "); err != nil || got != c.want || summary.ID != c.id+"/111122223333" {
			t.Errorf("%s (%v): gaps %q, want %q", summary.ID, err, got, c.want)
		}
	}
}
