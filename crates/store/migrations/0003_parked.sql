-- Parked runs: runs that wait with nobody driving them, and that somebody other than a person goes on with. Kept by the
-- engines of the background with each append, so that none of them is lost with its engine; gone as soon as a run does
-- something, holds, waits for people only, or is driven in the foreground.

CREATE TABLE parked (
  run      INTEGER PRIMARY KEY REFERENCES runs (number),
  due_us   INTEGER,                     -- when it goes on by itself; NULL: no time is known, it waits for a lock
  tries    INTEGER NOT NULL DEFAULT 0,  -- engines that were started for this by a waker
  retry_us INTEGER NOT NULL DEFAULT 0   -- none is started before
) STRICT;

CREATE INDEX parked_by_due ON parked (due_us);

-- When the waiter's turn at a free lock came; NULL: it has not, or it has asked since.
ALTER TABLE lock_waits ADD COLUMN called_us INTEGER;
