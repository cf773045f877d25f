package event

// hostTables say what a host is and has.
func hostTables() []*Lens {
	return []*Lens{
		table("system_info", Inventory, "uuid").known("hostname", "uuid", "hardware_serial", "cpu_brand").with(map[Field]string{
			HostName: "hostname", HostUUID: "uuid",
		}).inventory(),
		table("uptime", Inventory, "total_seconds").known("days", "hours", "minutes", "seconds", "total_seconds").
			with(map[Field]string{Uptime: "total_seconds"}).inventory(),
		table("interface_addresses", Inventory, "address").known("interface", "address", "mask").with(map[Field]string{
			InterfaceName: "interface", InterfaceAddress: "address",
		}).inventory(),
		table("mounts", Inventory, "device", "path").known("device", "path", "type", "blocks_size").with(map[Field]string{
			Device: "device", MountPath: "path", FileSystem: "type",
		}).inventory(),
		table("docker_containers", Inventory, "id").known("id", "image", "image_id", "command", "pid").with(map[Field]string{
			ContainerID: "id", ContainerName: "name", ContainerImage: "image", PID: "pid",
		}).inventory(),
		table("chrome_extensions", Inventory, "identifier").known("identifier", "browser_type", "version").with(map[Field]string{
			ExtensionID: "identifier", UID: "uid", TargetPath: "path",
		}).inventory(),
	}
}

// cloudTables say which instance of a cloud a host is.
func cloudTables() []*Lens {
	return []*Lens{
		table("ec2_instance_metadata", Inventory, "instance_id").known("instance_id", "ami_id", "account_id").with(map[Field]string{
			InstanceID: "instance_id", AccountID: "account_id", Region: "region", ImageID: "ami_id", InstanceRole: "iam_arn",
			InterfaceAddress: "local_ipv4", HostName: "local_hostname",
		}).inventory(),
		table("ec2_instance_tags", Inventory, "instance_id", "key", "value").known("instance_id", "key", "value").with(map[Field]string{
			InstanceID: "instance_id", TagKey: "key", TagValue: "value",
		}).inventory(),
	}
}
