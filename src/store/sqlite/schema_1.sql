-- The store of primed, version 1. Times are UTC; digests (64-bit FNV-1a) cover the columns before them, but neither
-- resumed and cpu_us of a job nor refuted, which schema_3.sql has in another way.
CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY,
    request      TEXT NOT NULL, -- the words that were submitted
    title        TEXT NOT NULL, -- the question in its canonical form
    key          TEXT,          -- submit id=KEY
    owner        TEXT NOT NULL,
    priority     TEXT NOT NULL,
    submitted_at TEXT NOT NULL,
    not_before   TEXT,
    deadline     TEXT,
    digest       INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('unfinished', 'done', 'failed', 'cancelled')),
    resumed      INTEGER NOT NULL DEFAULT 0,
    cpu_us       INTEGER NOT NULL DEFAULT 0,
    ended_at     TEXT,
    kind         TEXT,          -- of the answer: number, numbers, truth, text, facts, nothing
    value        TEXT,          -- the answer
    code         TEXT,          -- of the error
    message      TEXT,          -- of the error
    end_digest   INTEGER
) STRICT;

CREATE TABLE checkpoints (
    job      INTEGER PRIMARY KEY,
    saved_at TEXT NOT NULL,
    progress REAL NOT NULL,
    bytes    BLOB NOT NULL,
    digest   INTEGER NOT NULL
) STRICT;

CREATE TABLE answers (
    title    TEXT PRIMARY KEY,
    kind     TEXT NOT NULL,
    value    TEXT NOT NULL,
    cost_us  INTEGER NOT NULL,
    found_at TEXT NOT NULL,
    version  TEXT NOT NULL, -- of the program that found it
    method   TEXT NOT NULL,
    refuted  INTEGER NOT NULL DEFAULT 0, -- 1: failed its verification and is never given again
    digest   INTEGER NOT NULL
) STRICT;

CREATE TABLE meta (
    name   TEXT PRIMARY KEY,
    value  TEXT NOT NULL,
    digest INTEGER NOT NULL
) STRICT;
