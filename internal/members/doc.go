// Package members writes and reads the members of JSON objects, for records that are
// written or read so often that reflection would be most of their cost.
//
// It must never make JSON that encoding/json reads otherwise: who writes with it may be
// read without it, and the other way round.
package members
