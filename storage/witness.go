package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// witness is a small file beside the database, PATH.end, that says how far the audit was when the last group was stored. The database
// alone cannot tell that its end is missing: SQLite ends a damaged write-ahead log at its first bad frame, and without its log, or as an
// older copy, the file is a whole database of the past, in which spent codes and revoked tokens live again.
//
// It is written after each fsync of the database and never synced itself, so it costs nothing and is never ahead. After a power loss
// it may be behind; then it notices less.
type witness struct {
	file *os.File
	id   string // of the database: a witness of another one says nothing
}

const witnessFormat = "%s ends with audit row %020d\n"

func openWitness(path string, s *seals) (*witness, error) {
	f, err := os.OpenFile(path+".end", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPermissions, err)
	}
	return &witness{f, hexSum(s.genesis, "witness")[:32]}, nil
}

func (w *witness) close() error {
	if w == nil {
		return nil
	}
	return w.file.Close()
}

// check compares the end of the audit with what the witness saw.
func (w *witness) check(seq int64) error {
	text := make([]byte, 256)
	n, err := w.file.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var id string
	var seen int64
	if _, err := fmt.Sscanf(string(text[:n]), witnessFormat, &id, &seen); err != nil || id != w.id || seen <= seq {
		return nil // there is none, or not of this database
	}
	return fmt.Errorf("%w: it ends with audit row %d, but row %d was acknowledged; it is an older copy, or its log is damaged or gone. "+
		"Restore the newest backup. If you mean to go on from here, where what was revoked since lives again, remove %s", ErrCorrupt, seq, seen, w.file.Name())
}

// note is called after the fsync and before anybody is answered. A witness that cannot be written notices less, and nothing else.
func (w *witness) note(seq int64) {
	_, _ = w.file.WriteAt(fmt.Appendf(nil, witnessFormat, w.id, seq), 0)
}
