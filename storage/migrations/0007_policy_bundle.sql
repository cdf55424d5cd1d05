-- The revision of the bundle that a generation was made of; '' = it was none.
ALTER TABLE policy_generations ADD COLUMN bundle TEXT NOT NULL DEFAULT '';
-- The bundle that was put in force last: an older one is not taken. There is one row at most. verified_by tells the key that its signature
-- was verified with; '' = none.
CREATE TABLE policy_bundle (
  id          INTEGER PRIMARY KEY CHECK (id = 1),
  revision    TEXT NOT NULL,
  number      INTEGER NOT NULL,
  verified_by TEXT NOT NULL,
  taken_at    INTEGER NOT NULL
) STRICT;
