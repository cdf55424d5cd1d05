package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

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

// mintServerKey writes a new key, whole or not at all. It never replaces a file.
func mintServerKey(file string) ([]byte, error) {
	key := make([]byte, serverKeySize)
	rand.Read(key)                                                                // never fails, see its documentation
	draft, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.new") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(key)
	if err := errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return nil, err
	}
	err = os.Link(draft.Name(), file) // unlike a rename it replaces nothing
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s exists already and is not replaced; what it sealed could not be opened any more", file)
	} else if err != nil {
		return nil, err
	}
	return key, syncFolder(filepath.Dir(file))
}

// syncFolder makes a new name in a folder durable: a database must not outlive the name of its key. Windows has no way to ask for it.
func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
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
