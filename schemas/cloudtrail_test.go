package schemas_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stackjoin/stackjoin/pkg/enrich"
	"github.com/stackjoin/stackjoin/pkg/enrich/cloudtrail"
)

// oneAddress is a feed of one address.
type oneAddress struct{ threat enrich.Threat }

func (o oneAddress) Missing() []string { return nil }

func (o oneAddress) Address(dst []enrich.Threat, a netip.Addr, _ uint16, _ time.Time) []enrich.Threat {
	if a.String() == o.threat.Indicator {
		dst = append(dst, o.threat)
	}
	return dst
}

const (
	trailHead  = `{"eventVersion":"1.11","eventTime":"2026-11-23T10:11:20Z","awsRegion":"eu-west-1","recipientAccountId":"111122223333",`
	trailUser  = `"userIdentity":{"type":"IAMUser","principalId":"AIDACKCEVSQ6C2EXAMPLE","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","accessKeyId":"ASIAIOSFODNN7EXAMPLE","userName":"ann","sessionContext":{"attributes":{"creationDate":"2026-11-23T10:05:10Z","mfaAuthenticated":"true"}}},`
	trailLogin = `{"eventVersion":"1.11","eventTime":"2026-11-23T10:05:08Z","awsRegion":"eu-west-1","recipientAccountId":"111122223333","userIdentity":{"type":"IAMUser","principalId":"AIDACKCEVSQ6C2EXAMPLE","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","userName":"ann"},` +
		`"eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","sourceIPAddress":"198.51.100.23","userAgent":"Mozilla/5.0","eventID":"e0","eventType":"AwsConsoleSignIn",` +
		`"requestParameters":null,"responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"LoginTo":"https://console.aws.amazon.com/console/home?state=x","MFAUsed":"Yes"}}`
	trailRun = trailHead + trailUser + `"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","sourceIPAddress":"198.51.100.23","eventID":"e1","sessionCredentialFromConsole":"true",` +
		`"responseElements":{"instancesSet":{"items":[{"instanceId":"i-0317f6c6b66ae9c40","imageId":"ami-1","instanceType":"t3.micro","keyName":"k","vpcId":"vpc-1","placement":{"availabilityZone":"eu-west-1a"},"iamInstanceProfile":{"arn":"arn:aws:iam::111122223333:instance-profile/web"}}]}}}`
	trailIssue = trailHead + `"userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"},"eventSource":"sts.amazonaws.com","eventName":"AssumeRole","sourceIPAddress":"ec2.amazonaws.com","eventID":"e2",` +
		`"requestParameters":{"roleArn":"arn:aws:iam::111122223333:role/web","roleSessionName":"i-0317f6c6b66ae9c40"},"responseElements":{"credentials":{"accessKeyId":"ASIAI44QH8DHBEXAMPLE","expiration":"Nov 23, 2026, 4:11:20 PM","sessionToken":"IQoJb3JpZ2luX2VjEXAMPLE"}}}`
	trailSession = `"userIdentity":{"type":"AssumedRole","principalId":"AROA5FLZVX4OAEXAMPLE:i-0317f6c6b66ae9c40","arn":"arn:aws:sts::111122223333:assumed-role/web/i-0317f6c6b66ae9c40","accountId":"111122223333",`
	trailCall    = trailHead + trailSession + `"accessKeyId":"ASIAI44QH8DHBEXAMPLE","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA5FLZVX4OAEXAMPLE","arn":"arn:aws:iam::111122223333:role/web","accountId":"111122223333","userName":"web"},"ec2RoleDelivery":"2.0"}},` +
		`"eventSource":"s3.amazonaws.com","eventName":"GetObject","sourceIPAddress":"198.51.100.23","userAgent":"[aws-cli/2.15]","eventID":"e3","readOnly":true,"managementEvent":false,` +
		`"requestParameters":{"bucketName":"b","key":"k"},"additionalEventData":{"bytesTransferredOut":89.0},"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"b.s3.amazonaws.com"}}`
	trailForged = trailHead + trailSession + `"accessKeyId":"ASIAXXXXXXXXXEXAMPLE"},"eventSource":"iam.amazonaws.com","eventName":"CreateUser","errorCode":"AccessDenied","errorMessage":"no","sourceIPAddress":"AWS Internal","eventID":"e4"}`
	trailOdd    = `{"eventName":"GetThing","eventSource":"thing.amazonaws.com","recipientAccountId":1234,"awsRegion":"us-north-2r","sourceIPAddress":"251.234.045.249","userIdentity":{}}`
)

func cloudTrailSamples(t *testing.T) map[string][]byte {
	t.Helper()
	table := cloudtrail.NewTable(0)
	samples := map[string]*cloudtrail.Record{}
	for name, text := range map[string]string{
		"login": trailLogin, "launch": trailRun, "issue": trailIssue, "instance": trailCall, "forged": trailForged, "odd": trailOdd,
	} {
		r, err := cloudtrail.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		samples[name] = r
		for _, f := range cloudtrail.Extract(nil, r) {
			table.Add(f)
		}
	}
	e := &cloudtrail.Enricher{Facts: table, Reputation: oneAddress{enrich.Threat{
		Indicator: "198.51.100.23", Type: "ipv4-addr", How: "exact", Feed: "feodo", Generation: "9c1f", Confidence: 80, TLP: "amber", Port: 443,
		Name: "Emotet", Reference: "https://feodotracker.abuse.ch/", Tags: []string{"c2"}, FirstSeen: at(1), LastSeen: at(2), Reports: 4, Provenance: "feodo.csv:12",
	}}}
	made := map[string][]byte{}
	for name, r := range samples {
		place := cloudtrail.Place{Position: enrich.Position{File: "trail.json.gz", Line: 1}, Number: 7}
		if name == "issue" {
			place = cloudtrail.Place{Position: enrich.Position{Topic: "cloudtrail", Partition: 3, Offset: 1234567}, Appended: at(59)}
		}
		text, _, err := e.Append(nil, r, place, at(23))
		if err != nil {
			t.Fatal(err)
		}
		made["cloudtrail.enriched-"+name+".json"] = text
	}
	return made
}

func TestEnrichedCloudTrailIsECS(t *testing.T) {
	enriched := schemaOf(t, cloudtrail.SchemaEnriched)
	others := map[string]*node{"row/1.json": schemaOf(t, "stackjoin.row/1"), "enriched/1.json": schemaOf(t, enrich.SchemaEnriched)}
	own := []string{"schema", "time_source", "event.revision", "event.final", "threat.enrichments.feed", "aws", "gaps", "evidence", "truncated"}
	w := &walker{enriched: enriched, others: others, ours: own, seen: map[string]*node{}}
	w.walk("", enriched.Defs["enrichment"])
	if checked := w.check(t, ecs(t)); checked < 40 {
		t.Errorf("only %d fields were checked", checked)
	}
}
