-- How often a job went on since its last new checkpoint: one that ends the process each time is given up.
ALTER TABLE jobs ADD COLUMN starts INTEGER NOT NULL DEFAULT 0;
-- 1: the answer failed a verification and is not given again.
ALTER TABLE jobs ADD COLUMN refuted INTEGER NOT NULL DEFAULT 0;
