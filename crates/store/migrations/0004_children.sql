-- What a listing tells of a run beside its title, without a second look-up: the run that started it, where it is a child run,
-- by id; and how it rehearses, where it does.

ALTER TABLE runs ADD COLUMN parent TEXT;
ALTER TABLE runs ADD COLUMN rehearsal TEXT;
