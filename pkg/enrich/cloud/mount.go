package cloud

import (
	"strings"
	"time"
)

// mount is a bucket in a host's tree of files. It is kept as JSON in the State.
type mount struct {
	Path   string `json:"path"`
	Bucket string `json:"bucket"`
	// Prefix is that of the keys below, without slashes around it.
	Prefix string `json:"prefix,omitempty"`
	How    string `json:"how"` // the program
	// From and Until bound it: Until is zero while it holds.
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"`
	// Process made it, nil where only the table of mounts tells.
	Process *sighting `json:"process,omitempty"`
}

func (m *mount) heldAt(t time.Time) bool {
	return !t.Before(m.From) && (m.Until.IsZero() || t.Before(m.Until))
}

// key is the object that a path below the mount is; ok is false for other paths.
func (m *mount) key(path string) (key string, ok bool) {
	rest, ok := strings.CutPrefix(path, m.Path)
	if !ok || rest != "" && rest[0] != '/' && m.Path != "/" {
		return "", false
	}
	return strings.Trim(m.Prefix+"/"+strings.Trim(rest, "/"), "/"), true
}

// mountOfCommand reads the command line that mounts a bucket: s3fs, mount-s3, goofys,
// rclone, or mount with one of their types.
func mountOfCommand(commandLine string) (m mount, ok bool) {
	fields := words(commandLine)
	if len(fields) < 3 {
		return m, false
	}
	m.How = base(fields[0])
	args := fields[1:]
	switch m.How {
	case "s3fs", "goofys", "mount-s3":
	case "mount":
		kind := option(args, "-t")
		m.How = strings.TrimPrefix(strings.TrimPrefix(kind, "fuse."), "mountpoint-")
		if m.How == "s3" {
			m.How = "mount-s3"
		}
		if m.How != "s3fs" && m.How != "goofys" && m.How != "mount-s3" {
			return m, false
		}
	case "rclone":
		return rclone(args)
	default:
		return m, false
	}
	places := operands(args, m.How)
	if len(places) < 2 || !strings.HasPrefix(places[1], "/") {
		return m, false
	}
	m.place(places[0])
	if p := option(args, "--prefix"); p != "" {
		m.Prefix = strings.Trim(p, "/")
	}
	m.Path = cleaned(places[1])
	return m, m.Bucket != ""
}

func rclone(args []string) (m mount, ok bool) {
	if len(args) == 0 || args[0] != "mount" {
		return m, false
	}
	places := operands(args[1:], "rclone")
	if len(places) < 2 || !strings.HasPrefix(places[1], "/") {
		return m, false
	}
	_, path, ok := strings.Cut(places[0], ":")
	if !ok {
		return m, false
	}
	m.How = "rclone"
	m.place(path)
	m.Path = cleaned(places[1])
	return m, m.Bucket != ""
}

// place reads bucket, bucket:prefix, bucket/prefix or s3://bucket/prefix.
func (m *mount) place(text string) {
	text = strings.Trim(strings.TrimPrefix(text, "s3://"), "/")
	at := strings.IndexAny(text, ":/")
	if at < 0 {
		m.Bucket = text
	} else {
		m.Bucket, m.Prefix = text[:at], strings.Trim(text[at+1:], ":/")
	}
	if !bucketName(m.Bucket) || m.Bucket == "arn" { // an access point's ARN names no bucket
		m.Bucket = ""
	}
}

// bucketName tells what S3 allows as one.
func bucketName(text string) bool {
	if len(text) < 3 || len(text) > 63 {
		return false
	}
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}

// mountOfRow reads a row of the table of mounts; ok is false where it is of no bucket,
// or does not say of which.
func mountOfRow(device, path, kind string) (m mount, ok bool) {
	m = mount{Path: cleaned(path), How: strings.TrimPrefix(kind, "fuse.")}
	switch {
	case device == "s3fs" || device == "mountpoint-s3": // the bucket is on the command line alone
		return m, false
	case kind == "fuse.rclone":
		_, place, found := strings.Cut(device, ":")
		if !found {
			return m, false
		}
		m.place(place)
	case kind == "fuse.s3fs", kind == "fuse.goofys", kind == "fuse.mountpoint-s3", kind == "fuse.mount-s3":
		m.place(device)
	case strings.HasPrefix(kind, "fuse") && strings.HasPrefix(device, "s3://"):
		m.How = "mount-s3"
		m.place(device)
	default:
		return m, false
	}
	return m, m.Bucket != "" && strings.HasPrefix(path, "/")
}

// operands are the words that are no option's: those of the programs that mount take
// -o with a word of its own, and long options with one or after an equals sign.
func operands(args []string, program string) (all []string) {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case !strings.HasPrefix(a, "-"):
			all = append(all, a)
		case takesWord(program, a):
			i++
		}
	}
	return all
}

// takesWord tells the options that are followed by their value in the next word.
func takesWord(program, option string) bool {
	if strings.Contains(option, "=") {
		return false
	}
	switch option {
	case "-o", "-t", "-l", "--prefix", "--profile", "--region", "--endpoint-url", "--endpoint", "--cache", "--uid", "--gid", "--dir-mode", "--file-mode",
		"--metadata-ttl", "--max-threads", "--part-size", "--log-directory", "--maximum-throughput-gbps", "--expected-bucket-owner", "--sse", "--sse-kms-key-id",
		"--storage-class", "--max-cache-size", "--bind", "--user-agent-prefix":
		return true
	case "--vfs-cache-mode", "--config", "--cache-dir", "--log-file", "--log-level", "--umask", "--dir-cache-time", "--poll-interval":
		return program == "rclone"
	}
	return false
}

// option is the value of one, in the next word or after an equals sign.
func option(args []string, name string) string {
	for i, a := range args {
		if a == name && i+1 < len(args) {
			return args[i+1]
		}
		if value, ok := strings.CutPrefix(a, name+"="); ok {
			return value
		}
	}
	return ""
}

// maxWords bounds the words of a command line that are looked at.
const maxWords = 256

// words are those of a command line, quotes around them taken away.
func words(commandLine string) []string {
	fields := strings.Fields(commandLine)
	fields = fields[:min(len(fields), maxWords)]
	for i, f := range fields {
		fields[i] = strings.Trim(f, `"'`)
	}
	return fields
}

// cleaned is a path without a slash at its end.
func cleaned(path string) string {
	if short := strings.TrimRight(path, "/"); short != "" {
		return short
	}
	return path
}
