-- What every service builds on: the store's identity, the revision counter of each scope, the change log that
-- watches resume from, and the answers kept for repeated requests. Times are microseconds since 1970.

CREATE TABLE store_meta (
    id         BIGINT  NOT NULL PRIMARY KEY CHECK (id = 1),
    store_id   TEXT COLLATE "C" NOT NULL,
    created_at BIGINT  NOT NULL
);

CREATE TABLE scope_counters (
    scope    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision BIGINT  NOT NULL
);

-- The resources that a revision touched. Whether one was changed or deleted, its own table tells.
CREATE TABLE change_log (
    scope    TEXT COLLATE "C" NOT NULL,
    revision BIGINT  NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scope, revision, name)
);

CREATE TABLE request_log (
    actor       TEXT COLLATE "C" NOT NULL,
    request_id  TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    revision    BIGINT  NOT NULL,
    created_at  BIGINT  NOT NULL,
    PRIMARY KEY (actor, request_id)
);

CREATE INDEX request_log_created_at ON request_log (created_at);
