package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"portcullis/storage"
)

func (a *app) auditCommand() *cobra.Command {
	var lines int
	var follow bool
	tail := &cobra.Command{Use: "tail", Short: "Print the last rows of the audit", Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.auditTail(c.Context(), lines, follow) }}
	tail.Flags().IntVarP(&lines, "lines", "n", 20, "how many rows")
	tail.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new rows until interrupted")
	a.outputFlag(tail)

	verify := &cobra.Command{Use: "verify", Short: "Check the chain of the audit and say what that proves", Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.auditVerify(c.Context()) }}
	a.outputFlag(verify)

	var format string
	var since int64
	export := &cobra.Command{Use: "export [FILE]", Short: "Write the audit as JSON lines to a file or standard output", Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if format != "jsonl" {
				return usageError("--format must be jsonl, not %q", format)
			}
			return a.auditExport(c.Context(), given, since)
		}}
	export.Flags().StringVar(&format, "format", "jsonl", "jsonl")
	export.Flags().Int64Var(&since, "since", 0, "only the rows after this number")
	return noun("audit", "The record of every answer", tail, verify, export)
}

// reader opens the database for reading, beside a running server or without one.
func (a *app) reader(ctx context.Context, withKey bool) (*storage.Reader, error) {
	config, err := a.load(nil)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(string(config.Database)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no database at %s yet; the server makes it when it starts", config.Database)
	}
	var key []byte
	if withKey {
		if key, err = serverKey(&config); err != nil {
			return nil, err
		}
	}
	reader, err := storage.OpenReader(ctx, string(config.Database), key)
	return reader, openError(err)
}

func (a *app) auditTail(ctx context.Context, lines int, follow bool) (err error) {
	if lines < 0 {
		return usageError("-n must not be negative")
	}
	reader, err := a.reader(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	rows, err := reader.Audit().Tail(ctx, max(lines, 1))
	if err != nil {
		return err
	}
	last := int64(0)
	for i, row := range rows {
		last = row.Seq
		if i < len(rows)-lines {
			continue
		}
		if err := a.printRow(row); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	return a.auditFollow(ctx, reader, last)
}

// followEvery is how often new rows are looked for.
const followEvery = 500 * time.Millisecond

func (a *app) auditFollow(ctx context.Context, reader *storage.Reader, last int64) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for row, err := range reader.Audit().Since(ctx, last) {
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				return err
			}
			last = row.Seq
			if err := a.printRow(row); err != nil {
				return err
			}
		}
	}
}

func (a *app) printRow(row storage.AuditRow) error {
	if a.output == "json" {
		line, err := row.MarshalJSON()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s\n", line)
		return err
	}
	_, err := fmt.Fprintln(a.stdout, auditLine(row))
	return err
}

// auditLine is a row for people: when, what, how it ended and why, who, with what.
func auditLine(row storage.AuditRow) string {
	e := row.Event
	var b strings.Builder
	fmt.Fprintf(&b, "%6d  %s  %-17s %-8s", row.Seq, e.Time.UTC().Format(time.DateTime), e.Type, e.Outcome)
	add := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%s", name, printable(value))
		}
	}
	if e.Reason != e.Outcome {
		add("reason", e.Reason)
	}
	who := e.Username
	if who == "" {
		who = e.SubjectID
	}
	add("user", who)
	add("client", e.ClientID)
	add("resource", e.ResourceID)
	if e.Tool != "" {
		add("tool", e.Tool)
	} else {
		add("action", e.Action)
	}
	add("rules", strings.Join(e.Rules, ","))
	add("scopes", strings.Join(e.Scopes, ","))
	add("id", e.DecisionID)
	return strings.TrimRight(b.String(), " ")
}

// printable keeps text from outside from moving the cursor or forging a line.
func printable(text string) string {
	quoted := fmt.Sprintf("%q", text)
	if inner := quoted[1 : len(quoted)-1]; inner == text && !strings.Contains(text, " ") {
		return text
	}
	return quoted
}

func (a *app) auditVerify(ctx context.Context) (err error) {
	reader, err := a.reader(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	progress, done := a.progress("verifying")
	report, err := reader.Audit().Verify(ctx, progress)
	done()
	if err != nil {
		return err
	}
	if a.output == "json" {
		err = json.NewEncoder(a.stdout).Encode(map[string]any{"ok": report.OK(), "rows": report.Rows, "last": report.Last, "bad": report.Bad, "statement": report.Statement()})
	} else {
		_, err = fmt.Fprintln(a.stdout, report.Statement())
	}
	if err == nil && !report.OK() {
		return &exitCode{code: exitError}
	}
	return err
}

func (a *app) auditExport(ctx context.Context, given []string, since int64) (err error) {
	reader, err := a.reader(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	out := a.stdout
	if len(given) == 1 {
		file, err := os.OpenFile(given[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists already and is not replaced", given[0])
		} else if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Sync(), file.Close()) }()
		out = file
	}
	buffered := bufio.NewWriter(out)
	progress, done := a.progress("exporting")
	last, err := reader.Audit().Export(ctx, buffered, since, progress)
	done()
	if err := errors.Join(err, buffered.Flush()); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "exported to row %d\n", last)
	return nil
}

// progressAfter is how long something may take before a bar appears.
const progressAfter = time.Second

// progress shows a bar on a terminal once the work takes long. done removes it.
func (a *app) progress(what string) (report func(done, total int64), done func()) {
	file, ok := a.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil, func() {}
	}
	var bar *progressbar.ProgressBar
	begun := time.Now()
	report = func(at, total int64) {
		if bar == nil && time.Since(begun) < progressAfter {
			return
		}
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(io.Writer(file)), progressbar.OptionSetDescription(what),
				progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set64(at) // a bar that cannot be drawn is no reason to stop
	}
	return report, func() {
		if bar != nil {
			_ = bar.Finish()
		}
	}
}
