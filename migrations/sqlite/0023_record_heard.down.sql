ALTER TABLE voice_configs DROP COLUMN record_heard;
-- The version before does not know this field and would refuse to read these calls.
UPDATE calls SET config = json_remove(config, '$.record_heard') WHERE json_type(config, '$.record_heard') IS NOT NULL;
