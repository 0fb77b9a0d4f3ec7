-- Locks: names that one scope of one run holds at a time. A row outlives engines and processes; it goes with the record
-- that ends the scope, in that record's transaction.

CREATE TABLE locks (
  name     TEXT PRIMARY KEY,
  run      INTEGER NOT NULL REFERENCES runs (number),
  scope    TEXT NOT NULL,    -- the scope's path
  since_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX locks_by_run ON locks (run, scope);

-- Scopes that wait for a lock: how runs that wait for each other are found.
CREATE TABLE lock_waits (
  run      INTEGER NOT NULL REFERENCES runs (number),
  scope    TEXT NOT NULL,
  name     TEXT NOT NULL,
  since_us INTEGER NOT NULL,
  PRIMARY KEY (run, scope)
) STRICT, WITHOUT ROWID;
