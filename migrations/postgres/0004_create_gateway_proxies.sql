-- What each proxy of the data plane has, as the replica that holds its stream heard it. Owner: the route service.

CREATE TABLE gateway_proxies (
    name            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision        BIGINT NOT NULL,
    replica         TEXT COLLATE "C" NOT NULL,
    session         BIGINT NOT NULL,
    connected       BIGINT NOT NULL,
    instance_id     TEXT COLLATE "C" NOT NULL,
    labels          TEXT COLLATE "C" NOT NULL,
    build_version   TEXT COLLATE "C" NOT NULL,
    active_store    TEXT COLLATE "C",
    active_revision BIGINT,
    sent_store      TEXT COLLATE "C",
    sent_revision   BIGINT,
    refusals        TEXT COLLATE "C" NOT NULL,
    connected_at    BIGINT NOT NULL,
    last_seen_at    BIGINT NOT NULL
);

CREATE INDEX gateway_proxies_revision ON gateway_proxies (revision);
