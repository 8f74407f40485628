-- What every service builds on: the store's identity, the revision counter of each scope, the change log that
-- watches resume from, and the answers kept for repeated requests. Times are microseconds since 1970.

CREATE TABLE store_meta (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    store_id   TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE scope_counters (
    scope    TEXT    NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The resources that a revision touched. Whether one was changed or deleted, its own table tells.
CREATE TABLE change_log (
    scope    TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    PRIMARY KEY (scope, revision, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE request_log (
    actor       TEXT    NOT NULL,
    request_id  TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (actor, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX request_log_created_at ON request_log (created_at);
