-- Rollouts of routes and pools: the other revision of a resource, drafts, what proxies count and find. Owner: the route
-- service.

-- The revision of the last commit that changed anything that proxies see of it.
ALTER TABLE gateway_resources ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
UPDATE gateway_resources SET version = revision;
-- The revision that a rollout has ready, and who gets it, as JSON. NULL: there is none.
ALTER TABLE gateway_resources ADD COLUMN candidate TEXT COLLATE "C";
-- The pool that the candidate needs.
ALTER TABLE gateway_resources ADD COLUMN candidate_pool TEXT COLLATE "C";
CREATE INDEX gateway_resources_candidate_pool ON gateway_resources (candidate_pool) WHERE candidate_pool IS NOT NULL;

-- The revision of the configuration that last made this one live. NULL: it never was, it is a draft.
ALTER TABLE gateway_revisions ADD COLUMN landed BIGINT;
UPDATE gateway_revisions SET landed = revision;

-- What a proxy can do, as a JSON list.
ALTER TABLE gateway_proxies ADD COLUMN features TEXT COLLATE "C" NOT NULL DEFAULT '[]';

-- Rollouts that had a candidate here. The fence keeps a driver that comes too late from putting one back.
CREATE TABLE gateway_rollouts (
    rollout    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    fence      BIGINT NOT NULL,
    standing   TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    baseline   BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX gateway_rollouts_updated_at ON gateway_rollouts (updated_at);

-- What each instance of a proxy counted of an exposure, as JSON.
CREATE TABLE gateway_arm_counts (
    rollout    TEXT COLLATE "C" NOT NULL,
    epoch      BIGINT NOT NULL,
    proxy      TEXT COLLATE "C" NOT NULL,
    instance   TEXT COLLATE "C" NOT NULL,
    requests   BIGINT NOT NULL,
    counts     TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (rollout, epoch, proxy, instance)
);

-- What each proxy found when it looked at a candidate.
CREATE TABLE gateway_check_results (
    rollout    TEXT COLLATE "C" NOT NULL,
    number     BIGINT NOT NULL,
    proxy      TEXT COLLATE "C" NOT NULL,
    passed     BIGINT NOT NULL,
    message    TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (rollout, number, proxy)
);
