-- The sets of policies that were in force, one row for each, with their files: what a decision of then is explained with,
-- and what can be put in force again. seq is the order of their last activation. Only the newest rows are kept; the audit
-- tells of every activation.
CREATE TABLE policy_generations (
  seq          INTEGER PRIMARY KEY,
  revision     TEXT NOT NULL UNIQUE,
  activated_at INTEGER NOT NULL,
  document     BLOB NOT NULL
) STRICT;
