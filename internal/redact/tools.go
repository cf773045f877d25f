package redact

import "strings"

// form is how a secret is written.
type form uint8

const (
	none     form = iota
	password      // the whole of it
	pair          // user:password
	percent       // user%password
	source        // openssl's pass:password, or a place to read one from
)

// formOf tells in what form a long flag takes a password: one whose name, without
// its hyphens, ends in a word for it.
func formOf(name []byte) form {
	switch {
	case hasPrefixFold(name, "no-"), hasPrefixFold(name, "ask-"):
		return none
	case hasSuffixFold(name, "password"), hasSuffixFold(name, "passwd"), hasSuffixFold(name, "passphrase"),
		hasSuffixFold(name, "storepass"), hasSuffixFold(name, "keypass"):
		return password
	case equalFold(name, "pass"), equalFold(name, "passin"), equalFold(name, "passout"):
		return source
	}
	return none
}

// isVariable tells whether a variable or a member of a connection string is a
// password. PWD is the working folder, unless it stands among others.
func isVariable(name []byte, inside bool) bool {
	switch {
	case hasPrefixFold(name, "no-"), hasPrefixFold(name, "ask-"):
		return false
	case hasSuffixFold(name, "password"), hasSuffixFold(name, "passwd"), hasSuffixFold(name, "passphrase"),
		hasSuffixFold(name, "_pass"), equalFold(name, "pass"), equalFold(name, "mysql_pwd"), equalFold(name, "sshpass"),
		equalFold(name, "rediscli_auth"):
		return true
	}
	return inside && equalFold(name, "pwd")
}

// toolFlag is a flag that means a password to one tool.
type toolFlag struct {
	name string
	form form
	// joined tells that the secret may stand in the flag's own word, apart that it
	// may be the next.
	joined, apart bool
}

// tool is what a program's flags mean.
type tool struct {
	flags [4]toolFlag
	// login tells that the flags count only behind the word login.
	login bool
	// asks tells that its --password without = asks for one.
	asks bool
	// wraps tells that it runs the next word as a program, whose flags follow.
	wraps bool
	// word is a command that a password follows.
	word string
}

// toolOf returns what the flags of a program mean, for programs that take a password
// by a flag whose name does not say so.
func toolOf(name string) (t tool, ok bool) {
	flag := func(name string, f form, joined, apart bool) tool {
		return tool{flags: [4]toolFlag{{name, f, joined, apart}}}
	}
	switch name {
	case "sshpass":
		t = flag("-p", password, true, true)
		t.wraps = true
		return t, true
	case "rdesktop":
		return flag("-p", password, true, true), true
	case "docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "oras", "crane", "az":
		t = flag("-p", password, true, true)
		t.login = true
		return t, true
	case "mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport", "useradd", "usermod":
		return flag("-p", password, false, true), true
	case "sqlcmd", "isql", "osql", "tsql", "bcp", "zip", "unzip", "ipmitool":
		return flag("-P", password, true, true), true
	case "7z", "7za", "7zr", "rar", "unrar":
		return tool{flags: [4]toolFlag{{"-p", password, true, false}, {"-hp", password, true, false}}}, true
	case "redis-cli":
		return flag("-a", password, false, true), true
	case "ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd":
		return flag("-w", password, true, true), true
	case "plink", "pscp", "psftp", "putty":
		return flag("-pw", password, false, true), true
	case "xfreerdp", "wlfreerdp":
		return flag("/p:", password, true, false), true
	case "curl":
		return tool{flags: [4]toolFlag{{"-u", pair, true, true}, {"--user", pair, false, true}, {"-U", pair, true, true}, {"--proxy-user", pair, false, true}}}, true
	case "smbclient", "rpcclient":
		return flag("-U", percent, true, true), true
	case "psql", "createdb", "dropdb", "createuser", "vacuumdb":
		return tool{asks: true}, true
	}
	return families(name)
}

// families are tools that share the beginning of their names.
func families(name string) (t tool, ok bool) {
	switch {
	case strings.HasPrefix(name, "mysql"), strings.HasPrefix(name, "mariadb"):
		t = tool{flags: [4]toolFlag{{"-p", password, true, false}}, asks: true}
		if strings.HasSuffix(name, "admin") {
			t.word = "password"
		}
		return t, true
	case strings.HasPrefix(name, "pg_"):
		return tool{asks: true}, true
	}
	return tool{}, false
}
