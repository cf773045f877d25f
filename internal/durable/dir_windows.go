package durable

// SyncDir does nothing: Windows has no way to sync a folder, and NTFS journals names
// by itself.
func SyncDir(string) error { return nil }
