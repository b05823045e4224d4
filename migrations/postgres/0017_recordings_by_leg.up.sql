-- A call has several recordings, numbered from 1, each with its parts; a channel of a part is one leg's. `of_leg`: the recording is of
-- this leg alone. `channels`: JSON.
ALTER TABLE recordings ADD COLUMN number BIGINT NOT NULL DEFAULT 1 CHECK (number >= 1);
ALTER TABLE recordings ADD COLUMN of_leg BIGINT;
ALTER TABLE recordings ADD COLUMN channels TEXT NOT NULL DEFAULT '[]';
ALTER TABLE recordings DROP CONSTRAINT recordings_pkey;
ALTER TABLE recordings ADD PRIMARY KEY (organization_id, call_id, number, part);

-- Pauses of recordings: there is silence in the files meanwhile.
CREATE TABLE recording_gaps (
    organization_id  UUID    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number           BIGINT  NOT NULL,
    began_at         BIGINT  NOT NULL,
    ended_at         BIGINT,
    PRIMARY KEY (organization_id, call_id, number, began_at)
);
CALL tenant_table('recording_gaps');
