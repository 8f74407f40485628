-- What was measured of a rollout is dropped a while after its end. Owner: the host of rollouts.

-- When; NULL: all that was measured is there.
ALTER TABLE rollouts ADD COLUMN measurements_dropped_at INTEGER;
CREATE INDEX rollouts_measured ON rollouts (ended_at)
    WHERE ended_at IS NOT NULL AND measured_at IS NOT NULL AND measurements_dropped_at IS NULL;
