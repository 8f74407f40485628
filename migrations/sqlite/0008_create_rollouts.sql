-- Rollouts: what is carried from where to where, where it stands, and who drives it now. Owner: the host of rollouts.

CREATE TABLE rollouts (
    id            TEXT    NOT NULL PRIMARY KEY,
    domain        TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    from_revision INTEGER,
    to_revision   INTEGER NOT NULL,
    author        TEXT    NOT NULL,
    strategy      TEXT    NOT NULL,
    -- What never changes, as JSON.
    rollout       TEXT    NOT NULL,
    -- Where it stands, as JSON, and what is asked about it without reading that.
    record        TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    generation    INTEGER NOT NULL,
    step          INTEGER NOT NULL,
    step_times    TEXT    NOT NULL,
    verdict       TEXT,
    verdict_words TEXT,
    -- The newest event and command; how often somebody asked for a turn.
    last_event    INTEGER NOT NULL,
    last_command  INTEGER NOT NULL,
    calls         INTEGER NOT NULL,
    lease_owner   TEXT,
    lease_until   INTEGER NOT NULL,
    fence         INTEGER NOT NULL,
    -- When it is looked at again, measured last, compared with its target last. All by the database's clock.
    wake_at       INTEGER,
    measured_at   INTEGER,
    compared_at   INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    ended_at      INTEGER
) STRICT, WITHOUT ROWID;

-- One active rollout a subject.
CREATE UNIQUE INDEX rollouts_active ON rollouts (subject, domain) WHERE ended_at IS NULL;
CREATE INDEX rollouts_due ON rollouts (domain, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX rollouts_created ON rollouts (created_at, id);
CREATE INDEX rollouts_updated ON rollouts (updated_at, id);
CREATE INDEX rollouts_waiting ON rollouts (state, created_at, id) WHERE ended_at IS NULL;

-- What happened, in order. Nothing of it is ever changed.
CREATE TABLE rollout_events (
    rollout_id TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    PRIMARY KEY (rollout_id, seq)
) STRICT, WITHOUT ROWID;

-- What people asked for, and what they were answered.
CREATE TABLE rollout_commands (
    rollout_id  TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    -- Whoever sends the same key again gets the same answer.
    key         TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    caller      TEXT    NOT NULL,
    demand      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    answered_at INTEGER,
    answer      TEXT,
    PRIMARY KEY (rollout_id, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX rollout_commands_key ON rollout_commands (key);

-- All that was counted, and what the judge found in it: judged again, it gives the same.
CREATE TABLE rollout_measurements (
    rollout_id   TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    since        INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    slow_over_us INTEGER,
    measurement  TEXT    NOT NULL,
    finding      TEXT    NOT NULL,
    PRIMARY KEY (rollout_id, at)
) STRICT, WITHOUT ROWID;

-- Which steps and approvals a change needs.
CREATE TABLE rollout_policies (
    id         TEXT    NOT NULL PRIMARY KEY,
    subject    TEXT    NOT NULL,
    policy     TEXT    NOT NULL,
    uid        TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX rollout_policies_subject ON rollout_policies (subject);

-- The global switch: one row, or none before it was first turned.
CREATE TABLE rollout_freeze (
    id         INTEGER NOT NULL PRIMARY KEY,
    frozen     INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

-- What clients counted, each its own, since the exposure took hold.
CREATE TABLE rollout_counts (
    rollout_id  TEXT    NOT NULL,
    reporter    TEXT    NOT NULL,
    epoch       INTEGER NOT NULL,
    baseline    TEXT    NOT NULL,
    candidate   TEXT    NOT NULL,
    p95_us      INTEGER,
    reported_at INTEGER NOT NULL,
    PRIMARY KEY (rollout_id, reporter)
) STRICT, WITHOUT ROWID;
