// Package cloud joins hosts with what CloudTrail tells of them: which instance a host
// is and who launched it, which process made an API call, which principal is behind a
// login, which bucket a path is in, and whether an instance's credentials were used
// elsewhere.
//
// Operator keeps one partition's share; the rest is pure. It must never do I/O, read a
// clock for a join, keep a secret, or take what it has not seen for something that did
// not happen. It knows no source: facts come in a cloudtrail.Table, records as
// enrich.Side.
package cloud
