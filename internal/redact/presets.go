package redact

import (
	"bytes"
	"regexp"
)

// preset returns the finder of a rule that is built in.
func preset(name string) (finder, bool) {
	switch name {
	case "authorization_headers":
		return authorizationHeaders, true
	case "password_flags":
		return passwordFlags(), true
	case "aws_keys":
		return awsKeys(), true
	case "url_credentials":
		return urlCredentials, true
	}
	return nil, false
}

// presetColumns are the columns of osquery's tables that hold what people and
// programs typed: commands, environments, messages, scripts, addresses.
func presetColumns() []string {
	return []string{
		"cmdline", "json_cmdline", "parent_cmdline", "command", "command_line", "args", "arguments", "program_arguments",
		"env", "environment", "env_variables", "message", "script_text", "url",
	}
}

// byExpression finds what an expression matches: its groups if it has any.
func byExpression(expression *regexp.Regexp) finder {
	groups := expression.NumSubexp()
	return func(dst []span, text []byte) []span {
		if !expression.Match(text) { // this costs no memory
			return dst
		}
		for _, m := range expression.FindAllSubmatchIndex(text, -1) {
			for g := min(1, groups); g <= groups; g++ {
				if m[2*g] >= 0 {
					dst = append(dst, span{start: m[2*g], end: m[2*g+1]})
				}
			}
		}
		return dst
	}
}

// authorizationHeaders finds the credentials of Authorization and
// Proxy-Authorization headers, however they are quoted. The scheme stays.
func authorizationHeaders(dst []span, text []byte) []span {
	const header = "authorization"
	for at := 0; ; {
		found := indexFold(text[at:], header)
		if found < 0 {
			return dst
		}
		at += found + len(header)
		value := skipAny(text, at, "\"'\\ ")
		if value < len(text) && (text[value] == ':' || text[value] == '=') {
			dst = credentials(dst, text, skipAny(text, value+1, "\"'\\ \t"))
		}
	}
}

// credentials finds what follows the name of an Authorization header. Of a word that
// may be an unknown scheme or a credential, both it and the next are taken.
func credentials(dst []span, text []byte, at int) []span {
	end := wordEnd(text, at)
	word := text[at:end]
	if hasPrefixFold(word, "aws4-") || equalFold(word, "digest") {
		return parameters(dst, text, end)
	}
	next := skipAny(text, end, " \t")
	stop := wordEnd(text, next)
	if next == stop || next < len(text) && text[next] == '-' || bytes.Contains(text[next:stop], []byte("://")) {
		next, stop = end, end
	}
	switch {
	case isScheme(word):
		return secret(dst, text, next, stop)
	case isLetters(word):
		return secret(dst, text, at, stop)
	}
	return secret(dst, text, at, end)
}

func isScheme(word []byte) bool {
	for _, scheme := range [...]string{"bearer", "basic", "token", "apikey", "negotiate", "ntlm"} {
		if equalFold(word, scheme) {
			return true
		}
	}
	return false
}

func isLetters(word []byte) bool {
	for _, c := range word {
		if c != '-' && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return len(word) > 0
}

// parametersBytes bounds the search for a parameter, so that many headers in one text
// cost no more than its length.
const parametersBytes = 4096

// parameters finds the signature or response among the parameters of a scheme; the
// others, an access key's id among them, are evidence.
func parameters(dst []span, text []byte, at int) []span {
	text = text[:min(len(text), at+parametersBytes)]
	for _, name := range [...]string{"signature=", "response="} {
		if found := indexFold(text[at:], name); found >= 0 {
			start := skipAny(text, at+found+len(name), "\"\\")
			dst = secret(dst, text, start, wordEnd(text, start))
		}
	}
	return dst
}

// wordEnd is where a word of a header ends.
func wordEnd(text []byte, at int) int {
	for at < len(text) && bytes.IndexByte([]byte(" \t\r\n\"'\\"), text[at]) < 0 {
		at++
	}
	return at
}

// secret appends a place without the punctuation at its end, unless it holds no
// secret.
func secret(dst []span, text []byte, start, end int) []span {
	for end > start && bytes.IndexByte([]byte(",;)}]"), text[end-1]) >= 0 && !isMark(text[start:end]) {
		end--
	}
	if isSecret(text[start:end]) {
		dst = append(dst, span{start: start, end: end})
	}
	return dst
}

// isSecret is false for what a program or a shell put in a secret's place: $NAME,
// ${…}, $(…), and runs of x or *.
func isSecret(text []byte) bool {
	if len(text) == 0 || len(bytes.Trim(text, "*")) == 0 || len(text) > 2 && len(bytes.Trim(text, "x")) == 0 {
		return false
	}
	if text[0] != '$' {
		return true
	}
	name := text[1:]
	if len(name) > 0 && (name[0] == '{' || name[0] == '(') {
		return false
	}
	for _, c := range name {
		if c != '_' && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return true
		}
	}
	return len(name) == 0
}

// urlCredentials finds the password of user:password@host in URLs.
func urlCredentials(dst []span, text []byte) []span {
	for at := 0; ; {
		found := bytes.Index(text[at:], []byte("://"))
		if found < 0 {
			return dst
		}
		at += found + len("://")
		end := at
		for end < len(text) && text[end] > ' ' && bytes.IndexByte([]byte(`/?#"<>\`), text[end]) < 0 {
			end++
		}
		user, rest := at, bytes.LastIndexByte(text[at:end], '@')
		if colon := bytes.IndexByte(text[at:end], ':'); colon >= 0 && colon < rest && isSecret(text[user+colon+1:user+rest]) {
			dst = append(dst, span{start: user + colon + 1, end: user + rest})
		}
		at = end - 1 // the next may share a colon with this one's end
	}
}

// awsKeys finds AWS secret access keys, session tokens and the signatures of
// presigned URLs. Access key ids stay: they tell whose the secret was.
func awsKeys() finder {
	named := regexp.MustCompile(`(?i)(?:secret[_-]?access[_-]?key|aws[_-]?secret[_-]?key|session[_-]?token|security[_-]?token)\\?["']?(?:\s*[=:,]\s*|\s+)\\?["']?([A-Za-z0-9/+=%]{16,})`)
	signature := regexp.MustCompile(`(?i)x-amz-signature=([0-9a-f]{16,})`)
	beside := regexp.MustCompile(`(?:AKIA|ASIA)[A-Z0-9]{16}\\?["']?[\s:,=;]{1,4}\\?["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)`)
	return func(dst []span, text []byte) []span {
		if indexFold(text, "secret") >= 0 || indexFold(text, "token") >= 0 {
			dst = byExpression(named)(dst, text)
		}
		if indexFold(text, "x-amz-signature=") >= 0 {
			dst = byExpression(signature)(dst, text)
		}
		if !bytes.Contains(text, []byte("AKIA")) && !bytes.Contains(text, []byte("ASIA")) {
			return dst
		}
		for _, m := range beside.FindAllSubmatchIndex(text, -1) {
			if !isHash(text[m[2]:m[3]]) {
				dst = append(dst, span{start: m[2], end: m[3]})
			}
		}
		return dst
	}
}

// isHash tells whether a text is hexadecimal, as a key of random base64 never is.
func isHash(text []byte) bool {
	return len(bytes.Trim(text, "0123456789abcdef")) == 0
}
