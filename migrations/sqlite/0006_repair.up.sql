-- Segments whose speech live recognition did not hear: recognised again from the recording, a bounded number of times.
CREATE TABLE missed_segments (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    segment          INTEGER NOT NULL,
    leg              TEXT    NOT NULL,
    language         TEXT    NOT NULL,
    began_at         INTEGER NOT NULL,
    ended_at         INTEGER NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('waiting', 'heard', 'given_up')),
    tries            INTEGER NOT NULL,
    PRIMARY KEY (organization_id, call_id, segment)
) STRICT;
CREATE INDEX missed_segments_waiting ON missed_segments (organization_id, state, began_at, call_id, segment);
