-- Sounds of an organization: WAV files that calls are played.
CREATE TABLE media_files (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name             TEXT   NOT NULL,
    wav              BYTEA  NOT NULL,
    size_bytes       BIGINT NOT NULL,
    rate_hz          BIGINT NOT NULL,
    duration_ms      BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    UNIQUE (organization_id, name)
);
CREATE INDEX media_files_by_age ON media_files (organization_id, created_at, id);
CALL tenant_table('media_files');
