-- What each proxy of the data plane has, as the replica that holds its stream heard it. Owner: the route service.

CREATE TABLE gateway_proxies (
    name            TEXT    NOT NULL PRIMARY KEY,
    revision        INTEGER NOT NULL,
    replica         TEXT    NOT NULL,
    session         INTEGER NOT NULL,
    connected       INTEGER NOT NULL,
    instance_id     TEXT    NOT NULL,
    labels          TEXT    NOT NULL,
    build_version   TEXT    NOT NULL,
    active_store    TEXT,
    active_revision INTEGER,
    sent_store      TEXT,
    sent_revision   INTEGER,
    refusals        TEXT    NOT NULL,
    connected_at    INTEGER NOT NULL,
    last_seen_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX gateway_proxies_revision ON gateway_proxies (revision);
