package kafkatest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

const (
	issuer   = "https://issuer.test"
	audience = "kafka"
	keyID    = "test"
)

// identity is the certificates and token keys of one Broker, made for it.
type identity struct {
	caKey  *ecdsa.PrivateKey
	ca     *x509.Certificate
	tokens *rsa.PrivateKey
}

// CAFile is the PEM file of the authority that signed the server's certificate.
func (b *Broker) CAFile() string { return b.file("ca.pem") }

// ClientCertFile is the PEM file of a certificate that MutualTLS takes.
func (b *Broker) ClientCertFile() string { return b.file("client.crt") }

// ClientKeyFile is the PEM file of that certificate's key.
func (b *Broker) ClientKeyFile() string { return b.file("client.key") }

func (b *Broker) keysURL() string { return "file://" + b.file("jwks.json") }

func (b *Broker) makeIdentity(t testing.TB) {
	t.Helper()
	b.caKey, b.ca = newAuthority(t)
	b.write(t, "ca.pem", pemBlock("CERTIFICATE", b.ca.Raw))
	cert, key := b.issue(t, "localhost", x509.ExtKeyUsageServerAuth)
	b.write(t, "server.pem", append(key, cert...))
	b.ReissueClientCert(t, User)
	tokens, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatalf("make the token key: %v", err)
	}
	b.tokens = tokens
	b.write(t, "jwks.json", marshal(t, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": keyID,
		"n": encode(tokens.N.Bytes()), "e": encode(big.NewInt(int64(tokens.E)).Bytes()),
	}}}))
}

// ReissueClientCert replaces the client's certificate and key files.
func (b *Broker) ReissueClientCert(t testing.TB, name string) {
	t.Helper()
	cert, key := b.issue(t, name, x509.ExtKeyUsageClientAuth)
	b.write(t, "client.crt", cert)
	b.write(t, "client.key", key)
}

// Token returns a signed OAUTHBEARER token for User with this lifetime.
func (b *Broker) Token(t testing.TB, lifetime time.Duration) string {
	t.Helper()
	now := time.Now()
	head := encode(marshal(t, map[string]any{"alg": "RS256", "typ": "JWT", "kid": keyID}))
	body := encode(marshal(t, map[string]any{
		"sub": User, "iss": issuer, "aud": audience, "scope": "kafka",
		"iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
	}))
	sum := sha256.Sum256([]byte(head + "." + body))
	sig, err := rsa.SignPKCS1v15(rand.Reader, b.tokens, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatalf("sign a token: %v", err)
	}
	return head + "." + body + "." + encode(sig)
}

func newAuthority(t testing.TB) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "kafkatest authority"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatalf("make the authority: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("make the authority: %v", err)
	}
	return key, cert
}

// issue returns a certificate and its key in PEM.
func (b *Broker) issue(t testing.TB, name string, use x509.ExtKeyUsage) (cert, key []byte) {
	t.Helper()
	private := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, b.ca, private.Public(), b.caKey)
	if err != nil {
		t.Fatalf("issue a certificate: %v", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatalf("issue a certificate: %v", err)
	}
	return pemBlock("CERTIFICATE", der), pemBlock("PRIVATE KEY", pkcs8)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	return key
}

func pemBlock(kind string, der []byte) []byte {
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: kind, Bytes: der}) // a buffer takes everything
	return out.Bytes()
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return out
}
