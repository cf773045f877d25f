package cloudtrail

func (x *extraction) ec2() {
	switch x.record.Name {
	case "RunInstances":
		for _, i := range x.response("instancesSet").set() {
			x.launch(i)
		}
	case "CreateFleet":
		x.fleet()
	case "TerminateInstances":
		for _, i := range x.response("instancesSet").set() {
			if id, ok := instanceID(i.get("instanceId").text()); ok {
				x.add(FactInstanceEnd, id)
			}
		}
	case "AssociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation", "DisassociateIamInstanceProfile":
		x.association()
	case "CreateKeyPair", "ImportKeyPair":
		if name := either(x.response("keyName"), x.request("keyName")); name != "" {
			x.add(FactKeyPair, name).SSHKey = &SSHKey{Fingerprint: x.response("keyFingerprint").text()}
		}
	default:
		x.addresses()
	}
}

// launch takes one of the instances that RunInstances started.
func (x *extraction) launch(n node) {
	id, ok := instanceID(n.get("instanceId").text())
	if !ok {
		return
	}
	l := Launch{
		ImageID: n.get("imageId").text(), InstanceType: n.get("instanceType").text(), ProfileARN: n.get("iamInstanceProfile", "arn").text(),
		KeyName: n.get("keyName").text(), PrivateIP: n.get("privateIpAddress").text(), VPC: n.get("vpcId").text(), Subnet: n.get("subnetId").text(),
		Zone: n.get("placement", "availabilityZone").text(), MetadataTokens: n.get("metadataOptions", "httpTokens").text(), Group: groupOf(n),
	}
	x.add(FactLaunch, id).Launch = &l
	if l.ProfileARN != "" {
		x.add(FactProfile, id).Profile = &Profile{ARN: l.ProfileARN, Name: lastPart(l.ProfileARN)}
	}
	for _, i := range n.get("networkInterfaceSet").set() {
		x.networkInterface(i, id)
	}
}

// groupOf is the auto scaling group in an instance's tags.
func groupOf(n node) string {
	for _, tag := range n.get("tagSet").set() {
		if tag.get("key").text() == "aws:autoscaling:groupName" {
			return tag.get("value").text()
		}
	}
	return ""
}

// networkInterface takes an interface and the private addresses that it has; they
// may be of any VPC, and mean nothing without it.
func (x *extraction) networkInterface(n node, instance string) {
	id := n.get("networkInterfaceId").text()
	if id == "" {
		return
	}
	i := Interface{
		ID: id, Instance: instance, PrivateIP: n.get("privateIpAddress").text(), MAC: n.get("macAddress").text(),
		VPC: n.get("vpcId").text(), Subnet: n.get("subnetId").text(), Attachment: n.get("attachment", "attachmentId").text(),
	}
	x.add(FactInterface, id).Interface = &i
	addresses := []string{i.PrivateIP}
	for _, more := range n.get("privateIpAddressesSet").set() {
		addresses = append(addresses, more.get("privateIpAddress").text())
	}
	for k, address := range addresses {
		if address == "" || k > 0 && address == i.PrivateIP {
			continue
		}
		owned := i
		owned.PrivateIP = address
		x.add(FactAddress, address).Interface = &owned
	}
}

// fleet takes the instances that CreateFleet started at once. EC2 writes a
// RunInstances of its own for each, which has the details.
func (x *extraction) fleet() {
	for _, f := range x.response("CreateFleetResponse", "fleetInstanceSet").set() {
		ids := f.get("instanceIds").set()
		if text := f.get("instanceIds", "item"); text.isText() {
			ids = append(ids, text)
		}
		for _, i := range ids {
			if id, ok := instanceID(i.text()); ok {
				x.add(FactLaunch, id).Launch = &Launch{InstanceType: f.get("instanceType").text()}
			}
		}
	}
}

// association takes an instance's profile, given, changed or taken away: then it has
// no ARN.
func (x *extraction) association() {
	name := x.record.Name
	request := x.request(name + "Request")
	response := x.response(name+"Response", "iamInstanceProfileAssociation")
	id, ok := instanceID(either(response.get("instanceId"), request.get("InstanceId")))
	if !ok {
		return
	}
	p := Profile{}
	if name != "DisassociateIamInstanceProfile" {
		profile := request.get("IamInstanceProfile")
		p.ARN = either(response.get("iamInstanceProfile", "arn"), profile.get("Arn"))
		if p.Name = profile.get("Name").text(); p.Name == "" {
			p.Name = lastPart(p.ARN)
		}
	}
	x.add(FactProfile, id).Profile = &p
}

// addresses takes what ties addresses and interfaces to instances.
func (x *extraction) addresses() {
	switch x.record.Name {
	case "CreateNetworkInterface":
		x.networkInterface(x.response("networkInterface"), "")
	case "AttachNetworkInterface":
		instance, _ := instanceID(x.request("instanceId").text())
		if id := x.request("networkInterfaceId").text(); id != "" {
			x.add(FactInterface, id).Interface = &Interface{ID: id, Instance: instance, Attachment: x.response("attachmentId").text()}
		}
	case "DetachNetworkInterface":
		if attachment := x.request("attachmentId").text(); attachment != "" {
			x.add(FactInterfaceEnd, attachment)
		}
	case "DeleteNetworkInterface":
		if id := x.request("networkInterfaceId").text(); id != "" {
			x.add(FactInterfaceEnd, id)
		}
	case "AllocateAddress":
		x.elastic(FactAddress, x.response("publicIp").text(), x.response("allocationId").text(), "")
	case "AssociateAddress":
		x.elastic(FactAddress, x.request("publicIp").text(), x.request("allocationId").text(), x.response("associationId").text())
	case "DisassociateAddress":
		x.elastic(FactAddressEnd, x.request("publicIp").text(), "", x.request("associationId").text())
	case "ReleaseAddress":
		x.elastic(FactAddressEnd, x.request("publicIp").text(), x.request("allocationId").text(), "")
	case "CreateNatGateway":
		x.gateway()
	}
}

// elastic takes an elastic address. Where the record names it by its allocation or
// association alone, that is the fact's subject.
func (x *extraction) elastic(kind FactKind, address, allocation, association string) {
	subject := address
	for _, other := range []string{allocation, association} {
		if subject == "" {
			subject = other
		}
	}
	if subject == "" {
		return
	}
	instance, _ := instanceID(x.request("instanceId").text())
	x.add(kind, subject).Interface = &Interface{
		ID: x.request("networkInterfaceId").text(), Instance: instance, PublicIP: address, PrivateIP: x.request("privateIpAddress").text(),
		Allocation: allocation, Association: association,
	}
}

// gateway takes a NAT gateway, which any instance's calls may seem to come from.
func (x *extraction) gateway() {
	gateway := x.response("CreateNatGatewayResponse", "natGateway")
	for _, a := range gateway.get("natGatewayAddressSet").set() {
		subject := either(a.get("publicIp"), a.get("allocationId"))
		if subject == "" {
			continue
		}
		x.add(FactAddress, subject).Interface = &Interface{
			PublicIP: a.get("publicIp").text(), Allocation: a.get("allocationId").text(), PrivateIP: a.get("privateIp").text(),
			ID: a.get("networkInterfaceId").text(), Gateway: gateway.get("natGatewayId").text(), VPC: gateway.get("vpcId").text(),
		}
	}
}
