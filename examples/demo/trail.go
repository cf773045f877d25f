package main

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// What CloudTrail and the attacked host both speak of.
const (
	instance  = "i-0317f6c6b66ae9c40"
	account   = "111122223333"
	bucket    = "customer-data-demo"
	roleKey   = "ASIAI44QH8DHBEXAMPLE" //nolint:gosec // an example's id, no secret
	sessionID = "mallory-0f3a9c1d2e4b5a687"
	console   = "192.0.2.77"   // where the attacker sits
	egress    = "203.0.113.80" // the instance's elastic address
)

// trail is what CloudTrail has of the attack: it knows the half of it that the host
// does not. Members and their order follow AWS's examples.
func trail(began time.Time) []map[string]any {
	user := func() map[string]any {
		//nolint:gosec // an example's id, no secret
		return map[string]any{
			"type": "IAMUser", "principalId": "AIDACKCEVSQ6C2EXAMPLE", "arn": "arn:aws:iam::" + account + ":user/mallory", "accountId": account, "userName": "mallory",
			"accessKeyId":    "ASIAIOSFODNN7EXAMPLE",
			"sessionContext": map[string]any{"attributes": map[string]any{"creationDate": stamp(began.Add(-40 * time.Minute)), "mfaAuthenticated": "false"}},
		}
	}
	role := map[string]any{
		"type": "AssumedRole", "principalId": "AROA5FLZVX4OAEXAMPLE:" + instance, "arn": "arn:aws:sts::" + account + ":assumed-role/web/" + instance,
		"accountId": account, "accessKeyId": roleKey,
		"sessionContext": map[string]any{
			"sessionIssuer":   map[string]any{"type": "Role", "principalId": "AROA5FLZVX4OAEXAMPLE", "arn": "arn:aws:iam::" + account + ":role/web", "accountId": account, "userName": "web"},
			"attributes":      map[string]any{"creationDate": stamp(began.Add(-30 * time.Minute)), "mfaAuthenticated": "false"},
			"ec2RoleDelivery": "2.0",
		},
	}
	login := call(began.Add(-40*time.Minute), "signin.amazonaws.com", "ConsoleLogin", console, user())
	delete(login["userIdentity"].(map[string]any), "accessKeyId")
	delete(login["userIdentity"].(map[string]any), "sessionContext")
	login["responseElements"] = map[string]any{"ConsoleLogin": "Success"}
	login["additionalEventData"] = map[string]any{"LoginTo": "https://console.aws.amazon.com/console/home", "MFAUsed": "No"}
	login["eventType"] = "AwsConsoleSignIn"
	launch := call(began.Add(-35*time.Minute), "ec2.amazonaws.com", "RunInstances", console, user())
	launch["sessionCredentialFromConsole"] = "true"
	launch["responseElements"] = map[string]any{"instancesSet": map[string]any{"items": []any{map[string]any{
		"instanceId": instance, "imageId": "ami-0abcdef1234567890", "instanceType": "t3.micro", "privateIpAddress": "10.0.1.10", "vpcId": "vpc-1a2b3c4d",
		"placement": map[string]any{"availabilityZone": "eu-west-1a"}, "iamInstanceProfile": map[string]any{"arn": "arn:aws:iam::" + account + ":instance-profile/web"},
	}}}}
	allocate := call(began.Add(-34*time.Minute), "ec2.amazonaws.com", "AllocateAddress", console, user())
	allocate["responseElements"] = map[string]any{"publicIp": egress, "allocationId": "eipalloc-1"}
	associate := call(began.Add(-33*time.Minute), "ec2.amazonaws.com", "AssociateAddress", console, user())
	associate["requestParameters"] = map[string]any{"allocationId": "eipalloc-1", "instanceId": instance}
	associate["responseElements"] = map[string]any{"associationId": "eipassoc-1"}
	session := call(began.Add(-3*time.Second), "ssm.amazonaws.com", "StartSession", console, user())
	session["requestParameters"] = map[string]any{"target": instance}
	session["responseElements"] = map[string]any{"sessionId": sessionID, "tokenValue": "Value hidden due to security reasons."}
	all := []map[string]any{login, launch, allocate, associate, session}
	for i, object := range []string{"eu/customers.csv", "eu/cards.csv", "us/customers.csv"} {
		get := call(began.Add(time.Duration(24+i)*time.Second), "s3.amazonaws.com", "GetObject", egress, role)
		get["requestParameters"] = map[string]any{"bucketName": bucket, "key": object}
		get["userAgent"], get["eventCategory"], get["readOnly"], get["managementEvent"] = "[aws-cli/2.15.0]", "Data", true, false
		get["additionalEventData"] = map[string]any{"bytesTransferredOut": 16_036_779.0}
		get["tlsDetails"] = map[string]any{"clientProvidedHostHeader": bucket + ".s3.eu-west-1.amazonaws.com"}
		all = append(all, get)
	}
	for i, name := range []string{"GetCallerIdentity", "ListUsers"} {
		elsewhere := call(began.Add(time.Duration(5+i)*time.Minute), []string{"sts", "iam"}[i]+".amazonaws.com", name, badAddress, role)
		elsewhere["userAgent"] = "aws-cli/2.9.1"
		all = append(all, elsewhere)
	}
	return all
}

// stamp is a time as CloudTrail writes it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// call is what all records have.
func call(at time.Time, service, name, source string, identity map[string]any) map[string]any {
	return map[string]any{
		"eventVersion": "1.11", "userIdentity": identity, "eventTime": stamp(at), "eventSource": service, "eventName": name, "awsRegion": "eu-west-1",
		"sourceIPAddress": source, "userAgent": "console.amazonaws.com", "requestParameters": nil, "responseElements": nil, "readOnly": false,
		"eventID": fmt.Sprintf("%08x-0000-4000-8000-%012x", at.Unix(), len(name)), "eventType": "AwsApiCall", "managementEvent": true,
		"recipientAccountId": account, "eventCategory": "Management",
	}
}

// deliver writes the records as CloudTrail delivers them, in an object that is named
// after the minute in which it does: later than all that they tell of.
func deliver(dir string, began time.Time) (path string, err error) {
	delivered := began.Add(12 * time.Minute)
	path = filepath.Join(dir, "AWSLogs", account, "CloudTrail", "eu-west-1", delivered.UTC().Format("2006/01/02"),
		fmt.Sprintf("%s_CloudTrail_eu-west-1_%s_demo.json.gz", account, delivered.UTC().Format("20060102T1504Z")))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("CloudTrail's file: %w", err)
	}
	file, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("CloudTrail's file: %w", err)
	}
	w := gzip.NewWriter(file)
	err = json.NewEncoder(w).Encode(map[string]any{"Records": trail(began)})
	if err = errors.Join(err, w.Close(), file.Close()); err != nil {
		return "", fmt.Errorf("CloudTrail's file: %w", err)
	}
	return path, nil
}
