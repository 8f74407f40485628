-- What people are to be told: written with what it tells of, sent later. Owner: hotswap-notify.

CREATE TABLE outbox_messages (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    dedupe_key TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    data       TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    put_at     BIGINT NOT NULL,
    -- 1: its deliveries are there.
    fanned_out BIGINT NOT NULL
);

CREATE UNIQUE INDEX outbox_messages_dedupe_key ON outbox_messages (dedupe_key);
CREATE INDEX outbox_messages_fanned_out ON outbox_messages (fanned_out, put_at);

-- A message on its way to one channel. Who claims it raises the fence, and puts `due_at` to when the claim ends.
CREATE TABLE outbox_deliveries (
    message_id TEXT COLLATE "C" NOT NULL,
    channel    TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    attempts   BIGINT NOT NULL,
    fence      BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    ended_at   BIGINT,
    last_error TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (message_id, channel)
);

CREATE INDEX outbox_deliveries_due ON outbox_deliveries (channel, state, due_at);
