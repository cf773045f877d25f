package cloudtrail

import (
	"strings"
	"testing"
)

// What the story does not have: the facts of one call each, in words.
func TestFactsOfOtherCalls(t *testing.T) {
	for call, want := range map[string]string{
		`ec2 CreateFleet {} {"CreateFleetResponse":{"fleetInstanceSet":{"item":[{"instanceType":"t3.micro","instanceIds":{"item":["i-0317f6c6b66ae9c40","i-07d06021b0da55115"]}},{"instanceIds":{"item":"i-00a057f697c421b81"}}]}}}`:                                           `launch i-0317f6c6b66ae9c40 {"instance_type":"t3.micro"}; launch i-07d06021b0da55115 {"instance_type":"t3.micro"}; launch i-00a057f697c421b81 {}`,
		`ec2 AssociateIamInstanceProfile {"AssociateIamInstanceProfileRequest":{"InstanceId":"i-0317f6c6b66ae9c40","IamInstanceProfile":{"Name":"web"}}} {"AssociateIamInstanceProfileResponse":{"iamInstanceProfileAssociation":{"iamInstanceProfile":{"arn":"arn:x/web"}}}}`: `profile i-0317f6c6b66ae9c40 {"arn":"arn:x/web","name":"web"}`,
		`ec2 DisassociateIamInstanceProfile {} {"DisassociateIamInstanceProfileResponse":{"iamInstanceProfileAssociation":{"instanceId":"i-0317f6c6b66ae9c40","iamInstanceProfile":{"arn":"arn:x/web"}}}}`:                                                                     `profile i-0317f6c6b66ae9c40 {}`,
		`ec2 CreateNetworkInterface {} {"networkInterface":{"networkInterfaceId":"eni-1","privateIpAddress":"10.0.1.7","vpcId":"vpc-1"}}`:                                                                                                                                      `interface eni-1 {"id":"eni-1","private_ip":"10.0.1.7","vpc":"vpc-1"}; address 10.0.1.7 {"id":"eni-1","private_ip":"10.0.1.7","vpc":"vpc-1"}`,
		`ec2 AttachNetworkInterface {"networkInterfaceId":"eni-1","instanceId":"i-0317f6c6b66ae9c40"} {}`:                                                                                                                                                                      `interface eni-1 {"id":"eni-1","instance":"i-0317f6c6b66ae9c40"}`,
		`ec2 AttachNetworkInterface {"networkInterfaceId":"eni-2","instanceId":"i-0317f6c6b66ae9c40"} {"attachmentId":"eni-attach-2"}`:                                                                                                                                         `interface eni-2 {"id":"eni-2","instance":"i-0317f6c6b66ae9c40","attachment":"eni-attach-2"}`,
		`ec2 DetachNetworkInterface {"attachmentId":"eni-attach-2","force":false} {"_return":true}`:                                                                                                                                                                            `interface_end eni-attach-2 null`,
		`ec2 DisassociateAddress {"associationId":"eipassoc-1"} {"_return":true}`:                                                                                                                                                                                              `address_end eipassoc-1 {"association":"eipassoc-1"}`,
		`ec2 DeleteNetworkInterface {"networkInterfaceId":"eni-1"} {"_return":true}`:                                                                                                                                                                                           `interface_end eni-1 null`,
		`iam DeleteAccessKey {"userName":"x","accessKeyId":"AKIABACKDOOR1EXAMPLE"} null`:                                                                                                                                                                                       `key_end AKIABACKDOOR1EXAMPLE null`,
		`ec2 ReleaseAddress {"publicIp":"203.0.113.80"} {}`:                                                                                                                                                                                                                    `address_end 203.0.113.80 {"public_ip":"203.0.113.80"}`,
		`ec2 CreateKeyPair {"keyName":"ops"} {"keyName":"ops","keyFingerprint":"1f:51","keyMaterial":"<sensitiveDataRemoved>"}`:                                                                                                                                                `key_pair ops {"fingerprint":"1f:51"}`,
		`ec2 RunInstances {} {"instancesSet":{"items":[{"instanceId":"i-not-one"},{"instanceId":"i-A2d74F12"}]}}`:                                                                                                                                                              `launch i-a2d74f12 {}`,
		`iam AddRoleToInstanceProfile {"roleName":"r","instanceProfileName":"p"} null`:                                                                                                                                                                                         `profile_role p {"name":"p","role":"r"}`,
		`sts GetFederationToken {"name":"ann"} {"credentials":{"accessKeyId":"ASIAVR53ULLJ5EXAMPLE","expiration":"Nov 30, 2024, 8:43:17 PM"},"federatedUser":{"arn":"arn:aws:sts::1:federated-user/ann"}}`:                                                                     `issued_key ASIAVR53ULLJ5EXAMPLE {"arn":"arn:aws:sts::1:federated-user/ann","session_name":"ann"}`,
		`sts AssumeRole {"roleSessionName":"x"} {"credentials":{"accessKeyId":"REDACTED"}}`:                                                                                                                                                                                    ``,
		`ssm ResumeSession {"sessionId":"s-1"} {"sessionId":"s-1","tokenValue":"x"}`:                                                                                                                                                                                           `session s-1 {}`,
		`ssm SendCommand {"documentName":"d","targets":[{"key":"tag:x","values":["y"]}]} {"command":{"commandId":"c-1","instanceIds":[]}}`:                                                                                                                                     `command c-1 {"document":"d","by_tags":true}`,
		`ssm UpdateInstanceInformation {"instanceId":"i-0317f6c6b66ae9c40","iPAddress":"10.0.1.10","computerName":"web"} null`:                                                                                                                                                 `ssm_agent i-0317f6c6b66ae9c40 {"ip":"10.0.1.10","computer":"web"}`,
		`ssm UpdateInstanceInformation {"iPAddress":"10.0.1.10"} null`:                                                                                                                                                                                                         ``, // by whom is not proven
		`ec2-instance-connect SendSerialConsoleSSHPublicKey {"instanceId":"i-0317f6c6b66ae9c40","sSHPublicKey":"no key"} {}`:                                                                                                                                                   `ssh_key i-0317f6c6b66ae9c40 {"serial":true}`,
		`s3 PutObject {"instanceId":"i-0317f6c6b66ae9c40"} {"sessionId":"x"}`:                                                                                                                                                                                                  ``,
	} {
		part := strings.SplitN(call, " ", 3)
		request, response := part[2], "null"
		if i := strings.LastIndex(request, " {"); i > 0 {
			request, response = request[:i], request[i+1:]
		} else {
			request = strings.TrimSuffix(request, " null")
		}
		r := parsed(t, `{"eventSource":"`+part[0]+`.amazonaws.com","eventName":"`+part[1]+`","eventID":"e","requestParameters":`+request+`,"responseElements":`+response+
			`,"userIdentity":{"type":"AssumedRole","principalId":"AROA:i-0317f6c6b66ae9c40"}}`)
		var words []string
		for _, f := range Extract(nil, r) {
			words = append(words, inWords(t, &f))
		}
		if got := strings.Join(words, "; "); got != want {
			t.Errorf("%s states\n%s\nwant\n%s", call, got, want)
		}
	}
}
