package redact_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/extension"
	"github.com/stackjoin/stackjoin/internal/redact"
)

func compile(t testing.TB, rules ...redact.Rule) *redact.Rules {
	t.Helper()
	r, err := redact.Compile(rules, []byte("a key"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func presets() []redact.Rule {
	return []redact.Rule{{Preset: "authorization_headers"}, {Preset: "password_flags"}, {Preset: "aws_keys"}, {Preset: "url_credentials"}}
}

// row is a result with one column.
func row(column, text string) string {
	value, _ := json.Marshal(text)
	return `{"name":"processes","hostIdentifier":"h","columns":{"` + column + `":` + string(value) + `},"action":"added"}`
}

// column is the text of that column.
func column(t testing.TB, result []byte) (text string) {
	t.Helper()
	var parsed struct{ Columns map[string]string }
	if err := json.Unmarshal(result, &parsed); err != nil {
		t.Fatalf("%s: %v", result, err)
	}
	for _, text = range parsed.Columns {
	}
	return text
}

// blind replaces each mark by a sign.
func blind(text string) string {
	return regexp.MustCompile(`\[redacted:[a-z_]+:[0-9a-f]{12}\]`).ReplaceAllString(text, "♠")
}

const (
	awsSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	awsToken  = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQDexampletoken=="
)

// Each secret lies between two signs, and only it may go.
func TestPresetsTakeWhatIsSecret(t *testing.T) {
	for _, marked := range []string{
		// Headers.
		`curl -H "Authorization: Bearer «abc.def-ghi»" https://x`,
		`curl -H Authorization: Bearer «abc.def-ghi» https://x`,
		`curl -H 'authorization: basic «dXNlcjpwYXNz»' -d a=b`,
		`curl --header "Proxy-Authorization: Basic «dXNlcjpwYXNz»"`,
		`curl -H "Authorization: token «ghp_0123456789»"`,
		`curl -H "Authorization: «0123456789abcdef»" https://x`,
		`curl -H Authorization: «secretword» https://x`,
		`curl -H "Authorization: «Custom abc123»"`,
		`curl -H "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=«fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024»"`,
		`["curl","-H","Authorization: Bearer «abc»"]`,
		`http GET x Authorization:«tok-1234»`,
		`git -c http.extraheader="AUTHORIZATION: basic «YWJj»" fetch`,
		`Fetched {"authorization":"Bearer «abc»"} from x`,
		// Passwords.
		`mysql -u root -p«secret» db`, `/usr/bin/mysqldump -p"«my secret»" db`, `mysql --password=«secret» db`, `mysql -p'«it is»' db`,
		`sh -c "mysql -p«secret» db"`, `sh -c "cd /; mysql -p«secret»"`, `docker exec db mysql -uroot -p«secret»`, `mysqladmin -u root password «new»`,
		`mariadb-dump --password='«a b»' x`, `sshpass -p «hunter2» ssh -p 22 host`, `sshpass -p«hunter2» ssh host`,
		`docker login -u me -p «s3cret» registry:5000`, `az login -u me -p «s3cret»`, `podman login --password «s3cret» reg`,
		`PGPASSWORD=«secret» psql -h db -p 5432`, `env PGPASSWORD="«two words»" psql`, `MYSQL_PWD=«x1» mysql`, `SSHPASS=«x1» sshpass -e ssh h`,
		`mongosh -u a -p «pw» host`, `redis-cli -a «pw» ping`, `sqlcmd -S h -U sa -P «pw»`, `ldapsearch -x -D cn=a -w «pw»`, `zip -P «pw» a.zip b`,
		`7z x -p«pw» a.7z`, `curl -u me:«pw» https://x`, `curl --user "me:«p w»" x`, `curl -ume:«pw» x`, `curl -x p --proxy-user me:«pw» x`,
		`wget --user me --password «pw» x`, `wget --http-password=«pw» x`, `smbclient //h/s -U me%«pw»`, `xfreerdp /u:me /p:«pw» /v:h`,
		`keytool -list -storepass «changeit»`, `openssl rsa -in k -passin pass:«pw»`, `openssl enc -k x -pass pass:«pw»`, `gpg --batch --passphrase «pw» -d f`,
		`mount -t cifs //h/s /mnt -o username=me,password=«pw»`, `mount -o password=«pw»,uid=0 //h/s /mnt`,
		`kubectl create secret generic x --from-literal=password=«pw»`, `app "Server=db;Uid=me;Pwd=«pw»;Database=x"`, `x http://h/?user=a&password=«pw»&b=c`,
		`curl -d '{"user":"a","password":"«pw»"}' x`, `curl -d "{'db_password': '«pw»', 'b': 'c'}" x`,
		`["mysql","-p«my secret»","db"]`, `["sshpass","-p","«a b»","ssh"]`, `["sh","-c","PGPASSWORD=«x» psql -c 'select 1'"]`, `["env","PGPASSWORD=«my pass»","psql"]`,
		`["curl","-d","{\"password\":\"«pw»\"}"]`, `["app","--password","«pw»"]`, `useradd -p «$6$salt$hash» bob`, `plink -pw «pw» host`,
		`C:\tools\mysql.exe -u root -p«pw»`, `setup.exe /password:«pw» /quiet`, `mysql -p«secret1» db && mysql -p«secret2» db`,
		// AWS.
		`AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE AWS_SECRET_ACCESS_KEY=«` + awsSecret + `» aws s3 ls`,
		`export AWS_SESSION_TOKEN=«` + awsToken + `»`, `aws configure set aws_secret_access_key «` + awsSecret + `»`,
		`["aws","configure","set","aws_session_token","«` + awsToken + `»"]`, `app --aws-secret-access-key «` + awsSecret + `» --region eu-west-1`,
		`echo AKIAIOSFODNN7EXAMPLE:«` + awsSecret + `» > /etc/passwd-s3fs`, `{"AccessKeyId":"ASIAIOSFODNN7EXAMPLE","SecretAccessKey":"«` + awsSecret + `»","SessionToken":"«` + awsToken + `»"}`,
		`curl -H "x-amz-security-token: «` + awsToken + `»" s3`, `curl https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260101&X-Amz-Signature=«fe5f80f77d5fa3beca038a248ff027d0»`,
		// URLs.
		`git clone https://me:«ghp_abc»@github.com/a/b.git`, `psql postgresql://u:«p:w@x»@db:5432/x?sslmode=off`, `amqp://guest:«guest»@mq,redis://:«pw»@r/0`,
		`http_proxy=http://u:«pw»@proxy:3128/ curl x`,
	} {
		text := strings.NewReplacer("«", "", "»", "").Replace(marked)
		want := regexp.MustCompile(`«[^»]*»`).ReplaceAllString(marked, "♠")
		out, n := compile(t, presets()...).Apply(extension.TypeString, []byte(row("cmdline", text)))
		if got := blind(column(t, out)); got != want || n != strings.Count(want, "♠") {
			t.Errorf("%s\nis   %s\nwant %s (%d)", text, got, want, n)
		}
	}
}

func TestPresetsLeaveWhatIsEvidence(t *testing.T) {
	for _, text := range []string{
		`docker run -p 8080:80 nginx`, `docker run --name mysql -p3306:3306 -e A=b mysql:8`, `docker run -p 127.0.0.1:80:80/tcp login -p 1:1`, `ssh -p 22 host`,
		`mkdir -p dir`, `git commit -p`, `git add -p file`, `ps -p 1234`, `psql -h db -p 5432 -U me`, `psql --password mydb`, `mysql -u root -p mydb`,
		`mysql --password mydb`, `mysql -P 3306 -h h`, `scp -P 22 a b:`, `cp -p a b`, `netstat -plnt`, `unzip -p a.zip f`, `tar -xpf a.tar`, `kill -9 1`,
		`docker login --password-stdin reg`, `docker login -u me reg && docker run -p 80 x`, `podman run -u 1000:1000 x`, `docker run -u 0:0 -p 1:2 x`,
		`mysql -p$DB_PASS db`, `mysql -p${DB_PASS} db`, `mysql -pxxxxxxx db`, `sshpass -e ssh h`, `passwd root`, `PWD=/home/me OLDPWD=/ ls`, `--no-password x`,
		`ansible-playbook --ask-pass x`, `gpg --passphrase-fd 0 x`, `openssl rsa -passin env:KEY`, `openssl rsa -passin file:/run/key`, `app --password-file /run/key`,
		`ssh -o PreferredAuthentications=password -o PasswordAuthentication=no h`, `singularity exec --pwd /x img`, `msbuild a.sln /p:Configuration=Release`,
		`curl --user-agent x:y https://h:443/a@b`, `curl -H "Host: a" x`, `sudo -u me:you ls`, `chown a:b f`, `grep password /etc/shadow`, `cat /etc/passwd`,
		`sha256sum e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`, `uuid 123e4567-e89b-12d3-a456-426614174000`,
		`git checkout da39a3ee5e6b4b0d3255bfef95601890afd80709`, `echo aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQ= | base64 -d`,
		`aws s3 ls --profile AKIAIOSFODNN7EXAMPLE`, `AKIAIOSFODNN7EXAMPLE da39a3ee5e6b4b0d3255bfef95601890afd80709`, `aws sts get-session-token --duration 900`,
		`aws secretsmanager get-secret-value --secret-id prod/db`, `AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE aws s3 ls`, `kubectl get secret token`,
		`git clone https://me@github.com/a/b.git`, `curl https://host:8443/path@v1`, `git clone git@github.com:a/b.git`, `curl "https://x/?u=a:b@c"`,
		`curl -H "Authorization: Bearer $TOKEN" x`, `man authorization`, `authorization: bearer`, `useradd -m bob`, `["mkdir","-p","a b"]`, `["docker","run","-p","8080:80","x y"]`,
		`[redacted:password_flags:0123456789ab]`, `mysql -p[redacted:password_flags:0123456789ab] db`, ``, `-p`, `-`, `=`, `["`, `[]`, `"`, `'`, `sshpass -p`, `curl -u me`, `é «»`,
	} {
		payload := []byte(row("cmdline", text))
		out, n := compile(t, presets()...).Apply(extension.TypeString, payload)
		if n != 0 || &out[0] != &payload[0] {
			t.Errorf("%s\nbecame %s", text, column(t, out))
		}
	}
}

func TestPresetsLookAtCommandsMessagesAndEnvironmentsOnly(t *testing.T) {
	rules := compile(t, presets()...)
	for name, want := range map[string]int{"cmdline": 1, "command": 1, "env": 1, "message": 1, "path": 0, "sha256": 0, "cmdline_size": 0} {
		if _, n := rules.Apply(extension.TypeString, []byte(row(name, "mysql -psecret"))); n != want {
			t.Errorf("column %s: %d secrets, want %d", name, n, want)
		}
	}
	if _, n := compile(t, redact.Rule{Preset: "password_flags", Columns: []string{"pa*"}}).Apply(extension.TypeString, []byte(row("path", "mysql -psecret"))); n != 1 {
		t.Error("a preset does not look at the columns that it was given")
	}
}

// A pass over what has passed finds nothing more.
func TestMarksAreNoSecrets(t *testing.T) {
	rules := compile(t, presets()...)
	once, n := rules.Apply(extension.TypeString, []byte(row("cmdline", `curl -u a:b -H "Authorization: Bearer c" https://d:e@f/ --password g AWS_SECRET_ACCESS_KEY=`+awsSecret)))
	if twice, again := rules.Apply(extension.TypeString, once); n != 5 || again != 0 {
		t.Errorf("%d, then %d: %s", n, again, twice)
	}
}
