package flow

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/stackjoin/stackjoin/internal/compact"
	"github.com/stackjoin/stackjoin/pkg/enrich"
)

// Keys are "s", the remote address in 16 bytes, the time in 8, and 8 bytes of a hash of
// the event's id. A value begins with the format's number.
const (
	format  = 1
	kind    = 's'
	addrEnd = 1 + 16
	timeEnd = addrEnd + 8
	keySize = timeEnd + 8
)

// socket is one that a host's row told.
type socket struct {
	remote, local         netip.Addr // local is the zero one where the row has none
	remotePort, localPort uint16     // 0 where the row has none
	pid                   int64
	at                    time.Time
	// listed tells that it was seen open then, and may have been for long.
	listed   bool
	event    string
	position enrich.Position
	late     time.Duration
}

func prefix(addr netip.Addr) []byte {
	b := addr.As16()
	return append([]byte{kind}, b[:]...)
}

func (s *socket) key() []byte {
	sum := sha256.Sum256([]byte(s.event))
	return append(binary.BigEndian.AppendUint64(prefix(s.remote), uint64(s.at.UnixNano())), sum[:8]...)
}

func (s *socket) encode() []byte {
	b := compact.Number(nil, format)
	var local []byte
	if s.local.IsValid() {
		local = s.local.AsSlice()
	}
	b = compact.Text(b, string(local))
	b = compact.Number(compact.Number(compact.Number(b, uint64(s.remotePort)), uint64(s.localPort)), uint64(s.pid))
	b = compact.Text(compact.Truth(b, s.listed), s.event)
	p := &s.position
	b = compact.Text(compact.Text(b, p.Topic), p.File)
	b = compact.Number(compact.Number(compact.Number(b, uint64(p.Partition)), uint64(p.Offset)), uint64(p.Line))
	return compact.Signed(b, int64(s.late))
}

func decode(key, value []byte) (s socket, err error) {
	if len(key) != keySize {
		return s, fmt.Errorf("a socket's key has %d bytes, want %d", len(key), keySize)
	}
	s.remote = netip.AddrFrom16([16]byte(key[1:addrEnd])).Unmap()
	s.at = time.Unix(0, int64(binary.BigEndian.Uint64(key[addrEnd:timeEnd]))).UTC()
	r := compact.NewReader(value)
	r.Format(format)
	local := r.Text()
	s.remotePort, s.localPort, s.pid = uint16(r.Number()), uint16(r.Number()), int64(r.Number())
	s.listed, s.event = r.Truth(), r.Text()
	s.position.Topic, s.position.File = r.Text(), r.Text()
	s.position.Partition, s.position.Offset, s.position.Line = int32(r.Number()), int64(r.Number()), int64(r.Number())
	s.late = time.Duration(r.Signed())
	if local != "" {
		s.local, _ = netip.AddrFromSlice([]byte(local)) // the zero one, of other lengths
	}
	if err := r.Err(); err != nil {
		return s, fmt.Errorf("socket: %w", err)
	}
	return s, nil
}

// scan shows the host's sockets whose key begins so; nil is all.
func (o *Operator) scan(name enrich.Host, begin []byte, visit func(key []byte, s *socket)) error {
	if begin == nil {
		begin = []byte{kind}
	}
	return wrap(name, o.state.Scan(name, begin, func(key, value []byte) error {
		s, err := decode(key, value)
		if err == nil {
			visit(key, &s)
		}
		return err
	}))
}

// host returns what is at hand of a host, counting its sockets at first.
func (o *Operator) host(name enrich.Host) (*host, error) {
	if h := o.hosts[name]; h != nil {
		return h, nil
	}
	h := &host{}
	err := o.state.Scan(name, []byte{kind}, func(_, _ []byte) error {
		h.sockets++
		return nil
	})
	if err != nil {
		return nil, wrap(name, err)
	}
	o.hosts[name] = h
	return h, nil
}

func wrap(host enrich.Host, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sockets of %s: %w", host, err)
}
