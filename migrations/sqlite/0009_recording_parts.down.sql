CREATE TABLE recordings_whole (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    path             TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('started', 'finished', 'interrupted')),
    note             TEXT,
    duration_ms      INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    ended_at         INTEGER,
    PRIMARY KEY (organization_id, call_id)
) STRICT;
INSERT INTO recordings_whole SELECT organization_id, call_id, path, state, note, duration_ms, started_at, ended_at FROM recordings WHERE part = 1;
DROP TABLE recordings;
ALTER TABLE recordings_whole RENAME TO recordings;
CREATE INDEX recordings_by_start ON recordings (organization_id, started_at DESC, call_id DESC);
