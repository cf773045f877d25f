package cloud

import (
	"strings"
	"testing"
	"time"
)

func TestMountsOnCommandLines(t *testing.T) {
	for line, want := range map[string]string{
		"s3fs data /mnt/x -o passwd_file=/etc/p":                          "data||/mnt/x|s3fs",
		"s3fs data:/deep/er /mnt/x/":                                      "data|deep/er|/mnt/x|s3fs",
		"/usr/bin/s3fs -o url=https://s3.amazonaws.com data /mnt/x":       "data||/mnt/x|s3fs",
		"goofys --region eu-west-1 -o allow_other data:pre /mnt/x":        "data|pre|/mnt/x|goofys",
		"mount-s3 --allow-delete --prefix a/b/ data /mnt/x":               "data|a/b|/mnt/x|mount-s3",
		"mount-s3 s3://data/a/ /mnt/x --read-only":                        "data|a|/mnt/x|mount-s3",
		"mount -t fuse.s3fs data /mnt/x":                                  "data||/mnt/x|s3fs",
		"mount -t mountpoint-s3 data /mnt/x":                              "data||/mnt/x|mount-s3",
		"rclone mount --vfs-cache-mode writes my:data/in /mnt/x --daemon": "data|in|/mnt/x|rclone",
		`rclone mount "my:data" '/mnt/x'`:                                 "data||/mnt/x|rclone",
		"rclone copy my:data/in /mnt/x":                                   "",
		"mount -t ext4 /dev/sda1 /mnt/x":                                  "",
		"s3fs data":                                                       "",
		"s3fs DATA /mnt/x":                                                "",
		"s3fs data relative":                                              "",
		"vi s3fs data /mnt/x":                                             "",
		"mount-s3 arn:aws:s3:eu-west-1:111122223333:accesspoint/a /mnt/x": "",
		"": "",
	} {
		m, ok := mountOfCommand(line)
		got := ""
		if ok {
			got = strings.Join([]string{m.Bucket, m.Prefix, m.Path, m.How}, "|")
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestKeysBelowAMount(t *testing.T) {
	m := mount{Path: "/mnt/x", Prefix: "p"}
	for path, want := range map[string]string{"/mnt/x/a/b": "p/a/b", "/mnt/x": "p", "/mnt/x/": "p", "/mnt/xy/a": "no", "/mnt": "no"} {
		key, ok := m.key(path)
		if !ok {
			key = "no"
		}
		if key != want {
			t.Errorf("%s: %s, want %s", path, key, want)
		}
	}
	root := mount{Path: "/"}
	if key, ok := root.key("/a"); !ok || key != "a" {
		t.Errorf("below the root: %q", key)
	}
}

func TestWordsOnCommandLines(t *testing.T) {
	for _, c := range []struct {
		line, text string
		want       bool
	}{
		{"aws s3 ls s3://data/k", "data", true},
		{"aws s3 ls s3://data2/k", "data", false},
		{"curl https://data.s3.eu-west-1.amazonaws.com/k", "data", true},
		{"curl https://data.example.com/k", "data", false},
		{"cat my-data", "data", false},
		{"x data", "data", true},
		{"data", "data", true},
		{"database data", "data", true},
		{"", "data", false},
	} {
		if got := holds(c.line, c.text); got != c.want {
			t.Errorf("%q in %q: %v", c.text, c.line, got)
		}
	}
	for name, want := range map[string]bool{
		"sts.amazonaws.com": true, "sts.eu-west-1.amazonaws.com": true, "STS.eu-west-1.amazonaws.com.": true, "sts-fips.eu-west-1.amazonaws.com": true,
		"sts.us-east-1.amazonaws.com": false, "ec2.eu-west-1.amazonaws.com": false, "sts.example.com": false, "": false, ".amazonaws.com": false,
	} {
		if got := endpointOf(name, "sts.amazonaws.com", "eu-west-1"); got != want {
			t.Errorf("%q is an endpoint of STS: %v", name, got)
		}
	}
	for _, c := range []struct{ path, line, want string }{
		{"/usr/bin/python3.12", "python3 a.py", "boto"}, {"/usr/bin/python3", "/usr/bin/python3 /usr/local/bin/aws s3 ls", "aws-cli"},
		{"/usr/bin/aws", "aws", "aws-cli"}, {"/usr/bin/awstats", "awstats", ""}, {`C:\aws`, "", "aws-cli"}, {"", "", ""},
	} {
		if got := programFamilyOf(c.path, c.line); got != c.want {
			t.Errorf("%s %q is of %q, want %q", c.path, c.line, got, c.want)
		}
	}
}

func TestTheLongestPrefixLabelsAnAddress(t *testing.T) {
	l := NewLabels([]Labelled{
		{Kind: LabelAddress, ID: "192.0.2.0/24", Owner: "wide"}, {Kind: LabelAddress, ID: "192.0.2.7", Owner: "narrow"},
		{Kind: LabelAddress, ID: "no address"}, {Kind: LabelBucket, ID: "b", Owner: "first"}, {Kind: LabelBucket, ID: "b", Owner: "second"},
		{Kind: LabelAddress, ID: "198.51.100.0/24", Owner: "first"}, {Kind: LabelAddress, ID: "198.51.100.0/24", Owner: "second"},
	})
	for id, want := range map[string]string{"192.0.2.7": "narrow", "::ffff:192.0.2.7": "narrow", "192.0.2.8": "wide", "198.51.100.1": "second", "203.0.113.1": "", "x": ""} {
		got := ""
		if one := l.Of(LabelAddress, id); one != nil {
			got = one.Owner
		}
		if got != want {
			t.Errorf("%s is %q's, want %q's", id, got, want)
		}
	}
	if l.Of(LabelBucket, "b").Owner != "second" || (*Labels)(nil).Of(LabelBucket, "b") != nil {
		t.Error("the last of two for one thing counts, and none is known without labels")
	}
}

// Command lines are written by attackers.
func FuzzCommandLine(f *testing.F) {
	for _, line := range []string{"s3fs data /mnt/x", "rclone mount a:b/c /d", "mount -t fuse.s3fs x /y", "mount-s3 --prefix", "aws s3 cp s3://b/k ."} {
		f.Add(line, "data", "/mnt/x/a")
	}
	f.Fuzz(func(t *testing.T, line, text, path string) {
		m, ok := mountOfCommand(line)
		if ok && (!bucketName(m.Bucket) || !strings.HasPrefix(m.Path, "/")) {
			t.Errorf("%q: %+v", line, m)
		}
		m.From = time.Unix(1, 0)
		if key, below := m.key(path); below && (strings.HasPrefix(key, "/") || !strings.HasPrefix(path, m.Path)) {
			t.Errorf("%q below %q is %q", path, m.Path, key)
		}
		if text != "" && holds(line, text) && !strings.Contains(line, text) {
			t.Errorf("%q does not hold %q", line, text)
		}
		endpointOf(line, text, path)
		programFamilyOf(path, line)
		addressInName(line)
	})
}
