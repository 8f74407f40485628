-- The audit log: who did what. Append-only, and guarded by triggers, which hold also where
-- session_replication_role is replica. Whoever owns the tables can drop them; that the log was changed shows in the
-- hashes, and against the anchors outside of the database. Owner: hotswap-audit.

-- A chain, and its newest event. What lies up to the floor was dropped by retention.
CREATE TABLE audit_chains (
    chain    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash     TEXT COLLATE "C" NOT NULL,
    floor    BIGINT NOT NULL
);

CREATE TABLE audit_events (
    chain         TEXT COLLATE "C" NOT NULL,
    sequence      BIGINT NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    at            BIGINT NOT NULL,
    actor         TEXT COLLATE "C" NOT NULL,
    roles         TEXT COLLATE "C" NOT NULL,
    tenant        TEXT COLLATE "C" NOT NULL,
    method        TEXT COLLATE "C" NOT NULL,
    resource      TEXT COLLATE "C" NOT NULL,
    revision      BIGINT NOT NULL,
    outcome       TEXT COLLATE "C" NOT NULL,
    reason        TEXT COLLATE "C" NOT NULL,
    request_id    TEXT COLLATE "C" NOT NULL,
    source        TEXT COLLATE "C" NOT NULL,
    before_hash   TEXT COLLATE "C" NOT NULL,
    after_hash    TEXT COLLATE "C" NOT NULL,
    changes       TEXT COLLATE "C" NOT NULL,
    attempts      BIGINT NOT NULL,
    previous_hash TEXT COLLATE "C" NOT NULL,
    hash          TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (chain, sequence)
);

CREATE INDEX audit_events_actor ON audit_events (chain, actor, sequence);
CREATE INDEX audit_events_resource ON audit_events (chain, resource, sequence);

-- Signed tree heads. `frontier` is the tree's right edge, from which it goes on.
CREATE TABLE audit_checkpoints (
    chain    TEXT COLLATE "C" NOT NULL,
    size     BIGINT NOT NULL,
    frontier TEXT COLLATE "C" NOT NULL,
    note     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (chain, size)
);

-- While one is not released, retention drops nothing of its chain.
CREATE TABLE audit_holds (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    chain       TEXT COLLATE "C" NOT NULL,
    reason      TEXT COLLATE "C" NOT NULL,
    placed_by   TEXT COLLATE "C" NOT NULL,
    placed_at   BIGINT NOT NULL,
    released_by TEXT COLLATE "C",
    released_at BIGINT
);

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION audit_drop_event() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF OLD.sequence > COALESCE((SELECT floor FROM audit_chains WHERE chain = OLD.chain), 0) THEN
        RAISE EXCEPTION 'DELETE of audit_events is refused: the audit log is append-only: only retention drops events'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;

CREATE FUNCTION audit_raise_floor() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit_checkpoints WHERE chain = NEW.chain AND size = NEW.floor)
        OR EXISTS (SELECT 1 FROM audit_holds WHERE chain = NEW.chain AND released_at IS NULL) THEN
        RAISE EXCEPTION 'retention drops up to a checkpoint, and nothing under a legal hold'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_events_update BEFORE UPDATE ON audit_events FOR EACH ROW
    EXECUTE FUNCTION audit_refuse('the audit log is append-only: an event is never changed');
CREATE TRIGGER audit_events_delete BEFORE DELETE ON audit_events FOR EACH ROW
    EXECUTE FUNCTION audit_drop_event();
CREATE TRIGGER audit_events_truncate BEFORE TRUNCATE ON audit_events FOR EACH STATEMENT
    EXECUTE FUNCTION audit_refuse('the audit log is append-only');

CREATE TRIGGER audit_chains_insert BEFORE INSERT ON audit_chains FOR EACH ROW WHEN (NEW.floor <> 0)
    EXECUTE FUNCTION audit_refuse('a chain begins at its beginning');
CREATE TRIGGER audit_chains_update BEFORE UPDATE ON audit_chains FOR EACH ROW
    WHEN (NEW.chain <> OLD.chain OR NEW.sequence < OLD.sequence OR NEW.floor < OLD.floor)
    EXECUTE FUNCTION audit_refuse('the audit log is append-only: a chain only grows');
CREATE TRIGGER audit_chains_floor BEFORE UPDATE ON audit_chains FOR EACH ROW WHEN (NEW.floor > OLD.floor)
    EXECUTE FUNCTION audit_raise_floor();
CREATE TRIGGER audit_chains_delete BEFORE DELETE ON audit_chains FOR EACH ROW
    EXECUTE FUNCTION audit_refuse('the audit log is append-only: a chain is never deleted');
CREATE TRIGGER audit_chains_truncate BEFORE TRUNCATE ON audit_chains FOR EACH STATEMENT
    EXECUTE FUNCTION audit_refuse('the audit log is append-only');

CREATE TRIGGER audit_checkpoints_update BEFORE UPDATE ON audit_checkpoints FOR EACH ROW
    EXECUTE FUNCTION audit_refuse('the audit log is append-only: a checkpoint is never changed');
CREATE TRIGGER audit_checkpoints_delete BEFORE DELETE ON audit_checkpoints FOR EACH ROW
    EXECUTE FUNCTION audit_refuse('the audit log is append-only: a checkpoint is never deleted');
CREATE TRIGGER audit_checkpoints_truncate BEFORE TRUNCATE ON audit_checkpoints FOR EACH STATEMENT
    EXECUTE FUNCTION audit_refuse('the audit log is append-only');

CREATE TRIGGER audit_holds_update BEFORE UPDATE ON audit_holds FOR EACH ROW
    WHEN (OLD.released_at IS NOT NULL OR NEW.released_at IS NULL OR NEW.released_by IS NULL
        OR NEW.id <> OLD.id OR NEW.chain <> OLD.chain OR NEW.reason <> OLD.reason
        OR NEW.placed_by <> OLD.placed_by OR NEW.placed_at <> OLD.placed_at)
    EXECUTE FUNCTION audit_refuse('a legal hold is released once, and not changed');
CREATE TRIGGER audit_holds_delete BEFORE DELETE ON audit_holds FOR EACH ROW
    EXECUTE FUNCTION audit_refuse('a legal hold is never deleted');
CREATE TRIGGER audit_holds_truncate BEFORE TRUNCATE ON audit_holds FOR EACH STATEMENT
    EXECUTE FUNCTION audit_refuse('a legal hold is never deleted');

-- Also where replication applies changes.
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_update;
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_delete;
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_truncate;
ALTER TABLE audit_chains ENABLE ALWAYS TRIGGER audit_chains_insert;
ALTER TABLE audit_chains ENABLE ALWAYS TRIGGER audit_chains_update;
ALTER TABLE audit_chains ENABLE ALWAYS TRIGGER audit_chains_floor;
ALTER TABLE audit_chains ENABLE ALWAYS TRIGGER audit_chains_delete;
ALTER TABLE audit_chains ENABLE ALWAYS TRIGGER audit_chains_truncate;
ALTER TABLE audit_checkpoints ENABLE ALWAYS TRIGGER audit_checkpoints_update;
ALTER TABLE audit_checkpoints ENABLE ALWAYS TRIGGER audit_checkpoints_delete;
ALTER TABLE audit_checkpoints ENABLE ALWAYS TRIGGER audit_checkpoints_truncate;
ALTER TABLE audit_holds ENABLE ALWAYS TRIGGER audit_holds_update;
ALTER TABLE audit_holds ENABLE ALWAYS TRIGGER audit_holds_delete;
ALTER TABLE audit_holds ENABLE ALWAYS TRIGGER audit_holds_truncate;
