ALTER TABLE voice_configs DROP COLUMN record_heard;
-- The version before does not know this field and would refuse to read these calls.
UPDATE calls SET config = (config::JSONB - 'record_heard')::TEXT WHERE config::JSONB -> 'record_heard' IS NOT NULL;
