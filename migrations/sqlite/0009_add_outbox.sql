-- What people are to be told: written with what it tells of, sent later. Owner: hotswap-notify.

CREATE TABLE outbox_messages (
    id         TEXT    NOT NULL PRIMARY KEY,
    dedupe_key TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    data       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    put_at     INTEGER NOT NULL,
    -- 1: its deliveries are there.
    fanned_out INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX outbox_messages_dedupe_key ON outbox_messages (dedupe_key);
CREATE INDEX outbox_messages_fanned_out ON outbox_messages (fanned_out, put_at);

-- A message on its way to one channel. Who claims it raises the fence, and puts `due_at` to when the claim ends.
CREATE TABLE outbox_deliveries (
    message_id TEXT    NOT NULL,
    channel    TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    ended_at   INTEGER,
    last_error TEXT    NOT NULL,
    PRIMARY KEY (message_id, channel)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_deliveries_due ON outbox_deliveries (channel, state, due_at);
