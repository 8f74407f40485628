-- Routes and pools, as they are and as they were. Owner: the route service.

CREATE TABLE gateway_resources (
    name       TEXT    NOT NULL PRIMARY KEY,
    collection TEXT    NOT NULL,
    uid        TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    pool       TEXT,
    spec       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX gateway_resources_revision ON gateway_resources (collection, revision, name);
CREATE INDEX gateway_resources_created_at ON gateway_resources (collection, created_at, name);
CREATE INDEX gateway_resources_updated_at ON gateway_resources (collection, updated_at, name);
CREATE INDEX gateway_resources_pool ON gateway_resources (pool) WHERE pool IS NOT NULL;

-- A spec of NULL is a deletion.
CREATE TABLE gateway_revisions (
    name       TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    uid        TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    written_at INTEGER NOT NULL,
    actor      TEXT    NOT NULL,
    spec       TEXT,
    PRIMARY KEY (name, revision)
) STRICT, WITHOUT ROWID;
