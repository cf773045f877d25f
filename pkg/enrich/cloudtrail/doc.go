// Package cloudtrail knows what AWS CloudTrail's records say: the shapes in which
// they travel, the typed view of one, the facts that it states (a launch, an issued
// key, a session, an address, a login), and what those facts answer about another
// record.
//
// It must never fetch what a record or a notification names, change a record's own
// bytes but for secrets in its output, let a secret into a fact, or drop anything in
// silence: what it cannot read is handed back with a reason.
package cloudtrail
