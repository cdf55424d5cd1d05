package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"portcullis/storage"
)

// serverKeySize is the length of the server key in bytes.
const serverKeySize = 32

func (a *app) keyCommand() *cobra.Command {
	initialise := &cobra.Command{Use: "init [FILE]", Short: "Make the server key file (32 random bytes, readable by you alone)",
		Args: args(cobra.MaximumNArgs(1)), RunE: func(_ *cobra.Command, given []string) error {
			file := ""
			if len(given) == 1 {
				file = given[0]
			} else {
				config, err := a.load(nil)
				if err != nil {
					return err
				}
				file = string(config.ServerKeyFile)
			}
			if _, err := mintServerKey(file); err != nil {
				return err
			}
			fmt.Fprintln(a.stderr, "The key seals signing keys and the audit chain. Keep a copy apart from the database; without it the database is of no use.")
			_, err := fmt.Fprintln(a.stdout, file)
			return err
		}}
	return noun("key", "Keys of this server", initialise)
}

// mintServerKey writes a new key. It never replaces a file.
func mintServerKey(file string) ([]byte, error) {
	key := make([]byte, serverKeySize)
	rand.Read(key) // never fails, see its documentation
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s exists already and is not replaced; what it sealed could not be opened any more", file)
	} else if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(file))
	}
	return key, nil
}

// serverKey reads the server key. On a loopback issuer without a database it makes one; beside an existing database
// never, because that database's keys and audit chain belong to another key.
func serverKey(c *Config) ([]byte, error) {
	file := string(c.ServerKeyFile)
	key, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missingServerKey(c, file)
	case err != nil:
		return nil, badConfig("server_key_file: %w", err)
	case len(key) != serverKeySize:
		return nil, badConfig("server_key_file: %s holds %d bytes instead of %d; it is not a file that portcullis key init made", file, len(key), serverKeySize)
	}
	if err := storage.CheckPrivate(file); err != nil {
		return nil, badConfig("server_key_file: %w", err)
	}
	return key, nil
}

func missingServerKey(c *Config, file string) ([]byte, error) {
	switch _, err := os.Stat(string(c.Database)); {
	case err == nil:
		return nil, badConfig("server_key_file: %s is missing, but the database %s exists and was sealed with a key; put that key file back. A new one is never made beside an existing database", file, c.Database)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, badConfig("database: %w", err)
	case !c.loopback():
		return nil, badConfig("server_key_file: %s is missing; make it with: portcullis key init %s", file, file)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, badConfig("server_key_file: %w", err)
	}
	key, err := mintServerKey(file)
	if err != nil {
		return nil, badConfig("server_key_file: %w", err)
	}
	return key, nil
}
