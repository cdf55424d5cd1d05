package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"portcullis/oauth"
	"portcullis/server"
	"portcullis/storage"
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	listen string
	given  bool   // listen was chosen, so no other port will do
	data   string // "" = a temporary folder that goes with the demo
	once   bool
}

// demoListen is where the demo listens unless told otherwise.
const demoListen = "127.0.0.1:8080"

func (a *app) demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{Use: "demo", Short: "Run everything on this computer and walk an MCP client through it", Args: args(cobra.NoArgs)}
	c.Long = "Starts Portcullis and a sample MCP server on loopback, leads an agent through login, consent, calls, step-up, refresh\n" +
		"and revocation, shows every answer with the rule that decided it, and then keeps serving for you to try."
	c.Flags().StringVar(&o.listen, "listen", demoListen, "loopback address; without this flag the next free port is taken")
	c.Flags().StringVar(&o.data, "data", "", "folder that keeps database and policies (default: a temporary one, removed at the end)")
	c.Flags().BoolVar(&o.once, "once", false, "end after the walk")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.given = c.Flags().Changed("listen")
		return a.demo(c.Context(), o)
	}
	return c
}

// demo is the whole of it: the folder, the sockets, Portcullis, the sample MCP server, the walk, and then serving on.
func (a *app) demo(ctx context.Context, o demoOptions) (err error) {
	d, err := a.prepareDemo(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	defer survivePipe()()
	if err := d.start(ctx); err != nil {
		return err
	}
	out := newPrinter(a.stdout)
	d.introduce(out)
	if err := d.walk(ctx, out); err != nil {
		return err
	}
	if o.once || out.err != nil {
		return out.err
	}
	d.invite(out)
	return errors.Join(d.follow(ctx, out), out.err)
}

// survivePipe makes a write to a closed pipe an error. Otherwise "portcullis demo | head" would die and leave its folder.
func survivePipe() (stop func()) {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// walkTime is how long the walk may take. It takes about a second.
const walkTime = time.Minute

// walk leads the agent and prints the audit trail of it.
func (d *demonstration) walk(ctx context.Context, out *printer) error {
	ctx, cancel := context.WithTimeout(ctx, walkTime)
	defer cancel()
	begun := time.Now()
	last, err := lastAuditRow(ctx, d.parts.store.Audit())
	if err != nil {
		return err
	}
	w := &walk{out: out, alice: d.alice, bob: d.bob}
	if err := w.run(ctx, d.endpoint, d.identity); err != nil {
		return fmt.Errorf("the walk failed at %w", err)
	}
	out.chapter("The audit trail of this walk", "each row was on disk before its answer left")
	if _, err := printAudit(ctx, out, d.parts.store.Audit(), last); err != nil {
		return err
	}
	out.line("")
	out.line(" %s every step came out as it should, in %.1f s", out.paint(styleGreen, "✓"), time.Since(begun).Seconds())
	return nil
}

// follow prints each new audit row until the demo ends, so that everybody sees what their own client does.
func (d *demonstration) follow(ctx context.Context, out *printer) error {
	audit := d.parts.store.Audit()
	last, err := lastAuditRow(ctx, audit)
	if err != nil {
		return err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.ended:
			d.ended <- err // close waits for it too
			return errors.Join(errors.New("the server ended by itself"), err)
		case <-tick.C:
		}
		if last, err = printAudit(ctx, out, audit, last); err != nil && ctx.Err() == nil {
			return err
		}
		if out.err != nil {
			return nil // nobody listens; the caller tells
		}
	}
}

// introduce says what runs where.
func (d *demonstration) introduce(out *printer) {
	out.line("")
	out.line(" %s  %s", out.paint(styleBold, "Portcullis demo"), out.paint(styleDim, "an authorization server, an MCP server and an agent, on this computer only"))
	out.line("")
	out.fact("Portcullis", d.parts.config.Issuer)
	out.fact("MCP server", d.endpoint)
	out.fact("decisions", d.parts.config.Issuer+oauth.PathEvaluation)
	out.fact("", "resource "+d.sample.key+", secret "+d.sample.secret)
	out.fact("policies", string(d.parts.config.Policies))
	out.fact("scopes", "shown without "+scopeDomain+", with which all of this server's begin")
}

// invite says how to go on by hand.
func (d *demonstration) invite(out *printer) {
	out.chapter("Your turn", "this stays up until Ctrl-C")
	out.fact("alice", d.alice.password+"   "+groupsOf(d.alice))
	out.fact("bob", d.bob.password+"   "+groupsOf(d.bob))
	out.fact("account", d.parts.config.Issuer+"/ui/account")
	out.fact("admin", "http://"+d.listeners.admin.Addr().String()+"/metrics")
	out.fact("policies", string(d.parts.config.Policies))
	out.fact("", "change transfer_limit in config.yaml there: the next call is decided by it")
	out.line("")
	out.line("   Add the MCP server to a client, with a command or as JSON:")
	out.line("")
	out.line("   %s", out.paint(styleCyan, "claude mcp add --transport http portcullis-demo "+d.endpoint))
	out.line("   %s", out.paint(styleCyan, fmt.Sprintf(`{"mcpServers": {"portcullis-demo": {"type": "http", "url": %q}}}`, d.endpoint)))
	out.line("")
	out.line("   %s", out.paint(styleYellow, "This is a demo: loopback only, http, passwords of this run, a database that serve refuses."))
	out.chapter("What happens now", "one row for each answer")
}

// lastAuditRow is the number of the newest row, 0 without rows.
func lastAuditRow(ctx context.Context, audit storage.Audit) (int64, error) {
	rows, err := audit.Tail(ctx, 1)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0].Seq, nil
}

// printAudit prints the rows after last and returns the number of the newest.
func printAudit(ctx context.Context, out *printer, audit storage.Audit, last int64) (int64, error) {
	for row, err := range audit.Since(ctx, last) {
		if err != nil {
			return last, err
		}
		out.audit(row)
		last = row.Seq
	}
	return last, nil
}

// start brings everything up.
func (d *demonstration) start(ctx context.Context) error {
	var err error
	if d.parts, err = wire(ctx, d.config); err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	go func() { d.ended <- d.parts.run(serving, d.listeners) }()
	handler, err := d.sample.handler()
	if err != nil {
		return err
	}
	d.tools = server.HTTPServer("", handler)
	go func() { _ = d.tools.Serve(d.toolsListener) }() // ends with Close
	return nil
}
