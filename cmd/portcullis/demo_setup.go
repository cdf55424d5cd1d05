package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"portcullis/oauth"
	"portcullis/policies"
)

// demonstration is what a demo runs on.
type demonstration struct {
	folder        string
	temporary     string // removed at the end
	config        Config
	alice, bob    demoPerson
	endpoint      string // of the sample MCP server
	sample        *sampleServer
	identity      *agentIdentity
	listeners     listeners
	toolsListener net.Listener

	parts *parts // from here on: set by start
	tools *http.Server
	stop  context.CancelFunc
	ended chan error // what parts.run returned
}

// prepareDemo makes the folder, opens all sockets and writes the configuration that a file would hold.
func (a *app) prepareDemo(o demoOptions) (d *demonstration, err error) {
	if err := onlyLoopback(o.listen); err != nil {
		return nil, err
	}
	d = &demonstration{folder: o.data, ended: make(chan error, 1),
		alice: demoPerson{name: "alice", password: demoPassword(), groups: []string{"staff"}}, bob: demoPerson{name: "bob", password: demoPassword()}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.temporary, err = os.MkdirTemp("", "portcullis-demo-"); err != nil {
		return d, err
	}
	if d.folder == "" {
		d.folder = d.temporary
	}
	if err = os.MkdirAll(d.folder, 0o700); err != nil {
		return d, err
	}
	if err = writeDemoPolicies(d.path("policy")); err != nil {
		return d, err
	}
	if d.identity, err = newAgentIdentity(d.path("demo-ca.pem")); err != nil {
		return d, err
	}
	if err = d.listen(o); err != nil {
		return d, err
	}
	return d, d.configure(a.logger(slog.LevelError))
}

func (d *demonstration) path(name string) string { return filepath.Join(d.folder, name) }

// demoPassword is a password for this run, short enough to type.
func demoPassword() string { return rand.Text()[:16] }

// onlyLoopback refuses addresses that others can reach: the demo has no TLS and prints its passwords.
func onlyLoopback(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isLoopback(host) {
		return usageError("the demo listens on this computer only; write --listen 127.0.0.1:PORT, not %q", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return usageError("--listen %q has no port number", address)
	}
	return nil
}

// listen opens all sockets. The sample server gets the port after Portcullis's, if it is free.
func (d *demonstration) listen(o demoOptions) (err error) {
	if d.listeners.public, err = listenFrom(o.listen, o.given); err != nil {
		return fmt.Errorf("--listen %s: %w; choose another port", o.listen, err)
	}
	if d.listeners.admin, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	if d.listeners.socket, err = listenSocket(filepath.Join(d.temporary, "admin.sock")); err != nil {
		return err
	}
	address := d.listeners.public.Addr().(*net.TCPAddr) // of a listener for "tcp"
	d.toolsListener, err = listenFrom(net.JoinHostPort(address.IP.String(), strconv.Itoa(min(address.Port+1, 65535))), false)
	return err
}

// nearPorts is how many ports after the wanted one are tried before any free one will do.
const nearPorts = 20

// listenFrom opens the address, or if it is not the only one that will do, the next free port.
func listenFrom(address string, only bool) (net.Listener, error) {
	first, err := net.Listen("tcp", address)
	if err == nil || only {
		return first, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	for next := number + 1; next <= min(number+nearPorts, 65535); next++ {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(next))); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

// configure is the configuration file that the demo would have.
func (d *demonstration) configure(log *slog.Logger) error {
	d.endpoint = "http://" + d.toolsListener.Addr().String() + "/mcp"
	resource := demoResource(d.endpoint, oauth.NewSecret())
	c := defaultConfig()
	c.demo, c.log = true, log
	c.Issuer = "http://" + d.listeners.public.Addr().String()
	c.Database, c.ServerKeyFile, c.Policies = filePath(d.path("portcullis.db")), filePath(d.path("portcullis.key")), filePath(d.path("policy"))
	c.Resources = []ResourceConfig{resource}
	c.Policy.Deadline = 2 * time.Second // a slow or busy computer should not change what the walk shows
	c.Registration.Mode = "open"        // for clients that have no metadata document
	c.CIMD.CAFile, c.CIMD.LoopbackURLs = filePath(d.identity.caFile), []string{d.identity.clientID}
	for _, p := range []demoPerson{d.alice, d.bob} {
		hash, err := oauth.HashPassword(p.password)
		if err != nil {
			return err
		}
		c.Users = append(c.Users, UserConfig{Name: p.name, PasswordHash: secret(hash), Groups: p.groups})
	}
	d.config = c
	d.sample = &sampleServer{resource: d.endpoint, issuer: c.Issuer, key: resource.Key, secret: string(resource.Secret), tools: demoTools(),
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	return nil
}

// demoResource is how the operator registers the sample server: its scopes, and which tool needs which.
func demoResource(id, clientSecret string) ResourceConfig {
	r := ResourceConfig{ID: id, Key: "demo", Name: "Demo tools", Secret: secret(clientSecret),
		Scopes: []ScopeConfig{
			{Name: scopeWeather, Description: "Read the weather", Risk: "low"},
			{Name: scopeCalendar, Description: "Read your calendar", Risk: "low"},
			{Name: scopeCRM, Description: "Write to customers' records"},
			{Name: scopeTransfer, Description: "Send money in your name", Risk: "high"},
		},
		BaselineScopes: []string{scopeWeather, scopeCalendar}}
	for _, t := range demoTools() {
		r.Tools = append(r.Tools, t.configured())
	}
	return r
}

// writeDemoPolicies fills the policy folder unless it is there: what somebody changed stays.
func writeDemoPolicies(folder string) error {
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := policies.DemoFiles()
	if err != nil {
		return err
	}
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		target := filepath.Join(folder, filepath.FromSlash(path))
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.MkdirAll(target, 0o700)
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o600)
	})
}

// close ends what runs and takes the temporary folder away. It works at every stage.
func (d *demonstration) close() error {
	var problems []error
	if d.tools != nil {
		problems = append(problems, d.tools.Close())
	}
	if d.stop != nil {
		d.stop()
		problems = append(problems, <-d.ended) // closes the listeners and the database
	} else {
		d.listeners.close()
	}
	if d.tools == nil && d.toolsListener != nil {
		problems = append(problems, d.toolsListener.Close())
	}
	if d.identity != nil {
		problems = append(problems, d.identity.close())
	}
	if d.temporary != "" {
		problems = append(problems, os.RemoveAll(d.temporary))
	}
	return errors.Join(problems...)
}
