PRAGMA application_id = 1886547300;
PRAGMA user_version = 3;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
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
, starts INTEGER NOT NULL DEFAULT 0, refuted INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO jobs VALUES(1,'pi 1','pi 1',NULL,'127.0.0.1:40000','normal','2023-11-14T22:13:20.123Z',NULL,NULL,-6498229175332226122,'done',0,2000000,'2023-11-14T22:13:20.123Z','number','5761455',NULL,NULL,-1528652719928330376,0,1);
INSERT INTO jobs VALUES(2,'pi 2','pi 2',NULL,'127.0.0.1:40000','normal','2023-11-14T22:13:20.123Z',NULL,NULL,-2011690256131750791,'failed',0,2000000,'2023-11-14T22:13:20.123Z',NULL,NULL,'deadline','the deadline passed',534185453849505266,0,0);
INSERT INTO jobs VALUES(3,'pi 3','pi 3',NULL,'127.0.0.1:40000','normal','2023-11-14T22:13:20.123Z',NULL,NULL,3951105168889308832,'cancelled',0,2000000,'2023-11-14T22:13:20.123Z',NULL,NULL,'cancelled','it was cancelled',8372837514316377105,0,0);
INSERT INTO jobs VALUES(4,'pi 4','pi 4','tonight','127.0.0.1:40000','normal','2023-11-14T22:13:20.123Z',NULL,NULL,8767564885271266060,'unfinished',2,1500000,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
CREATE TABLE checkpoints (
    job      INTEGER PRIMARY KEY,
    saved_at TEXT NOT NULL,
    progress REAL NOT NULL,
    bytes    BLOB NOT NULL,
    digest   INTEGER NOT NULL
) STRICT;
INSERT INTO checkpoints VALUES(4,'2023-11-14T22:13:20.123Z',0.5,X'666f7572',5822584037617682686);
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
INSERT INTO answers VALUES('pi 7','number','7',150000,'2023-11-14T22:13:20.123Z','1.2.3','gourdon',0,-8015482713922298101);
INSERT INTO answers VALUES('nth 1000003','number','15485927',150000,'2023-11-14T22:13:20.123Z','1.2.3','gourdon',1,3040485422885929532);
CREATE TABLE meta (
    name   TEXT PRIMARY KEY,
    value  TEXT NOT NULL,
    digest INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES('last_job','5',2339336200140454747);
COMMIT;
