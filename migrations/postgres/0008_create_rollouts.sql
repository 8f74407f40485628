-- Rollouts: what is carried from where to where, where it stands, and who drives it now. Owner: the host of rollouts.

CREATE TABLE rollouts (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    domain        TEXT COLLATE "C" NOT NULL,
    subject       TEXT COLLATE "C" NOT NULL,
    from_revision BIGINT,
    to_revision   BIGINT NOT NULL,
    author        TEXT COLLATE "C" NOT NULL,
    strategy      TEXT COLLATE "C" NOT NULL,
    -- What never changes, as JSON.
    rollout       TEXT COLLATE "C" NOT NULL,
    -- Where it stands, as JSON, and what is asked about it without reading that.
    record        TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL,
    generation    BIGINT NOT NULL,
    step          BIGINT NOT NULL,
    step_times    TEXT COLLATE "C" NOT NULL,
    verdict       TEXT COLLATE "C",
    verdict_words TEXT COLLATE "C",
    -- The newest event and command; how often somebody asked for a turn.
    last_event    BIGINT NOT NULL,
    last_command  BIGINT NOT NULL,
    calls         BIGINT NOT NULL,
    lease_owner   TEXT COLLATE "C",
    lease_until   BIGINT NOT NULL,
    fence         BIGINT NOT NULL,
    -- When it is looked at again, measured last, compared with its target last. All by the database's clock.
    wake_at       BIGINT,
    measured_at   BIGINT,
    compared_at   BIGINT,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    ended_at      BIGINT
);

-- One active rollout a subject.
CREATE UNIQUE INDEX rollouts_active ON rollouts (subject, domain) WHERE ended_at IS NULL;
CREATE INDEX rollouts_due ON rollouts (domain, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX rollouts_created ON rollouts (created_at, id);
CREATE INDEX rollouts_updated ON rollouts (updated_at, id);
CREATE INDEX rollouts_waiting ON rollouts (state, created_at, id) WHERE ended_at IS NULL;

-- What happened, in order. Nothing of it is ever changed.
CREATE TABLE rollout_events (
    rollout_id TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    event      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (rollout_id, seq)
);

-- What people asked for, and what they were answered.
CREATE TABLE rollout_commands (
    rollout_id  TEXT COLLATE "C" NOT NULL,
    seq         BIGINT NOT NULL,
    -- Whoever sends the same key again gets the same answer.
    key         TEXT COLLATE "C" NOT NULL,
    actor       TEXT COLLATE "C" NOT NULL,
    caller      TEXT COLLATE "C" NOT NULL,
    demand      TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    answered_at BIGINT,
    answer      TEXT COLLATE "C",
    PRIMARY KEY (rollout_id, seq)
);

CREATE UNIQUE INDEX rollout_commands_key ON rollout_commands (key);

-- All that was counted, and what the judge found in it: judged again, it gives the same.
CREATE TABLE rollout_measurements (
    rollout_id   TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    since        BIGINT NOT NULL,
    epoch        BIGINT NOT NULL,
    slow_over_us BIGINT,
    measurement  TEXT COLLATE "C" NOT NULL,
    finding      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (rollout_id, at)
);

-- Which steps and approvals a change needs.
CREATE TABLE rollout_policies (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    subject    TEXT COLLATE "C" NOT NULL,
    policy     TEXT COLLATE "C" NOT NULL,
    uid        TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX rollout_policies_subject ON rollout_policies (subject);

-- The global switch: one row, or none before it was first turned.
CREATE TABLE rollout_freeze (
    id         BIGINT NOT NULL PRIMARY KEY,
    frozen     BIGINT NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    actor      TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL
);

-- What clients counted, each its own, since the exposure took hold.
CREATE TABLE rollout_counts (
    rollout_id  TEXT COLLATE "C" NOT NULL,
    reporter    TEXT COLLATE "C" NOT NULL,
    epoch       BIGINT NOT NULL,
    baseline    TEXT COLLATE "C" NOT NULL,
    candidate   TEXT COLLATE "C" NOT NULL,
    p95_us      BIGINT,
    reported_at BIGINT NOT NULL,
    PRIMARY KEY (rollout_id, reporter)
);
