// Package version says which build this is. It must never do anything else: every
// program and record that names a version reads it here.
package version

import "runtime/debug"

// Version is the release name, set at link time with -ldflags -X. An unset one
// is answered from the module's build information by String.
var Version string //nolint:gochecknoglobals // the linker can only set a package variable

// String returns the release name, or the module version that the go command
// recorded, or "devel" for a build from a working tree.
func String() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
