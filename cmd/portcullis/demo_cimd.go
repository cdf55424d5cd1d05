package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// agentIdentity is what makes the demo's agent a client: its client id metadata document, served over https on loopback,
// and the address where it takes the answers of authorization requests.
type agentIdentity struct {
	clientID string // the document's URL
	redirect string // with the port that it listens on now
	caFile   string // the ephemeral CA, for the fetcher that is told to trust it

	answers chan url.Values // queries that came to the redirect URI
	servers []*http.Server

	mu      sync.Mutex
	fetches int // of the document
	leaks   int // requests to the redirect URI that carried a cookie
}

// The life of the ephemeral certificates. The demo makes new ones at each start.
const identityLife = 30 * 24 * time.Hour

// newAgentIdentity listens on two loopback ports and writes the CA certificate to caFile.
func newAgentIdentity(caFile string) (*agentIdentity, error) {
	documents, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	callback, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, documents.Close())
	}
	a := &agentIdentity{caFile: caFile, answers: make(chan url.Values, 4),
		clientID: "https://" + documents.Addr().String() + "/agent/client.json",
		redirect: "http://" + callback.Addr().String() + "/callback"}
	certificate, err := ephemeralCertificate(caFile)
	if err != nil {
		return nil, errors.Join(err, documents.Close(), callback.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /agent/client.json", a.document)
	serve := tls.NewListener(documents, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	a.serve(serve, mux)
	back := http.NewServeMux()
	back.HandleFunc("GET /callback", a.takeAnswer)
	a.serve(callback, back)
	return a, nil
}

func (a *agentIdentity) serve(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	a.servers = append(a.servers, s)
	go func() { _ = s.Serve(l) }() // ends with Close
}

func (a *agentIdentity) close() error {
	var errs []error
	for _, s := range a.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// document is the client id metadata document. The redirect URI has no port: any port of the loopback interface matches
// (RFC 8252 §7.3).
func (a *agentIdentity) document(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	a.fetches++
	a.mu.Unlock()
	text, err := json.Marshal(map[string]any{
		"client_id": a.clientID, "client_name": "Demo agent", "redirect_uris": []string{"http://127.0.0.1/callback"},
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
		"token_endpoint_auth_method": "none", "application_type": "native",
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(text)
}

// takeAnswer is the redirect URI.
func (a *agentIdentity) takeAnswer(w http.ResponseWriter, r *http.Request) {
	if len(r.Cookies()) > 0 {
		a.mu.Lock()
		a.leaks++
		a.mu.Unlock()
	}
	select {
	case a.answers <- r.URL.Query():
	default: // nobody waits for that many
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte("<!doctype html><title>Done</title><h1>Done</h1><p>You can close this page.</p>"))
}

// answer waits for what the browser brings back to the redirect URI.
func (a *agentIdentity) answer(ctx context.Context) (url.Values, error) {
	select {
	case q := <-a.answers:
		return q, nil
	case <-time.After(5 * time.Second):
		return nil, errors.New("the browser did not come back to the agent's redirect URI")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *agentIdentity) seen() (fetches, leaks int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetches, a.leaks
}

// ephemeralCertificate makes a CA that exists for this run only, and with it a certificate for 127.0.0.1. The CA's key is
// forgotten at once; its certificate goes to caFile.
func ephemeralCertificate(caFile string) (tls.Certificate, error) {
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Portcullis demo CA"}, NotBefore: now.Add(-time.Minute),
		NotAfter: now.Add(identityLife), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, MaxPathLenZero: true}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Portcullis demo agent"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, os.WriteFile(caFile, text, 0o600)
}
