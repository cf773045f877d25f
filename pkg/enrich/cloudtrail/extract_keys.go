package cloudtrail

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
)

// keys takes the access keys that STS and IAM hand out, and the roles of profiles.
func (x *extraction) keys() {
	switch x.record.Name {
	case "AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "AssumeRoot", "GetSessionToken", "GetFederationToken":
		x.issued()
	case "CreateAccessKey":
		key := x.response("accessKey")
		id := keyID(key.get("accessKeyId").text())
		user := either(key.get("userName"), x.request("userName"))
		if id != "" {
			x.add(FactIssuedKey, id).Key = &IssuedKey{SessionName: user}
		}
	case "DeleteAccessKey":
		if id := keyID(x.request("accessKeyId").text()); id != "" {
			x.add(FactKeyEnd, id)
		}
	case "AddRoleToInstanceProfile":
		if name := x.request("instanceProfileName").text(); name != "" {
			x.add(FactProfileRole, name).Profile = &Profile{Name: name, Role: x.request("roleName").text()}
		}
	}
}

// issued takes a temporary key.
func (x *extraction) issued() {
	credentials := x.response("credentials")
	id := keyID(credentials.get("accessKeyId").text())
	if id == "" {
		return
	}
	k := IssuedKey{
		ARN:  either(x.response("assumedRoleUser", "arn"), x.response("federatedUser", "arn")),
		Role: x.request("roleArn").text(), SessionName: either(x.request("roleSessionName"), x.request("name")),
		SourceIdentity: either(x.request("sourceIdentity"), x.response("sourceIdentity")),
	}
	identity := &x.record.Identity
	if identity.Type == "AWSService" && identity.InvokedBy == "ec2.amazonaws.com" {
		k.Instance, _ = instanceID(k.SessionName)
	}
	f := x.add(FactIssuedKey, id)
	f.Key = &k
	f.Until, _, _ = when(credentials.get("expiration"))
	if k.Instance != "" {
		x.add(FactProfile, k.Instance).Profile = &Profile{Role: k.Role}
	}
}

// sessions takes the ways in which AWS opens a shell on an instance.
func (x *extraction) sessions() {
	switch x.record.Name {
	case "StartSession", "ResumeSession":
		if id := either(x.response("sessionId"), x.request("sessionId")); id != "" {
			f := x.add(FactSession, id)
			f.Session = &Session{Document: x.request("documentName").text(), Instances: instances(x.request("target"))}
		}
	case "TerminateSession":
		if id := x.request("sessionId").text(); id != "" {
			x.add(FactSessionEnd, id)
		}
	case "SendCommand":
		x.command()
	case "SendSSHPublicKey", "SendSerialConsoleSSHPublicKey":
		x.pushedKey()
	case "UpdateInstanceInformation":
		x.agent()
	}
}

// instances are the instance ids among nodes or the elements of a list.
func instances(nodes ...node) (ids []string) {
	for _, n := range nodes {
		if n.isArray() {
			ids = append(ids, instances(n.elements()...)...)
		} else if id, ok := instanceID(n.text()); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func (x *extraction) command() {
	command := x.response("command")
	id := command.get("commandId").text()
	if id == "" {
		return
	}
	s := Session{Document: either(x.request("documentName"), command.get("documentName")), Instances: instances(command.get("instanceIds"))}
	if len(s.Instances) == 0 {
		s.Instances = instances(x.request("instanceIds"))
	}
	s.ByTags = len(x.request("targets").elements()) > 0 && len(s.Instances) == 0
	x.add(FactCommand, id).Session = &s
}

// pushedFor is how long EC2 Instance Connect's metadata hold a key.
const pushedFor = time.Minute

func (x *extraction) pushedKey() {
	id, ok := instanceID(x.request("instanceId").text())
	if !ok {
		return
	}
	f := x.add(FactSSHKey, id)
	f.SSHKey = &SSHKey{
		User: x.request("instanceOSUser").text(), Fingerprint: fingerprint(x.request("sSHPublicKey").text()),
		Serial: x.record.Name == "SendSerialConsoleSSHPublicKey",
	}
	if !f.Time.IsZero() {
		f.Until = f.Time.Add(pushedFor)
	}
}

// fingerprint is that of a public key in OpenSSH's one-line form, as ssh prints it;
// empty for text that is none.
func fingerprint(line string) string {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return ""
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil || len(blob) < 4 {
		return ""
	}
	sum := sha256.Sum256(blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// agent takes an SSM agent's report of itself. Its instance is the one that the
// request names, or the session's own.
func (x *extraction) agent() {
	id, ok := instanceID(x.request("instanceId").text())
	if !ok {
		var proof InstanceProof
		id, proof = x.record.Identity.Instance()
		ok = proof != "" && proof != ProofSessionName
	}
	if ok {
		x.add(FactAgent, id).Agent = &Agent{
			IP: x.request("iPAddress").text(), Computer: x.request("computerName").text(), Platform: x.request("platformName").text(),
		}
	}
}
