-- Times are whole Unix seconds, 0 = not set. Flags are 0 or 1. Scopes and amr are words separated by spaces,
-- lists and documents are JSON text ('' = nil). Hashes are SHA-256. No default values: every insert lists its columns.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE users (
  id            TEXT PRIMARY KEY,
  name          TEXT NOT NULL UNIQUE,
  user_groups   TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  source        TEXT NOT NULL,
  disabled      INTEGER NOT NULL CHECK (disabled IN (0, 1)),
  created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clients (
  id            TEXT PRIMARY KEY,
  name          TEXT NOT NULL,
  registration  TEXT NOT NULL,
  source        TEXT NOT NULL,
  redirect_uris TEXT NOT NULL,
  auth_methods  TEXT NOT NULL,
  grant_types   TEXT NOT NULL,
  secret_hashes TEXT NOT NULL,
  scope         TEXT NOT NULL,
  ceiling       TEXT NOT NULL,
  client_uri    TEXT NOT NULL,
  software_id   TEXT NOT NULL,
  digest        TEXT NOT NULL,
  created_at    INTEGER NOT NULL,
  last_used_at  INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  fetched_at    INTEGER NOT NULL,
  fresh_until   INTEGER NOT NULL,
  disabled      INTEGER NOT NULL CHECK (disabled IN (0, 1)),
  document      BLOB
) STRICT;
CREATE INDEX clients_expiry ON clients (expires_at) WHERE expires_at > 0;

CREATE TABLE resources (
  id            TEXT PRIMARY KEY,
  key           TEXT NOT NULL,
  name          TEXT NOT NULL,
  secret_hashes TEXT NOT NULL,
  scopes        TEXT NOT NULL,
  baseline      TEXT NOT NULL,
  tools         TEXT NOT NULL,
  source        TEXT NOT NULL,
  disabled      INTEGER NOT NULL CHECK (disabled IN (0, 1))
) STRICT;

-- A grant never revives: one live grant per user, client and resource, any number of ended ones.
CREATE TABLE grants (
  id            TEXT PRIMARY KEY,
  user_id       TEXT NOT NULL,
  client_id     TEXT NOT NULL,
  resource      TEXT NOT NULL,
  scopes        TEXT NOT NULL,
  client_digest TEXT NOT NULL,
  redirect_uri  TEXT NOT NULL,
  created_at    INTEGER NOT NULL,
  last_used_at  INTEGER NOT NULL,
  ended_at      INTEGER NOT NULL,
  end_reason    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX grants_live ON grants (user_id, client_id, resource) WHERE ended_at = 0;
CREATE INDEX grants_client ON grants (client_id);
CREATE INDEX grants_resource ON grants (resource);

CREATE TABLE families (
  id         TEXT PRIMARY KEY,
  grant_id   TEXT NOT NULL REFERENCES grants (id),
  scopes     TEXT NOT NULL,
  jkt        TEXT NOT NULL,
  auth_time  INTEGER NOT NULL,
  acr        TEXT NOT NULL,
  amr        TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  ended_at   INTEGER NOT NULL,
  end_reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX families_grant ON families (grant_id);
CREATE INDEX families_expiry ON families (expires_at);
CREATE INDEX families_ended ON families (ended_at) WHERE ended_at > 0;

CREATE TABLE codes (
  hash         BLOB PRIMARY KEY,
  grant_id     TEXT NOT NULL REFERENCES grants (id),
  redirect_uri TEXT NOT NULL,
  challenge    TEXT NOT NULL,
  scopes       TEXT NOT NULL,
  offline      INTEGER NOT NULL CHECK (offline IN (0, 1)),
  auth_time    INTEGER NOT NULL,
  acr          TEXT NOT NULL,
  amr          TEXT NOT NULL,
  expires_at   INTEGER NOT NULL,
  failures     INTEGER NOT NULL,
  spent_at     INTEGER NOT NULL,
  family_id    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_expiry ON codes (expires_at);

-- Two rows of one generation cannot exist, so a family cannot fork.
CREATE TABLE refresh_tokens (
  hash        BLOB PRIMARY KEY,
  family_id   TEXT NOT NULL REFERENCES families (id),
  generation  INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  used_at     INTEGER NOT NULL,
  window_ends INTEGER NOT NULL,
  successor   BLOB,
  UNIQUE (family_id, generation)
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_windows ON refresh_tokens (window_ends) WHERE successor IS NOT NULL;

CREATE TABLE revoked_tokens (
  jti        TEXT PRIMARY KEY,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_expiry ON revoked_tokens (expires_at);

CREATE TABLE used_ids (
  scope      TEXT NOT NULL,
  id         TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (scope, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_ids_expiry ON used_ids (expires_at);

CREATE TABLE sessions (
  hash       BLOB PRIMARY KEY,
  user_id    TEXT NOT NULL,
  auth_time  INTEGER NOT NULL,
  acr        TEXT NOT NULL,
  amr        TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- The id is a secret that stands in URLs, so only its hash is kept. A taken one stays, emptied, until it expires.
CREATE TABLE interactions (
  hash          BLOB PRIMARY KEY,
  params        TEXT NOT NULL,
  browser_hash  BLOB,
  session_hash  BLOB,
  form_token    TEXT NOT NULL,
  client_digest TEXT NOT NULL,
  ip            TEXT NOT NULL,
  user_agent    TEXT NOT NULL,
  created_at    INTEGER NOT NULL,
  login_after   INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  taken         INTEGER NOT NULL CHECK (taken IN (0, 1))
) STRICT;
CREATE INDEX interactions_expiry ON interactions (expires_at);

CREATE TABLE login_failures (
  key      TEXT PRIMARY KEY,
  failures INTEGER NOT NULL,
  last_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX login_failures_last ON login_failures (last_at);

CREATE TABLE signing_keys (
  kid          TEXT PRIMARY KEY,
  algorithm    TEXT NOT NULL,
  state        TEXT NOT NULL,
  sealed       BLOB NOT NULL,
  created_at   INTEGER NOT NULL,
  activated_at INTEGER NOT NULL,
  retired_at   INTEGER NOT NULL
) STRICT;

-- The audit is append-only: seq without gaps, each row sealed together with the seal of the row before it.
CREATE TABLE audit (
  seq      INTEGER PRIMARY KEY,
  instance TEXT NOT NULL,
  at       INTEGER NOT NULL,
  type     TEXT NOT NULL,
  body     TEXT NOT NULL,
  mac      BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN
  SELECT RAISE(ABORT, 'the audit is append-only');
END;

-- Where the chain ends, sealed, so that cut-off rows are noticed.
CREATE TABLE audit_head (
  id   INTEGER PRIMARY KEY CHECK (id = 1),
  seq  INTEGER NOT NULL,
  mac  BLOB NOT NULL,
  seal BLOB NOT NULL
) STRICT;
