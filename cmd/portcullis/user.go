package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/oauth"
	"portcullis/storage"
)

func (a *app) userCommand() *cobra.Command {
	var groups []string
	add := &cobra.Command{Use: "add NAME", Short: "Add a user; the password is asked for, or read from standard input", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error { return a.userAdd(c.Context(), given[0], groups) }}
	add.Flags().StringSliceVar(&groups, "group", nil, "a group of the user; may be given several times")
	a.outputFlag(add)
	passwd := &cobra.Command{Use: "passwd NAME", Short: "Replace a user's password and end the user's sessions", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error { return a.userPasswd(c.Context(), given[0]) }}
	disable := &cobra.Command{Use: "disable NAME", Short: "Disable a user and end everything that was granted", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error { return a.userDisable(c.Context(), given[0]) }}
	hash := &cobra.Command{Use: "hash", Short: "Read a password and print its hash for password_hash in the configuration", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.userHash() }}
	return noun("user", "People who can log in", add, passwd, disable, hash)
}

func (a *app) userAdd(ctx context.Context, name string, groups []string) error {
	config, err := a.load(nil)
	if err != nil {
		return err
	}
	hash, err := a.newPasswordHash()
	if err != nil {
		return err
	}
	return withUsers(ctx, &config, func(users userAdmin) error {
		user, err := users.add(ctx, name, groups, hash)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return json.NewEncoder(a.stdout).Encode(userAnswer{ID: user.ID, Name: user.Name, Groups: groups})
		}
		fmt.Fprintf(a.stderr, "The user %s was added%s.\n", user.Name, inGroups(groups))
		_, err = fmt.Fprintln(a.stdout, user.ID)
		return err
	})
}

func inGroups(groups []string) string {
	if len(groups) == 0 {
		return ""
	}
	return " to " + strings.Join(groups, ", ")
}

func (a *app) userPasswd(ctx context.Context, name string) error {
	config, err := a.load(nil)
	if err != nil {
		return err
	}
	hash, err := a.newPasswordHash()
	if err != nil {
		return err
	}
	return withUsers(ctx, &config, func(users userAdmin) error {
		if err := users.setPassword(ctx, name, hash); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "The password of %s was replaced; the user must log in again.\n", name)
		return nil
	})
}

func (a *app) userDisable(ctx context.Context, name string) error {
	config, err := a.load(nil)
	if err != nil {
		return err
	}
	return withUsers(ctx, &config, func(users userAdmin) error {
		if err := users.disable(ctx, name); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "The user %s is disabled; sessions, grants and tokens have ended.\n", name)
		return nil
	})
}

func (a *app) userHash() error {
	hash, err := a.newPasswordHash()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, hash)
	return err
}

func (a *app) newPasswordHash() (string, error) {
	password, err := a.readPassword()
	if err != nil {
		return "", err
	}
	return oauth.HashPassword(password)
}

// withUsers runs work against the running server, or on the database itself when no server runs.
func withUsers(ctx context.Context, config *Config, work func(userAdmin) error) (err error) {
	if server := dialAdmin(ctx, string(config.AdminSocket)); server != nil {
		return plain(work(server))
	}
	key, err := serverKey(config)
	if err != nil {
		return err
	}
	store, err := storage.Open(ctx, storage.Config{Path: string(config.Database), ServerKey: key})
	if errors.Is(err, storage.ErrLocked) {
		return fmt.Errorf("a server holds the database %s but does not answer on the admin socket %s; use the same configuration as that server", config.Database, config.AdminSocket)
	} else if err != nil {
		return openError(err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return plain(work(people{store}))
}

// plain is an error as a person at a terminal reads it: without the protocol's word.
func plain(err error) error {
	var e *oauth.Error
	if errors.As(err, &e) && errors.Unwrap(e) == nil {
		return errors.New(e.Description)
	}
	return err
}

// openError tells faults that the operator must cure (exit code 78) from others.
func openError(err error) error {
	for _, cure := range []error{storage.ErrConfig, storage.ErrWrongKey, storage.ErrDemo, storage.ErrPermissions, storage.ErrTooNew} {
		if errors.Is(err, cure) {
			return badConfig("%w", err)
		}
	}
	return err
}
