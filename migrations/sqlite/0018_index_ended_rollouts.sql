-- Rollouts that ended are dropped a while later, but for the last one of each subject. Owner: the host of rollouts.

CREATE INDEX rollouts_ended ON rollouts (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX rollouts_ended_of ON rollouts (subject, domain, ended_at, id) WHERE ended_at IS NOT NULL;
