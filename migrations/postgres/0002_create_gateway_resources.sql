-- Routes and pools, as they are and as they were. Owner: the route service.

CREATE TABLE gateway_resources (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    collection TEXT COLLATE "C" NOT NULL,
    uid        TEXT COLLATE "C" NOT NULL,
    revision   BIGINT  NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    pool       TEXT COLLATE "C",
    spec       TEXT COLLATE "C" NOT NULL
);

CREATE INDEX gateway_resources_revision ON gateway_resources (collection, revision, name);
CREATE INDEX gateway_resources_created_at ON gateway_resources (collection, created_at, name);
CREATE INDEX gateway_resources_updated_at ON gateway_resources (collection, updated_at, name);
CREATE INDEX gateway_resources_pool ON gateway_resources (pool) WHERE pool IS NOT NULL;

-- A spec of NULL is a deletion.
CREATE TABLE gateway_revisions (
    name       TEXT COLLATE "C" NOT NULL,
    revision   BIGINT  NOT NULL,
    uid        TEXT COLLATE "C" NOT NULL,
    created_at BIGINT  NOT NULL,
    written_at BIGINT  NOT NULL,
    actor      TEXT COLLATE "C" NOT NULL,
    spec       TEXT COLLATE "C",
    PRIMARY KEY (name, revision)
);
