DROP INDEX calls_by_amd;
ALTER TABLE calls DROP COLUMN amd;
ALTER TABLE legs DROP COLUMN amd;
ALTER TABLE voice_configs DROP COLUMN amd;
-- The version before knows no field `amd` and would refuse to read these calls.
UPDATE calls SET config = json_remove(config, '$.amd') WHERE json_type(config, '$.amd') IS NOT NULL;
