DROP TABLE recording_gaps;
CREATE TABLE recordings_in_parts (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    part             INTEGER NOT NULL DEFAULT 1 CHECK (part >= 1),
    path             TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('started', 'finished', 'interrupted')),
    note             TEXT,
    duration_ms      INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    ended_at         INTEGER,
    PRIMARY KEY (organization_id, call_id, part)
) STRICT;
INSERT INTO recordings_in_parts
SELECT organization_id, call_id, part, path, state, note, duration_ms, started_at, ended_at FROM recordings WHERE number = 1;
DROP TABLE recordings;
ALTER TABLE recordings_in_parts RENAME TO recordings;
CREATE INDEX recordings_by_start ON recordings (organization_id, started_at DESC, call_id DESC);
