package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"portcullis/server"
	"portcullis/storage"
)

// Times of the server's life.
const (
	drainTime         = 15 * time.Second // for answers under way when the server ends: longer than a request may take to arrive (server.HTTPServer)
	housekeepingEvery = time.Minute
)

// mostConnections are held by the public listener, each in some ten kilobytes, however many file handles there are.
const mostConnections = 16384

func (a *app) serveCommand() *cobra.Command {
	flags := map[string]*string{}
	c := &cobra.Command{Use: "serve", Short: "Run the server", Args: args(cobra.NoArgs)}
	for key, help := range map[string]string{"issuer": "over issuer of the configuration", "listen": "over listen", "admin_listen": "over admin_listen",
		"database": "over database", "policies": "over policies"} {
		flags[key] = c.Flags().String(flagName(key), "", help)
	}
	clockBack := c.Flags().Bool("allow-clock-back", false, "start although the last audit row is later than the clock says")
	followFolder := c.Flags().Bool("follow-folder", false, "put the policy folder (or bundle) in force, although others were activated by hand")
	olderBundle := c.Flags().Bool("allow-older-bundle", false, "take the policy bundle although a newer one was in force: this once")
	c.RunE = func(c *cobra.Command, _ []string) error {
		given := map[string]string{}
		for key, value := range flags {
			if c.Flags().Changed(flagName(key)) {
				given[key] = *value
			}
		}
		garbage := newCollector()
		garbage.set(startGC)
		config, err := a.load(given)
		if err != nil {
			return err
		}
		config.allowClockBack, config.followFolder, config.allowOlderBundle = *clockBack, *followFolder, *olderBundle
		return a.serve(c.Context(), config, garbage)
	}
	return c
}

// serve runs until ctx ends, and then ends in order.
func (a *app) serve(ctx context.Context, config Config, garbage *collector) error {
	config.log = a.logger(slog.LevelInfo)
	for _, w := range config.warnings {
		fmt.Fprintln(a.stderr, "warning:", w)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from the very start, or one that comes early would end the program
	defer signal.Stop(hangup)
	parts, err := wire(ctx, config)
	if err != nil {
		return err
	}
	parts.hangup = hangup
	listeners, err := listen(&config)
	if err != nil {
		return errors.Join(err, parts.store.Close())
	}
	fmt.Fprintf(a.stderr, "portcullis is ready: issuer %s, listening on %s, admin http://%s, policies %s\n",
		config.Issuer, listeners.public.Addr(), listeners.admin.Addr(), parts.engine.Status().Revision)
	go func() {
		debug.FreeOSMemory() // reading took several times of what is kept
		garbage.follow()
	}()
	return parts.run(ctx, listeners)
}

// logger writes for people on a terminal and for machines elsewhere.
func (a *app) logger(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if file, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return slog.New(slog.NewTextHandler(a.stderr, options))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, options))
}

// listeners are the open sockets of a server.
type listeners struct {
	public, admin, socket net.Listener
}

// adminConnections are enough for all who watch a server, and leave the file handles to those whom it serves: on loopback every program
// of the machine may connect.
const adminConnections = 16

// listen opens all sockets, or none.
func listen(c *Config) (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.public, err = net.Listen("tcp", c.Listen); err != nil {
		return l, badConfig("listen: %w", err)
	}
	l.public = server.LimitConnections(l.public, maxConnections(), c.manyBehind()...)
	if l.admin, err = net.Listen("tcp", c.AdminListen); err != nil {
		return l, badConfig("admin_listen: %w", err)
	}
	l.admin = server.LimitConnections(l.admin, adminConnections, c.manyBehind()...)
	l.socket, err = listenSocket(string(c.AdminSocket))
	return l, err
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.public, l.admin, l.socket} {
		if one != nil {
			_ = one.Close()
		}
	}
}

// lookThrough looks through the pages of a large database beside the work. Damage ends the server: who starts it again is told the
// same, after a crash before it serves. What keeps it from looking is no damage, and it tries again.
func lookThrough(work context.Context, log *slog.Logger, stop func(), look func(context.Context) error) error {
	for {
		err := look(work)
		if err == nil || work.Err() != nil {
			return nil
		}
		if errors.Is(err, storage.ErrCorrupt) {
			log.Error("the database is damaged, so the server ends", "error", err)
			stop()
			return err
		}
		log.Error("the database could not be looked through; that is tried again", "error", err)
		select {
		case <-work.Done():
			return nil
		case <-time.After(housekeepingEvery):
		}
	}
}

// run serves until ctx ends, a listener fails or the database is found damaged. It ends in order: readyz says no, answers under way are finished, then the
// admin listener goes, then the database is emptied into its file and closed.
func (p *parts) run(ctx context.Context, l listeners) error {
	public, admin, socket := p.servers()
	work, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	start := func(serve func() error) {
		group.Go(func() error {
			defer stop() // one that fails ends them all
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	start(func() error {
		if public.TLSConfig != nil {
			return public.ServeTLS(l.public, "", "")
		}
		return public.Serve(l.public)
	})
	start(func() error { return admin.Serve(l.admin) })
	start(func() error { return socket.Serve(l.socket) })
	start(func() error { return p.watch(work) })
	start(func() error { p.keepHouse(work); return nil })
	if p.bundle != nil && p.bundle.woken != nil {
		start(func() error { p.pollBundle(work); return nil })
	}
	if p.shadow != nil {
		start(func() error { p.shadow.Run(work); return nil })
	}
	group.Go(func() error { return lookThrough(work, p.config.log, stop, p.store.CheckPages) })

	<-work.Done()
	p.draining.Store(true)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	var problems []error
	for _, s := range []*http.Server{public, socket, admin} {
		if err := s.Shutdown(drain); err != nil {
			problems = append(problems, err, s.Close())
		}
	}
	problems = append(problems, group.Wait(), p.store.Close())
	return errors.Join(problems...)
}

func (p *parts) servers() (public, admin, socket *http.Server) {
	public = server.HTTPServer("", p.public)
	if p.certificate.Load() != nil {
		public.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.certificate.Load(), nil
		}}
	}
	admin = server.HTTPServer("", p.admin)
	admin.SetKeepAlivesEnabled(false) // it holds few connections, and a program that rests on one would keep others out
	socket = server.HTTPServer("", adminSocketHandler(people{p.store}, generations{p}, p.config.log))
	for _, s := range []*http.Server{public, admin, socket} {
		s.ErrorLog = slog.NewLogLogger(p.config.log.Handler(), slog.LevelWarn)
	}
	return public, admin, socket
}

// watch reloads policies and certificate whenever there is cause.
func (p *parts) watch(ctx context.Context) error {
	r := &reloader{shadow: string(p.config.PoliciesShadow), hangup: p.hangup, reload: p.reload, log: p.config.log}
	switch p.config.bundleAt() {
	case bundleFile:
		r.file = string(p.config.Policies)
	case noBundle:
		r.folder = string(p.config.Policies)
	}
	return r.run(ctx)
}

// keepHouse clears away what has outlived its use and rotates keys that are due.
func (p *parts) keepHouse(ctx context.Context) {
	tick := time.NewTicker(housekeepingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := p.store.Housekeeping(ctx); err != nil && ctx.Err() == nil {
			p.config.log.Error("housekeeping failed and is tried again", "error", err)
		}
		if err := p.keys.RotateDue(ctx); err != nil && ctx.Err() == nil {
			p.config.log.Error("key rotation failed and is tried again", "error", err)
		}
	}
}
