package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// bundleServer publishes a bundle as any web server would: over TLS, with an ETag, behind a bearer token.
type bundleServer struct {
	*httptest.Server
	ca, token string // files

	mu               sync.Mutex
	archive          []byte
	status           int // 0 = as usual
	untagged         bool
	whole, unchanged int // answers 200 and 304
	denied           int // answers 401
}

func newBundleServer(t *testing.T, archive []byte) *bundleServer {
	t.Helper()
	dir := t.TempDir()
	s := &bundleServer{archive: archive, ca: filepath.Join(dir, "ca.pem"), token: filepath.Join(dir, "token")}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	write(t, s.ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})), 0o600)
	write(t, s.token, "0123456789abcdef\n", 0o600)
	return s
}

func (s *bundleServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest := sha256.Sum256(s.archive)
	tag := `"` + hex.EncodeToString(digest[:]) + `"`
	if !s.untagged {
		w.Header().Set("ETag", tag)
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer 0123456789abcdef":
		s.denied++
		w.WriteHeader(http.StatusUnauthorized)
	case s.status != 0:
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(s.status)
	case r.Header.Get("If-None-Match") == tag:
		s.unchanged++
		w.WriteHeader(http.StatusNotModified)
	default:
		s.whole++
		_, _ = w.Write(s.archive)
	}
}

// publish changes what is served; nil keeps the archive.
func (s *bundleServer) publish(archive []byte, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if archive != nil {
		s.archive = archive
	}
	s.status = status
}

func (s *bundleServer) answers() (whole, unchanged, denied int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole, s.unchanged, s.denied
}

// site is a configuration that follows the server.
func (s *bundleServer) site(t *testing.T, p bundler) string {
	t.Helper()
	return site(t, "policies: "+s.URL+"/policy?signature=s3cr3t\nbundle: {public_key_file: "+p.keyFile(t)+", ca_file: "+s.ca+", token_file: "+s.token+", poll: 1s}\n")
}

func (s *bundleServer) polled(t *testing.T) {
	t.Helper()
	_, before, _ := s.answers()
	for begin := time.Now(); ; time.Sleep(30 * time.Millisecond) {
		if _, now, _ := s.answers(); now > before {
			return
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal("nobody asks whether the bundle has changed")
		}
	}
}

// G7 over https.
func TestABundleOfAURLIsFollowed(t *testing.T) {
	p := newBundler(t)
	publisher := newBundleServer(t, p.bundle(t, "7", "never"))
	file := publisher.site(t, p)
	s := serve(t, file)
	begun := statusOf(t, file, "status")
	if begun.Origin != "bundle 7" || begun.Stale || begun.Bundle.Source != publisher.URL+"/policy?…" || begun.Tests != 1 {
		t.Fatalf("at the start: %+v", begun)
	}
	publisher.polled(t)
	publisher.polled(t)
	if again := statusOf(t, file, "status"); !again.ActivatedAt.Equal(begun.ActivatedAt) || !again.Bundle.LookedAt.After(begun.Bundle.LookedAt) {
		t.Errorf("unchanged: %+v, before %+v", again, begun)
	}
	if whole, _, denied := publisher.answers(); whole != 1 || denied != 0 {
		t.Errorf("%d whole answers, %d denied", whole, denied)
	}
	if n := rowsOf(t, file, `"policy.activated"`); n != 1 {
		t.Errorf("%d activations on record", n)
	}
	publisher.publish(p.bundle(t, "8", "other"), 0)
	eight := inForce(t, file, "8")
	publisher.publish(nil, http.StatusInternalServerError)
	stays(t, file, "cannot be had: fetch: status 500", eight)
	publisher.publish(nil, http.StatusFound)
	stays(t, file, "redirects are not followed", eight)
	publisher.publish([]byte("<html>please log in</html>"), 0)
	stays(t, file, "is no .tar.gz archive", eight)
	publisher.publish(newBundler(t).bundle(t, "9", "other"), 0)
	stays(t, file, "not of the key", eight)
	publisher.polled(t) // the same again is no news
	publisher.publish(p.bundle(t, "7", "never"), 0)
	stays(t, file, "older than 8", eight)
	refusals(t, file, 3)
	publisher.publish(p.bundle(t, "8", "other"), 0)
	inForce(t, file, "8")
	write(t, publisher.token, "another\n", 0o600)
	stays(t, file, "bundle.token_file names the file", eight)
	write(t, publisher.token, "0123456789abcdef", 0o600)
	inForce(t, file, "8")
	if text := s.stderr.String() + readyz(t, s); strings.Contains(text, "s3cr3t") || strings.Contains(text, "0123456789abcdef") {
		t.Errorf("a secret is shown:\n%s", text)
	}
}

func TestAServerStartsWithTheLastBundleWhenThePublisherIsAway(t *testing.T) {
	p := newBundler(t)
	publisher := newBundleServer(t, p.bundle(t, "7", "never"))
	file := publisher.site(t, p)
	publisher.publish(nil, http.StatusServiceUnavailable)
	if code, stderr := refusedToServe(t, file); code != 1 || !strings.Contains(stderr, "the policy bundle cannot be had: fetch: status 503") {
		t.Fatalf("without any bundle: exit code %d: %s", code, stderr)
	}
	publisher.publish(nil, 0)
	s := serve(t, file)
	publisher.publish(p.bundle(t, "8", "other"), 0)
	eight := inForce(t, file, "8")
	s.stop()
	publisher.publish(nil, http.StatusServiceUnavailable)
	s = serve(t, file)
	stays(t, file, "status 503", eight)
	if !strings.Contains(readyz(t, s), `"stale":true`) {
		t.Errorf("/readyz says %s", readyz(t, s))
	}
	publisher.publish(p.bundle(t, "7", "never"), 0) // nobody has forgotten 8
	stays(t, file, "older than 8", eight)
	publisher.publish(p.bundle(t, "9", "third"), 0)
	inForce(t, file, "9")
	s.stop()
	publisher.publish(newBundler(t).bundle(t, "10", "third"), 0)
	if code, stderr := refusedToServe(t, file); code != 78 || !strings.Contains(stderr, "not of the key") {
		t.Errorf("a bundle of a stranger: exit code %d: %s", code, stderr)
	}
	// Another key, because the old one is no longer trusted: what it signed is not put in force again.
	withAnotherKey(t, file)
	publisher.publish(nil, http.StatusServiceUnavailable)
	if code, stderr := refusedToServe(t, file); code != 1 || !strings.Contains(stderr, "cannot be had") {
		t.Errorf("another key: exit code %d: %s", code, stderr)
	}
}

// TestTheSameBundleIsNoNews, also of a server that knows no ETag.
func TestTheSameBundleIsNoNews(t *testing.T) {
	p := newBundler(t)
	publisher := newBundleServer(t, p.bundle(t, "7", "never"))
	publisher.untagged = true
	file := publisher.site(t, p)
	serve(t, file)
	begun := statusOf(t, file, "status")
	for begin := time.Now(); ; time.Sleep(30 * time.Millisecond) {
		if whole, _, _ := publisher.answers(); whole >= 3 {
			break
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal("nobody asks again")
		}
	}
	if again := statusOf(t, file, "status"); !again.ActivatedAt.Equal(begun.ActivatedAt) || rowsOf(t, file, `"policy.activated"`) != 1 {
		t.Errorf("%+v, before %+v", again, begun)
	}
	publisher.publish(p.bundle(t, "8", "other"), 0)
	inForce(t, file, "8")
}

// TestWhatIsInForceByHandNeedsNoPublisher to start, and is not stale when the publisher is away.
func TestWhatIsInForceByHandNeedsNoPublisher(t *testing.T) {
	p := newBundler(t)
	publisher := newBundleServer(t, p.bundle(t, "7", "never"))
	file := publisher.site(t, p)
	s := serve(t, file)
	byHand := statusOf(t, file, "activate", denyTool(t, t.TempDir(), "other"))
	s.stop()
	publisher.publish(nil, http.StatusServiceUnavailable)
	s = serve(t, file)
	if now := statusOf(t, file, "status"); now.Revision != byHand.Revision || now.Stale || !strings.Contains(now.Bundle.Error, "status 503") {
		t.Errorf("%+v", now)
	}
	s.stop()
	withAnotherKey(t, file)
	serve(t, file)
	if code, _, stderr := command(t, "", "policy", "activate", "--config", file); code != 2 || !strings.Contains(stderr, "cannot be had: fetch: status 503") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if now := statusOf(t, file, "status"); now.Revision != byHand.Revision || now.Origin != byHand.Origin {
		t.Errorf("%+v", now)
	}
}

// withAnotherKey changes the key of bundles in a configuration.
func withAnotherKey(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "public_key_file: ")
	old, _, _ := strings.Cut(rest, ",")
	write(t, file, strings.Replace(string(text), old, newBundler(t).keyFile(t), 1), 0o600)
}

// TestTheLastBundleCanBeFollowedAgain while the publisher is away.
func TestTheLastBundleCanBeFollowedAgain(t *testing.T) {
	p := newBundler(t)
	publisher := newBundleServer(t, p.bundle(t, "7", "never"))
	file := publisher.site(t, p)
	s := serve(t, file)
	statusOf(t, file, "activate", denyTool(t, t.TempDir(), "other"))
	s.stop()
	publisher.publish(nil, http.StatusServiceUnavailable)
	serve(t, file)
	if s := statusOf(t, file, "activate"); s.Origin != "bundle 7" || !s.Stale || !strings.Contains(s.Error, "status 503") {
		t.Errorf("%+v", s)
	}
	publisher.publish(nil, 0)
	inForce(t, file, "7")
}

func TestFaultsInTheConfigurationOfAURL(t *testing.T) {
	key := newBundler(t).keyFile(t)
	for _, tt := range []struct{ policies, bundle, want string }{
		{"https://policies.example/b", "{}", "2:11 policies is a URL, so that bundle.public_key_file must name the public key"},
		{"http://policies.example/b", "{public_key_file: " + key + "}", "2:11 policies with http:// is for loopback only"},
		{"ftp://policies.example/b", "{public_key_file: " + key + "}", "2:11 policies must be a folder, an OPA bundle (.tar.gz), or the https:// URL of one"},
		{"https:///b", "{public_key_file: " + key + "}", "2:11 policies must be a folder"},
		{"https://me:pw@policies.example/b", "{public_key_file: " + key + "}", "2:11 policies must have no user information"},
		{"https://policies.example/b#x", "{public_key_file: " + key + "}", "2:11 policies must have no user information and no fragment"},
		{"https://policies.example/b", "{poll: 10ms, public_key_file: " + key + "}", "3:16 bundle.poll must be from 1s to 24h"},
		{"https://policies.example/b", "{token_file: nowhere, public_key_file: " + key + "}", "3:22 bundle.token_file: "},
		{"b.tar.gz", "{poll: 1m, public_key_file: " + key + "}", "2:11 policies: "},
		{"https://policies.example/b?x=y", "{poll: 10s, public_key_file: " + key + "}", ""},
		{"http://127.0.0.1:9/b", "{public_key_file: " + key + "}", ""},
	} {
		c, err := load(t, "issuer: https://auth.example.com\npolicies: "+tt.policies+"\nbundle: "+tt.bundle+"\n")
		if got := strings.Join(faults(err), "; "); tt.want == "" && (err != nil || string(c.Policies) != tt.policies) || tt.want != "" && !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s %s: %s, want %s", tt.policies, tt.bundle, got, tt.want)
		}
	}
}

func TestPausesGrowUpToThePoll(t *testing.T) {
	for failures, want := range []time.Duration{time.Minute, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute} {
		if got := pause(time.Minute, failures); got < want || got > want+want/10 {
			t.Errorf("after %d failures: %v, want %v and a tenth at most", failures, got, want)
		}
	}
	if got := pause(time.Minute, 1_000_000); got < time.Minute {
		t.Error(got)
	}
}

// TestAURLCanStandInTheEnvironment: names that end with _FILE are no secrets to be read when a key has that name.
func TestAURLCanStandInTheEnvironment(t *testing.T) {
	key := newBundler(t).keyFile(t)
	c, err := load(t, "issuer: https://auth.example.com\n", "PORTCULLIS_POLICIES=https://policies.example/b", "PORTCULLIS_BUNDLE__PUBLIC_KEY_FILE="+key, "PORTCULLIS_BUNDLE__TOKEN_FILE="+key,
		"PORTCULLIS_BUNDLE__POLL=5s")
	if err != nil || c.Policies != "https://policies.example/b" || string(c.Bundle.PublicKeyFile) != key || string(c.Bundle.TokenFile) != key || c.Bundle.Poll != 5*time.Second {
		t.Errorf("%v %+v", err, c.Bundle)
	}
}
