-- Rollouts of routes and pools: the other revision of a resource, drafts, what proxies count and find. Owner: the route
-- service.

-- The revision of the last commit that changed anything that proxies see of it.
ALTER TABLE gateway_resources ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
UPDATE gateway_resources SET version = revision;
-- The revision that a rollout has ready, and who gets it, as JSON. NULL: there is none.
ALTER TABLE gateway_resources ADD COLUMN candidate TEXT;
-- The pool that the candidate needs.
ALTER TABLE gateway_resources ADD COLUMN candidate_pool TEXT;
CREATE INDEX gateway_resources_candidate_pool ON gateway_resources (candidate_pool) WHERE candidate_pool IS NOT NULL;

-- The revision of the configuration that last made this one live. NULL: it never was, it is a draft.
ALTER TABLE gateway_revisions ADD COLUMN landed INTEGER;
UPDATE gateway_revisions SET landed = revision;

-- What a proxy can do, as a JSON list.
ALTER TABLE gateway_proxies ADD COLUMN features TEXT NOT NULL DEFAULT '[]';

-- Rollouts that had a candidate here. The fence keeps a driver that comes too late from putting one back.
CREATE TABLE gateway_rollouts (
    rollout    TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    fence      INTEGER NOT NULL,
    standing   TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    baseline   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX gateway_rollouts_updated_at ON gateway_rollouts (updated_at);

-- What each instance of a proxy counted of an exposure, as JSON.
CREATE TABLE gateway_arm_counts (
    rollout    TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    proxy      TEXT    NOT NULL,
    instance   TEXT    NOT NULL,
    requests   INTEGER NOT NULL,
    counts     TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (rollout, epoch, proxy, instance)
) STRICT, WITHOUT ROWID;

-- What each proxy found when it looked at a candidate.
CREATE TABLE gateway_check_results (
    rollout    TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    proxy      TEXT    NOT NULL,
    passed     INTEGER NOT NULL,
    message    TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (rollout, number, proxy)
) STRICT, WITHOUT ROWID;
