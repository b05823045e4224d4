-- holds: the leg's own telephone has put the call on hold. gain_db: how loud the others hear it, in decibels.
ALTER TABLE legs ADD COLUMN holds BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE legs ADD COLUMN gain_db BIGINT NOT NULL DEFAULT 0;

-- How an organization handles its calls. Without a row: the soft tone, and nobody is told of supervisors. hold_music: name of a sound in
-- media_files, which may be removed; then it is the soft tone again.
CREATE TABLE call_handling (
    organization_id     UUID    NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    hold_music          TEXT,
    supervision_notice  BOOLEAN NOT NULL,
    updated_at          BIGINT  NOT NULL
);
CALL tenant_table('call_handling');
