DELETE FROM recordings WHERE part > 1;
ALTER TABLE recordings DROP CONSTRAINT recordings_pkey;
ALTER TABLE recordings ADD PRIMARY KEY (organization_id, call_id);
ALTER TABLE recordings DROP COLUMN part;
