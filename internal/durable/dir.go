// Package durable makes names in a folder outlast a power cut. It writes no file of
// its own: what is in a file is for its writer to sync first.
package durable
