-- The next rollout that is due is found by the index alone, also where many are due at the same time, as all are when the
-- global switch is turned.
DROP INDEX rollouts_due;
CREATE INDEX rollouts_due ON rollouts (domain, wake_at, id) WHERE wake_at IS NOT NULL;
