-- The audit log: who did what. Append-only, and guarded by triggers. Whoever owns the file can drop them; that the
-- log was changed shows in the hashes, and against the anchors outside of the database. Owner: hotswap-audit.

-- A chain, and its newest event. What lies up to the floor was dropped by retention.
CREATE TABLE audit_chains (
    chain    TEXT    NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash     TEXT    NOT NULL,
    floor    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_events (
    chain         TEXT    NOT NULL,
    sequence      INTEGER NOT NULL,
    id            TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    actor         TEXT    NOT NULL,
    roles         TEXT    NOT NULL,
    tenant        TEXT    NOT NULL,
    method        TEXT    NOT NULL,
    resource      TEXT    NOT NULL,
    revision      INTEGER NOT NULL,
    outcome       TEXT    NOT NULL,
    reason        TEXT    NOT NULL,
    request_id    TEXT    NOT NULL,
    source        TEXT    NOT NULL,
    before_hash   TEXT    NOT NULL,
    after_hash    TEXT    NOT NULL,
    changes       TEXT    NOT NULL,
    attempts      INTEGER NOT NULL,
    previous_hash TEXT    NOT NULL,
    hash          TEXT    NOT NULL,
    PRIMARY KEY (chain, sequence)
) STRICT;

CREATE INDEX audit_events_actor ON audit_events (chain, actor, sequence);
CREATE INDEX audit_events_resource ON audit_events (chain, resource, sequence);

-- Signed tree heads. `frontier` is the tree's right edge, from which it goes on.
CREATE TABLE audit_checkpoints (
    chain    TEXT    NOT NULL,
    size     INTEGER NOT NULL,
    frontier TEXT    NOT NULL,
    note     TEXT    NOT NULL,
    PRIMARY KEY (chain, size)
) STRICT, WITHOUT ROWID;

-- While one is not released, retention drops nothing of its chain.
CREATE TABLE audit_holds (
    id          TEXT    NOT NULL PRIMARY KEY,
    chain       TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    placed_by   TEXT    NOT NULL,
    placed_at   INTEGER NOT NULL,
    released_by TEXT,
    released_at INTEGER
) STRICT, WITHOUT ROWID;

-- REPLACE deletes without asking the triggers of DELETE, so what is there can't be inserted again.
CREATE TRIGGER audit_events_insert BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE chain = NEW.chain AND sequence = NEW.sequence)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: an event is never replaced'); END;

CREATE TRIGGER audit_events_update BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: an event is never changed'); END;

CREATE TRIGGER audit_events_delete BEFORE DELETE ON audit_events
WHEN OLD.sequence > COALESCE((SELECT floor FROM audit_chains WHERE chain = OLD.chain), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: only retention drops events'); END;

CREATE TRIGGER audit_chains_insert BEFORE INSERT ON audit_chains
WHEN NEW.floor <> 0 OR EXISTS (SELECT 1 FROM audit_chains WHERE chain = NEW.chain)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: a chain is never replaced'); END;

CREATE TRIGGER audit_chains_update BEFORE UPDATE ON audit_chains
WHEN NEW.chain <> OLD.chain OR NEW.sequence < OLD.sequence OR NEW.floor < OLD.floor
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: a chain only grows'); END;

CREATE TRIGGER audit_chains_floor BEFORE UPDATE ON audit_chains
WHEN NEW.floor > OLD.floor AND (
    NOT EXISTS (SELECT 1 FROM audit_checkpoints WHERE chain = NEW.chain AND size = NEW.floor)
    OR EXISTS (SELECT 1 FROM audit_holds WHERE chain = NEW.chain AND released_at IS NULL))
BEGIN SELECT RAISE(ABORT, 'retention drops up to a checkpoint, and nothing under a legal hold'); END;

CREATE TRIGGER audit_chains_delete BEFORE DELETE ON audit_chains
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: a chain is never deleted'); END;

CREATE TRIGGER audit_checkpoints_insert BEFORE INSERT ON audit_checkpoints
WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE chain = NEW.chain AND size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: a checkpoint is never replaced'); END;

CREATE TRIGGER audit_checkpoints_update BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: a checkpoint is never changed'); END;

CREATE TRIGGER audit_checkpoints_delete BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: a checkpoint is never deleted'); END;

CREATE TRIGGER audit_holds_insert BEFORE INSERT ON audit_holds
WHEN EXISTS (SELECT 1 FROM audit_holds WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'a legal hold is never replaced'); END;

CREATE TRIGGER audit_holds_update BEFORE UPDATE ON audit_holds
WHEN OLD.released_at IS NOT NULL OR NEW.released_at IS NULL OR NEW.released_by IS NULL
    OR NEW.id <> OLD.id OR NEW.chain <> OLD.chain OR NEW.reason <> OLD.reason
    OR NEW.placed_by <> OLD.placed_by OR NEW.placed_at <> OLD.placed_at
BEGIN SELECT RAISE(ABORT, 'a legal hold is released once, and not changed'); END;

CREATE TRIGGER audit_holds_delete BEFORE DELETE ON audit_holds
BEGIN SELECT RAISE(ABORT, 'a legal hold is never deleted'); END;
