-- What policy decisions saw and said, for explain and replay. Written in the transaction of the audit row, but no part of
-- its chain: the rows go after some days. Ids are random, so an index over them would double what a decision writes; the
-- one who asks for an id can wait for a scan.
CREATE TABLE decisions (
  seq      INTEGER PRIMARY KEY,
  id       TEXT NOT NULL,
  at       INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  revision TEXT NOT NULL,
  document BLOB NOT NULL
) STRICT;
CREATE INDEX decisions_at ON decisions (at);
