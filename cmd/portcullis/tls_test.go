//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTLSFromFilesAndANewCertificateWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	address := freeAddress(t)
	renew := func() []byte {
		der := writeCertificate(t, dir)
		return der
	}
	first := renew()
	file := site(t, "tls: {cert: "+dir+"/c.pem, key: "+dir+"/k.pem}\n")
	s := serve(t, file, "--issuer", "https://"+address, "--listen", address)
	presented := func() string {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // the test compares the certificate itself
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return string(conn.ConnectionState().PeerCertificates[0].Raw)
	}
	if presented() != string(first) {
		t.Fatal("another certificate is presented")
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
	second := renew()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, presented, func(got string) bool { return got == string(second) })
	write(t, filepath.Join(dir, "c.pem"), "garbage", 0o600)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, s.stderr.String, func(log string) bool { return strings.Contains(log, "tls: ") })
	if presented() != string(second) {
		t.Error("a certificate that cannot be read replaced the good one")
	}
}

// writeCertificate makes a new certificate for 127.0.0.1 as c.pem and k.pem.
func writeCertificate(t *testing.T, dir string) []byte {
	t.Helper()
	pair := newTestCertificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "c.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})), 0o600)
	write(t, filepath.Join(dir, "k.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), 0o600)
	return pair.Certificate[0]
}

// newTestCertificate signs itself.
func newTestCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
