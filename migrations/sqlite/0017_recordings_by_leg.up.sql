-- A call has several recordings, numbered from 1, each with its parts; a channel of a part is one leg's. `of_leg`: the recording is of
-- this leg alone. `channels`: JSON.
CREATE TABLE recordings_numbered (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number           INTEGER NOT NULL DEFAULT 1 CHECK (number >= 1),
    part             INTEGER NOT NULL DEFAULT 1 CHECK (part >= 1),
    of_leg           INTEGER,
    path             TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('started', 'finished', 'interrupted')),
    note             TEXT,
    duration_ms      INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    ended_at         INTEGER,
    channels         TEXT    NOT NULL DEFAULT '[]',
    PRIMARY KEY (organization_id, call_id, number, part)
) STRICT;
INSERT INTO recordings_numbered
SELECT organization_id, call_id, 1, part, NULL, path, state, note, duration_ms, started_at, ended_at, '[]' FROM recordings;
DROP TABLE recordings;
ALTER TABLE recordings_numbered RENAME TO recordings;
CREATE INDEX recordings_by_start ON recordings (organization_id, started_at DESC, call_id DESC);

-- Pauses of recordings: there is silence in the files meanwhile.
CREATE TABLE recording_gaps (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number           INTEGER NOT NULL,
    began_at         INTEGER NOT NULL,
    ended_at         INTEGER,
    PRIMARY KEY (organization_id, call_id, number, began_at)
) STRICT;
