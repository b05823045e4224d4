-- A recording longer than a file may be has several parts, each a file, numbered from 1.
ALTER TABLE recordings ADD COLUMN part BIGINT NOT NULL DEFAULT 1 CHECK (part >= 1);
ALTER TABLE recordings DROP CONSTRAINT recordings_pkey;
ALTER TABLE recordings ADD PRIMARY KEY (organization_id, call_id, part);
