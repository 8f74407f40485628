-- Questions to proxies, from a replica that does not hold the proxy's stream to the one that does, and the answers. Each
-- lies here for seconds. Owner: the route service.

CREATE TABLE gateway_questions (
    id         TEXT    NOT NULL PRIMARY KEY,
    proxy      TEXT    NOT NULL,
    replica    TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    request    TEXT    NOT NULL,
    answered   INTEGER NOT NULL DEFAULT 0,
    answer     TEXT    NOT NULL DEFAULT '',
    reason     TEXT    NOT NULL DEFAULT '',
    message    TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX gateway_questions_replica ON gateway_questions (replica, answered);
