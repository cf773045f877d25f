package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stackjoin/stackjoin/internal/geotest"
	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
	"github.com/stackjoin/stackjoin/schemas/schematest"
)

// The country and network of a socket's ends, of where a login came from, and of the
// address that called AWS.
func TestScanTellsCountriesAndNetworks(t *testing.T) {
	country := geotest.Country(t, map[string]string{"45.0.0.0/8": "NL", "46.0.0.0/8": "SE"})
	asn := geotest.ASN(t, map[string]geotest.System{"45.0.0.0/8": {Number: 64500, Organization: "Example Transit"}})
	row := `{"name":"%s","hostIdentifier":"web","unixTime":1760000000,"action":"added","columns":{%s}}` + "\n"
	log := write(t, "osqueryd.results.log",
		fmt.Sprintf(row, "last", `"username":"joe","tty":"pts/0","pid":"100","type":"7","time":"1759999990","host":"46.0.0.9"`)+
			fmt.Sprintf(row, "process_events", `"pid":"100","parent":"1","path":"/usr/sbin/sshd","cmdline":"sshd","uid":"0","time":"1759999990","syscall":"execve"`)+
			fmt.Sprintf(row, "process_events", `"pid":"101","parent":"100","path":"/usr/bin/curl","cmdline":"curl","uid":"0","time":"1759999995","syscall":"execve"`)+
			fmt.Sprintf(row, "socket_events", `"action":"connect","pid":"101","path":"/usr/bin/curl","remote_address":"45.0.0.9","remote_port":"443","local_address":"10.0.0.1","local_port":"4000","time":"1759999999"`))
	trail := write(t, "trail.json", `{"Records":[{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE","accountId":"111122223333","userName":"joe"},`+
		`"eventTime":"2025-10-09T08:53:25Z","eventSource":"sts.amazonaws.com","eventName":"GetCallerIdentity","awsRegion":"eu-west-1","sourceIPAddress":"45.0.0.9","userAgent":"x","eventID":"11111111-2222-4333-8444-555555555555","eventType":"AwsApiCall","recipientAccountId":"111122223333"}]}`)
	calls := filepath.Join(t.TempDir(), "calls.ndjson")
	stdout, stderr, code := command(t, "", "scan", "--geo", "country="+country, "--geo", "asn="+asn, "--cloudtrail", trail, "--cloudtrail-out", calls, log)
	if code != 0 {
		t.Fatal(stderr)
	}
	for line := range strings.Lines(stdout) {
		schematest.Validate(t, enrich.SchemaEnriched, []byte(line))
	}
	call, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	schematest.Validate(t, cloudtrail.SchemaEnriched, call)
	const here = `"geo":{"country_iso_code":"NL"},"as":{"number":64500,"organization":{"name":"Example Transit"}}}`
	for what, want := range map[string]string{
		"socket": `"destination":{"address":"45.0.0.9","ip":"45.0.0.9","port":443,` + here,
		"login":  `"source":{"address":"46.0.0.9","ip":"46.0.0.9","geo":{"country_iso_code":"SE"}}`,
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%s: %s is not in\n%s", what, want, stdout)
		}
	}
	if want := `"source":{"address":"45.0.0.9","ip":"45.0.0.9",` + here; !strings.Contains(string(call), want) {
		t.Errorf("%s is not in\n%s", want, call)
	}
	for flag, want := range map[string]string{"country=" + asn: "whose networks tell no country", country: "write country=PATH or asn=PATH"} {
		if _, stderr, code := command(t, "", "scan", "--geo", flag, log); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("--geo %s: exit %d, %s", flag, code, stderr)
		}
	}
}
