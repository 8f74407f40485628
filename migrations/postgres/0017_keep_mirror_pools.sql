-- The pools of mirrors, which are kept as those that requests go to. Owner: the route service.

-- The pool that copies go to, and the one that the candidate's go to. NULL: none.
ALTER TABLE gateway_resources ADD COLUMN mirror_pool TEXT COLLATE "C";
ALTER TABLE gateway_resources ADD COLUMN candidate_mirror_pool TEXT COLLATE "C";
UPDATE gateway_resources SET mirror_pool = spec::jsonb #>> '{traffic,mirror,pool}'
    WHERE collection = 'routes' AND spec LIKE '%"mirror"%';
UPDATE gateway_resources SET candidate_mirror_pool = candidate::jsonb #>> '{content,traffic,mirror,pool}'
    WHERE collection = 'routes' AND candidate LIKE '%"mirror"%';
CREATE INDEX gateway_resources_mirror_pool ON gateway_resources (mirror_pool) WHERE mirror_pool IS NOT NULL;
CREATE INDEX gateway_resources_candidate_mirror_pool ON gateway_resources (candidate_mirror_pool)
    WHERE candidate_mirror_pool IS NOT NULL;

-- The pool of a mirror that the way back of a commit needs. NULL: none, or nothing is committed.
ALTER TABLE gateway_rollouts ADD COLUMN baseline_mirror_pool TEXT COLLATE "C";
UPDATE gateway_rollouts SET baseline_mirror_pool = (
    SELECT r.spec::jsonb #>> '{traffic,mirror,pool}' FROM gateway_revisions r
    WHERE r.name = gateway_rollouts.name AND r.revision = gateway_rollouts.baseline AND r.spec LIKE '%"mirror"%')
    WHERE standing = 'committed' AND name LIKE 'routes/%';
CREATE INDEX gateway_rollouts_baseline_mirror_pool ON gateway_rollouts (baseline_mirror_pool)
    WHERE baseline_mirror_pool IS NOT NULL;
