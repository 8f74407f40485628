-- Questions to proxies, from a replica that does not hold the proxy's stream to the one that does, and the answers. Each
-- lies here for seconds. Owner: the route service.

CREATE TABLE gateway_questions (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    proxy      TEXT COLLATE "C" NOT NULL,
    replica    TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    request    TEXT COLLATE "C" NOT NULL,
    answered   BIGINT NOT NULL DEFAULT 0,
    answer     TEXT COLLATE "C" NOT NULL DEFAULT '',
    reason     TEXT COLLATE "C" NOT NULL DEFAULT '',
    message    TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE INDEX gateway_questions_replica ON gateway_questions (replica, answered);
