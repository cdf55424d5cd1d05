package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"
)

// CheckPrivate refuses a file that its group or others may touch, or that is no regular file. A missing file is an error that
// wraps fs.ErrNotExist. On Windows, where the mode says nothing, only the kind of file is checked.
func CheckPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", ErrPermissions, path)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %04o, so others can reach it; run: chmod 600 %s", ErrPermissions, path, mode, path)
	}
	return nil
}

// realPath is the absolute path without symbolic links, so that one file has one lock. The file need not exist, its directory must.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if _, err := os.Lstat(abs); err == nil {
		real, err := filepath.EvalSymlinks(abs)
		if err != nil {
			return "", fmt.Errorf("%w: the database %s cannot be followed to a file: %w", ErrConfig, path, err)
		}
		return real, nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", fmt.Errorf("%w: the directory of the database %s must exist: %w", ErrConfig, path, err)
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// takeLock keeps a second server away from the file. The lock ends with the process, however that ends.
func takeLock(path string) (*flock.Flock, error) {
	lock := flock.New(path + ".lock")
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("%w: cannot lock %s.lock: %w", ErrPermissions, path, err)
	}
	if !ok {
		return nil, fmt.Errorf("%w: another server runs on %s; stop it or configure another database", ErrLocked, path)
	}
	return lock, nil
}

// present tells whether there is a database to open. It refuses one that others can read, and traces of a lost one.
func present(path string) (bool, error) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		err := CheckPrivate(path + suffix)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return false, err
		case err != nil && suffix == "":
			return false, checkNoTraces(path)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrPermissions, err)
	}
	if info.Size() == 0 {
		return false, fmt.Errorf("%w: %s is empty; restore it from a backup, or remove it to begin with a new database", ErrCorrupt, path)
	}
	return true, nil
}

// checkNoTraces refuses to make a new database where the log of a lost one still lies.
func checkNoTraces(path string) error {
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return fmt.Errorf("%w: %s is gone but its log %s-wal is there; restore the database from a backup, or remove both to begin with a new one",
			ErrCorrupt, path, path)
	}
	return nil
}

// syncDir makes a rename durable. Windows has no way to ask for it.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
