-- Segments whose speech live recognition did not hear: recognised again from the recording, a bounded number of times.
CREATE TABLE missed_segments (
    organization_id  UUID    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    segment          BIGINT  NOT NULL,
    leg              TEXT    NOT NULL,
    language         TEXT    NOT NULL,
    began_at         BIGINT  NOT NULL,
    ended_at         BIGINT  NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('waiting', 'heard', 'given_up')),
    tries            BIGINT  NOT NULL,
    PRIMARY KEY (organization_id, call_id, segment)
);
CREATE INDEX missed_segments_waiting ON missed_segments (organization_id, state, began_at, call_id, segment);
CALL tenant_table('missed_segments');
