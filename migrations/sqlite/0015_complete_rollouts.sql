-- What was missing of rollouts. Owners: the route service (gateway_*), the host of rollouts (rollout_counts).

-- The pool that the way back of a commit needs. NULL: none, or nothing is committed.
ALTER TABLE gateway_rollouts ADD COLUMN baseline_pool TEXT;
CREATE INDEX gateway_rollouts_baseline_pool ON gateway_rollouts (baseline_pool) WHERE baseline_pool IS NOT NULL;

-- The live revision that a draft was made from. NULL: it is no draft, or an older program wrote it.
ALTER TABLE gateway_revisions ADD COLUMN base INTEGER;

-- What "slow" meant where it was counted: more than so many microseconds. NULL: it was not known.
ALTER TABLE rollout_counts ADD COLUMN slow_over_us INTEGER;
