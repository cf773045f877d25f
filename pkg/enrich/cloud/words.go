package cloud

import "strings"

// The families of programs that call AWS. Whoever calls may write any user agent, so
// that they are a hint.
const (
	awsCLI = "aws-cli"
	boto   = "boto"
)

// programFamily is one family: how its user agents name it, in lower case, and its
// programs; with versions their names may go on with one.
type programFamily struct {
	name, agent string
	programs    []string
	versions    bool
}

//nolint:gochecknoglobals // a constant, but for the language
var families = [...]programFamily{
	{name: "ssm-agent", agent: "amazon-ssm-agent", programs: []string{"amazon-ssm-agent", "ssm-agent-worker", "ssm-document-worker", "ssm-session-worker"}},
	{name: awsCLI, agent: "aws-cli", programs: []string{"aws"}},
	{name: boto, agent: "boto", programs: []string{"python"}, versions: true},
	{name: "terraform", agent: "terraform", programs: []string{"terraform"}},
	{name: "mount", agent: "mountpoint-s3", programs: []string{"mount-s3", "s3fs", "goofys"}},
	{name: "mount", agent: "s3fs/"},
	{name: "rclone", agent: "rclone", programs: []string{"rclone"}},
	{name: "java", agent: "aws-sdk-java", programs: []string{"java"}},
	{name: "node", agent: "aws-sdk-js", programs: []string{"node", "nodejs"}},
	{name: "ruby", agent: "aws-sdk-ruby", programs: []string{"ruby"}, versions: true},
	{name: "php", agent: "aws-sdk-php", programs: []string{"php"}, versions: true},
	{name: "curl", agent: "curl/", programs: []string{"curl"}},
	{name: "powershell", agent: "awspowershell", programs: []string{"pwsh", "powershell.exe"}},
}

// agentFamily is the family that a user agent tells, empty where it tells none.
func agentFamily(agent string) string {
	agent = strings.ToLower(agent)
	for i := range families {
		if strings.Contains(agent, families[i].agent) {
			return families[i].name
		}
	}
	return ""
}

// programFamilyOf is the family of a program, empty for those of none.
func programFamilyOf(path, commandLine string) string {
	program := base(path)
	for i := range families {
		f := &families[i]
		for _, p := range f.programs {
			if program == p || f.versions && strings.HasPrefix(program, p) {
				return narrow(f.name, commandLine)
			}
		}
	}
	return ""
}

// narrow tells aws-cli apart from other programs in Python, which it is written in.
func narrow(name, commandLine string) string {
	if name != boto {
		return name
	}
	fields := strings.Fields(commandLine)
	for _, f := range fields[:min(len(fields), 3)] {
		if base(f) == "aws" {
			return awsCLI
		}
	}
	return boto
}

// base is the last element of a path of either family of systems.
func base(path string) string { return path[strings.LastIndexAny(path, `/\`)+1:] }

// ofAWS tells the name of an AWS endpoint.
func ofAWS(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	for _, suffix := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// endpointOf tells whether a name is an endpoint of a service: sts.amazonaws.com,
// sts.eu-west-1.amazonaws.com, bucket.s3.eu-west-1.amazonaws.com.
func endpointOf(name, service, region string) bool {
	short, _, _ := strings.Cut(service, ".")
	if !ofAWS(name) || short == "" {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(name), "."), ".")
	for i, label := range labels {
		if label != short && label != short+"-fips" || i+1 == len(labels) {
			continue
		}
		next := labels[i+1]
		return next == "amazonaws" || next == "api" || next == "dualstack" || region == "" || next == region
	}
	return false
}

// holds tells whether a command line holds a text that nothing on either side makes
// longer, as a bucket's name in s3://name/key.
func holds(commandLine, text string) bool {
	for from := 0; ; {
		i := strings.Index(commandLine[from:], text)
		if i < 0 {
			return false
		}
		at := from + i
		end := at + len(text)
		if (at == 0 || !inName(commandLine[at-1])) && (end == len(commandLine) || !inName(commandLine[end]) || endsSentence(commandLine, end)) {
			return true
		}
		from = at + 1
	}
}

// inName tells the bytes that names of AWS's things are made of.
func inName(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.'
}

// endsSentence tells the dot of bucket.s3.amazonaws.com, where a bucket's name ends.
func endsSentence(text string, at int) bool { return strings.HasPrefix(text[at:], ".s3") }

// speaksOfAWS tells command lines that are kept for API calls that may come from them.
func speaksOfAWS(commandLine string) bool {
	for _, word := range []string{"s3:", "s3.", "aws", "arn:", "169.254.169.254", "i-0"} {
		if strings.Contains(commandLine, word) {
			return true
		}
	}
	return false
}
