// Package storage keeps everything that must survive: clients, users, resources, grants, tokens, signing keys and
// the audit, in one SQLite file. database/sql lives here and nowhere else; no SQL type appears in an exported signature.
//
// # Opening
//
// Open resolves the path, takes an exclusive lock on PATH.lock (one server per file), refuses files that others can
// read, checks the SQLite version, looks for damage (PRAGMA quick_check, the seal over the schema, the end of the
// audit chain), checks that the server key belongs to the database and that the file can be written, applies the numbered migrations and compares the
// clock with the last audit row. What it refuses it names with one of the Err values, and it never replaces a database
// that it cannot read. quick_check takes a second for each 700 MB, so a file above Config.CheckAtOnce that was closed in order is looked
// through by CheckPages while it serves. A byte that changes within a key and leaves its page in order is
// not seen: only PRAGMA integrity_check compares indexes with their tables. After a crash Open always looks first. A new database is made completely under another name and then renamed, so a crash leaves none or a whole one.
//
// # Writing
//
// There is one write connection and one goroutine that uses it. Commit puts its changes into a bounded queue and waits. The
// writer takes everyone who waits, runs BEGIN IMMEDIATE, gives each caller a SAVEPOINT, and ends with one COMMIT, so one
// fsync (synchronous=FULL) serves them all. Nobody is answered before that fsync has returned.
//
// A conflict or a constraint error rolls back the one caller's savepoint. Any other error (disk full, an I/O error, a lost
// connection) ends the whole group: ROLLBACK, the connection is opened anew, the end of the audit chain is read from the
// file again, and all callers get oauth.ErrUnavailable, because a failed commit may have happened. The writer never
// sees a caller's context: a cancelled one would interrupt SQLite and take the neighbours down with it.
//
// apply is the one switch over every oauth.Change; the statements stand in one file per family of tables. What must be
// true inside the transaction (a grant is live, a code is unspent) is checked there, with a condition in the
// statement or a SELECT of its own.
//
// # Reading
//
// Reader has a pool of read-only connections with prepared statements, and each read of the oauth interfaces is one
// query, so it sees one moment. Store is a Reader with a writer and small memories of clients, of token states and of unused refresh
// tokens (cache.go, states.go, unused.go), which are brought up to date after COMMIT and before the caller is answered. OpenReader opens the same reads beside a running server, without the lock.
//
// # The audit
//
// An oauth.Event becomes one row in the same transaction as the changes that it tells of: no token without its row, no
// row without its token. Each row carries HMAC-SHA256(key, seal of the row before, seq, instance, time, type, body) under a key
// derived from the server key; a sealed head record says where the chain ends. Audit.Verify says what this proves and what not.
// PATH.end remembers beside the database how far the audit was, so that a start notices a log that is gone or damaged.
//
// # Decisions
//
// oauth.SaveDecision keeps what a policy decision saw and said, in the transaction of its audit row. It is no part of the chain: these
// rows go after some days, or when there are too many.
//
// # Policies that were in force
//
// oauth.SavePolicyGeneration keeps a set of policies with its files under its revision, before it is put in force, and drops those
// that are too many. The newest by activation is the one in force. oauth.SavePolicyBundle keeps beside it which bundle it was made of.
//
// # Conventions
//
// Times are whole Unix seconds that Go passes in; 0 is the zero time. Secrets are kept as SHA-256 or sealed; codes and refresh tokens behind
// their date, so that rows of one time share a page. SQL is written
// by hand, lists its columns and keeps to what PostgreSQL understands too ($1 parameters, ON CONFLICT, partial indexes).
package storage
