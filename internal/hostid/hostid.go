// Package hostid reads what a host is known by without a network: the machine id
// of its operating system and the instance id its cloud wrote into its firmware.
//
// It must never ask a metadata service: logger-ext starts before the network.
package hostid

import (
	"os"
	"strings"
)

// Read returns the machine id and the cloud instance id, each empty where the
// host does not tell. A DMI file that only root may read counts as untold.
func Read() []string {
	return []string{
		first("/etc/machine-id", "/var/lib/dbus/machine-id"),
		instance("/sys/class/dmi/id/board_asset_tag", "/sys/class/dmi/id/product_uuid"),
	}
}

func first(paths ...string) string {
	for _, path := range paths {
		if text, err := os.ReadFile(path); err == nil {
			if id := strings.TrimSpace(string(text)); id != "" {
				return id
			}
		}
	}
	return ""
}

// instance is EC2's instance id, which Nitro writes as the board's asset tag, else
// the product UUID, which other clouds and hypervisors draw per machine.
func instance(tag, uuid string) string {
	if id := first(tag); strings.HasPrefix(id, "i-") {
		return id
	}
	return strings.ToLower(first(uuid))
}
