-- The digest of a refuted answer is the complement of what it was, so that a mark which is lost is noticed.
UPDATE jobs SET end_digest = ~end_digest WHERE refuted = 1;
UPDATE answers SET digest = ~digest WHERE refuted = 1;
