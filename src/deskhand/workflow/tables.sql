-- The tables of a runner's journal: one SQLite file, all of it own truth, nothing a projection. Histories are deltas,
-- and what the hub has acknowledged leaves the outbox.

-- Incarnation, cursor, schema, protocol, identity of the home; by ``setting/NAME`` and ``folder/ID`` what the hub said
-- of the account's settings and of how far it narrows each folder (never wider than the runner's own file); by
-- ``place/THREAD`` where the last results of a thread went.
CREATE TABLE IF NOT EXISTS meta (
    name VARCHAR NOT NULL PRIMARY KEY,
    value TEXT
);
-- Orders, stored before anything follows from them; ``ref`` is the approval or question that one validly decides.
CREATE TABLE IF NOT EXISTS inbox (
    seq INTEGER NOT NULL PRIMARY KEY,
    kind VARCHAR NOT NULL,
    task VARCHAR,
    ref VARCHAR,
    event TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS inbox_by_ref ON inbox (ref);
CREATE INDEX IF NOT EXISTS inbox_by_task ON inbox (task, kind);
-- ``status`` is open, finished, canceled or superseded; ``place`` the directory we made for its results, if we did.
CREATE TABLE IF NOT EXISTS attempts (
    task VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    brief TEXT NOT NULL,
    status VARCHAR NOT NULL,
    accepted BOOLEAN NOT NULL,
    paused BOOLEAN NOT NULL,
    place TEXT,
    received INTEGER NOT NULL,
    PRIMARY KEY (task, epoch)
);
CREATE INDEX IF NOT EXISTS attempts_by_status ON attempts (status, received);
-- Wish, argument hash and intent in one row before the effect; the result is the same row's second write.
CREATE TABLE IF NOT EXISTS steps (
    task VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    n INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL,
    effect VARCHAR,
    ref VARCHAR,
    wish TEXT NOT NULL,
    result TEXT,
    at VARCHAR NOT NULL,
    PRIMARY KEY (task, epoch, n),
    FOREIGN KEY (task, epoch) REFERENCES attempts (task, epoch)
);
CREATE INDEX IF NOT EXISTS steps_by_ref ON steps (ref);
-- Ops that may have to be sent again; ``refused`` is the hub's code when it will never take this one.
CREATE TABLE IF NOT EXISTS outbox (
    n INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    op_id VARCHAR NOT NULL UNIQUE,
    task VARCHAR,
    epoch INTEGER,
    op TEXT NOT NULL,
    refused VARCHAR
);
