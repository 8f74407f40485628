-- Leases with fences, and how far back the change log of each scope reaches.

CREATE TABLE leases (
    name       TEXT    NOT NULL PRIMARY KEY,
    holder     TEXT    NOT NULL,
    fence      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The log is whole from behind this revision on.
ALTER TABLE scope_counters ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;

-- A number drawn for each revision. A database that was set back and written to anew has other ones under the
-- same revisions.
ALTER TABLE change_log ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0;

-- Where the store lies: a copy that finds itself elsewhere takes another identity. Empty: not known.
ALTER TABLE store_meta ADD COLUMN origin TEXT NOT NULL DEFAULT '';
