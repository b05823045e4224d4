DROP TABLE recording_gaps;
DELETE FROM recordings WHERE number > 1;
ALTER TABLE recordings DROP CONSTRAINT recordings_pkey;
ALTER TABLE recordings ADD PRIMARY KEY (organization_id, call_id, part);
ALTER TABLE recordings DROP COLUMN channels;
ALTER TABLE recordings DROP COLUMN of_leg;
ALTER TABLE recordings DROP COLUMN number;
