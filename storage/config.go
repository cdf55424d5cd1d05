package storage

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// Config is what Open needs. Path and ServerKey are required, everything else has a default.
type Config struct {
	Path           string        // the database file; its directory must exist. A lock file PATH.lock lies beside it
	ServerKey      []byte        // 32 bytes; keys for the audit chain and the other seals are derived from it
	Instance       string        // name of this server in audit rows; "" = "main"
	Demo           bool          // a demo database carries a mark: only a demo opens it, and a demo opens no other
	AllowClockBack bool          // start although the clock is earlier than the last audit row
	Busy           time.Duration // how long SQLite waits for another process's lock; 0 = 5 s
	Readers        int           // size of the pool of read-only connections; 0 = one per core, at least 4
	Queue          int           // how many callers may wait for the writer, more are refused; 0 = 4096
	Wait           time.Duration // who waited longer for the writer is refused; 0 = 2 s
	CheckAtOnce    int64         // bytes: a larger file that was closed in order is looked through by CheckPages, not by Open; 0 = 16 MiB
	ClientCache    int           // how many clients are kept in memory; 0 = 512
	KeepDecisions  time.Duration // how long records of policy decisions are kept; 0 = 7 days
	MaxDecisions   int           // how many are kept at most, the newest; 0 = 500000
}

// Why Open refuses. Every error of Open that an operator can cure wraps one of these.
var (
	ErrConfig      = errors.New("bad storage configuration")
	ErrWrongKey    = errors.New("wrong server key")
	ErrLocked      = errors.New("database in use")
	ErrCorrupt     = errors.New("database damaged")
	ErrDemo        = errors.New("demo database")
	ErrClock       = errors.New("clock set back")
	ErrPermissions = errors.New("unsafe file permissions")
	ErrTooNew      = errors.New("database too new")
	ErrTooOld      = errors.New("database too old") // OpenReader only: Open migrates
	ErrSQLite      = errors.New("SQLite too old")
)

const (
	serverKeySize   = 32
	clockTolerance  = 5 * time.Minute
	maxGroup        = 512 // callers that share one fsync at most
	defaultBusy     = 5 * time.Second
	defaultQueue    = 4096
	defaultWait     = 2 * time.Second
	defaultCheck    = 16 << 20 // 25 ms
	defaultClients  = 512
	defaultKeep     = 7 * 24 * time.Hour
	defaultRecords  = 500_000 // about 1 GB
	defaultInstance = "main"
)

// complete checks a Config and fills in the defaults.
func (c Config) complete() (Config, error) {
	if c.Path == "" {
		return c, fmt.Errorf("%w: the database has no path", ErrConfig)
	}
	if err := checkServerKey(c.ServerKey); err != nil {
		return c, err
	}
	if c.Instance == "" {
		c.Instance = defaultInstance
	}
	c.Busy = orDefault(c.Busy, defaultBusy)
	c.Wait = orDefault(c.Wait, defaultWait)
	c.Queue = orDefault(c.Queue, defaultQueue)
	c.CheckAtOnce = orDefault(c.CheckAtOnce, defaultCheck)
	c.ClientCache = orDefault(c.ClientCache, defaultClients)
	c.KeepDecisions = orDefault(c.KeepDecisions, defaultKeep)
	c.MaxDecisions = orDefault(c.MaxDecisions, defaultRecords)
	c.Readers = orDefault(c.Readers, max(4, runtime.GOMAXPROCS(0)))
	return c, nil
}

func checkServerKey(key []byte) error {
	if len(key) != serverKeySize {
		return fmt.Errorf("%w: it must be %d bytes long, it has %d; make one with `portcullis key init`", ErrWrongKey, serverKeySize, len(key))
	}
	return nil
}

func orDefault[T int | int64 | time.Duration](value, standard T) T {
	if value > 0 {
		return value
	}
	return standard
}
