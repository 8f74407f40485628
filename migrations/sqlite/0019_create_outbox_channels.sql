-- The channels of all processes, so that whoever makes the deliveries of a message makes all of them. Owner: hotswap-notify.

CREATE TABLE outbox_channels (
    id      TEXT    NOT NULL PRIMARY KEY,
    -- The kinds that it wants, as a JSON list.
    wants   TEXT    NOT NULL,
    -- What was put before is not told there, by the clock of those who put.
    since   INTEGER NOT NULL,
    -- When a process that has it last said so, by the database's clock.
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
