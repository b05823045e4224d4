-- Sounds of an organization: WAV files that calls are played.
CREATE TABLE media_files (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name             TEXT    NOT NULL,
    wav              BLOB    NOT NULL,
    size_bytes       INTEGER NOT NULL,
    rate_hz          INTEGER NOT NULL,
    duration_ms      INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    UNIQUE (organization_id, name)
) STRICT;
CREATE INDEX media_files_by_age ON media_files (organization_id, created_at, id);
