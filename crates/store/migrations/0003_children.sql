-- Child runs: the run that started a run. By id, for a listing needs no second look-up.

ALTER TABLE runs ADD COLUMN parent TEXT;
