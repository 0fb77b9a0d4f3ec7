-- The journal's first schema. Migrations are never edited once released; a new one gets the next number.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a run. A run's head is its last record and its time that record's, so nothing here changes as records are
-- appended: an append touches one page, as a bare insert does.
CREATE TABLE runs (
  number     INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT NOT NULL UNIQUE,
  title      TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  actor      TEXT NOT NULL,  -- JSON: who created it
  status     TEXT NOT NULL,  -- for listings; the journal is the truth
  fence      INTEGER NOT NULL DEFAULT 0,
  holder     TEXT            -- JSON: engine that took the last lease and has not given it back
) STRICT;

-- `key` is runs.number * 2^32 + the record's sequence number: a run's records lie side by side in one b-tree, and a
-- record of up to 4 KiB lies in its leaf. Keyed by (run, seq) WITHOUT ROWID, records over 1 KiB would overflow; with a
-- separate index, every append would write two b-trees.
CREATE TABLE records (
  key     INTEGER PRIMARY KEY,
  wall_us INTEGER NOT NULL,
  boot_us INTEGER NOT NULL,
  fence   INTEGER NOT NULL,
  body    TEXT NOT NULL,     -- the event's JSON, byte for byte as hashed
  hash    BLOB NOT NULL
) STRICT;

CREATE TABLE inbox (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  run      INTEGER NOT NULL REFERENCES runs (number),
  at_us    INTEGER NOT NULL,
  decision TEXT NOT NULL,    -- JSON
  message  TEXT NOT NULL     -- JSON
) STRICT;

CREATE INDEX inbox_by_run ON inbox (run, id);

-- Contents of sources and scripts by SHA-256. Kept when a snapshot is replaced: the journal still names them.
CREATE TABLE blobs (
  digest BLOB NOT NULL UNIQUE,
  bytes  BLOB NOT NULL
) STRICT;

CREATE TABLE sources (
  run        INTEGER NOT NULL REFERENCES runs (number),
  position   INTEGER NOT NULL,
  path       TEXT NOT NULL,
  digest     BLOB NOT NULL REFERENCES blobs (digest),
  executable INTEGER NOT NULL,
  PRIMARY KEY (run, position),
  UNIQUE (run, path)
) STRICT, WITHOUT ROWID;
