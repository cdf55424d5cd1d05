package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"portcullis/policies"
)

func (a *app) policyBuildCommand() *cobra.Command {
	var o policies.BuildOptions
	var catalogue, key, id, algorithm string
	c := &cobra.Command{Use: "build DIR FILE", Short: "Make an OPA bundle of a policy folder, and sign it", Args: args(cobra.ExactArgs(2)),
		Long: `Make an OPA bundle (.tar.gz) of a policy folder, for servers whose policies: names
the bundle or its URL. The folder is checked and tested first, as a server does it;
exit code 2 if a server would not take it, and then FILE stays as it is.

Servers take no bundle with an older revision than the one before: it is a whole
number, or a time, which is the default. With --signing-key every file is signed.`}
	c.Flags().StringVar(&o.Revision, "revision", "", "a number or a time as in RFC 3339, greater than the one before (default: now)")
	c.Flags().StringVar(&key, "signing-key", "", "private key in PEM: RSA, or one of the curves P-256, P-384, P-521")
	c.Flags().StringVar(&id, "signing-key-id", "", "name of the key, for servers that demand one (bundle.key_id)")
	c.Flags().StringVar(&algorithm, "signing-alg", "", "RS256 … RS512, PS256 … PS512 or ES256 … ES512 (default: what is usual for the key)")
	a.catalogueFlag(c, &catalogue)
	noDefaults := defaultsFlag(c)
	c.RunE = func(c *cobra.Command, given []string) error {
		var err error
		if o.NoDefaults, err = noDefaults(); err != nil {
			return err
		}
		if o.Catalogue, err = a.catalogue(c, catalogue); err != nil {
			return err
		}
		if o.Signer, err = signer(key, id, algorithm); err != nil {
			return err
		}
		if o.Revision == "" {
			o.Revision = time.Now().UTC().Format(time.RFC3339)
		}
		if !policies.Bundled(given[1]) {
			return usageError("%s must end with .tar.gz, by which servers know a bundle", given[1])
		}
		archive, report, err := policies.Build(c.Context(), given[0], o)
		if err != nil {
			return &exitCode{code: exitUsage, err: err}
		}
		if err := replaceFile(given[1], archive); err != nil {
			return err
		}
		how := "not signed"
		if key != "" {
			how = "signed"
		}
		_, err = fmt.Fprintf(a.stdout, "%s: revision %s, %s, %s passed, %s\n", given[1], report.Revision.Name, count(report.Files, "file"), count(report.Tests, "test"), how)
		return err
	}
	return c
}

// signer reads the key that signs; without a file nothing is signed.
func signer(file, id, algorithm string) (policies.BundleSigner, error) {
	if file == "" {
		if id != "" || algorithm != "" {
			return policies.BundleSigner{}, usageError("--signing-key-id and --signing-alg are about --signing-key")
		}
		return policies.BundleSigner{}, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return policies.BundleSigner{}, err
	}
	s, err := policies.NewBundleSigner(string(text), id, algorithm)
	if err != nil {
		return s, usageError("%s %v", file, err)
	}
	return s, nil
}

// replaceFile puts a whole file in the place of another, which a server may be reading.
func replaceFile(name string, data []byte) error {
	draft, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = draft.Write(data)
	err = errors.Join(err, draft.Chmod(0o644), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft.Name()))
	}
	return nil
}
