package enrich

// State is what one operator keeps for one partition: for each host an ordered
// table of its own. It moves with the partition and survives the process.
//
// What is put belongs to the transaction under way: when that is aborted, the
// State and every operator over it are thrown away and built again as of the last
// commit. So an operator may hold decoded copies of what it put, and need not undo
// anything. A State is for one goroutine, the partition's. Its errors are failures
// of the infrastructure, which the operator returns.
type State interface {
	// Get returns the value at key, or nil where there is none. The bytes are
	// valid until the next call.
	Get(host Host, key []byte) ([]byte, error)
	// Put sets the value at key. Key and value are copied. The value must not be
	// empty.
	Put(host Host, key, value []byte) error
	// Delete removes key, which need not exist.
	Delete(host Host, key []byte) error
	// Scan shows every key of the host that begins with prefix, in byte order,
	// until visit returns an error, which it then returns. The bytes are valid
	// inside visit, which must not write.
	Scan(host Host, prefix []byte, visit func(key, value []byte) error) error
	// Hosts shows every host that has a key, in byte order, in the same way.
	Hosts(visit func(Host) error) error
}

// Owned is implemented by a State that keeps by which key a host's records come, so that
// it can be moved with them.
type Owned interface {
	// Reads tells that the record in work is a host's own.
	Reads(host Host)
}
