ALTER TABLE voice_configs DROP COLUMN budget_ms;
ALTER TABLE voice_configs DROP COLUMN agent_hears;
ALTER TABLE voice_configs DROP COLUMN customer_hears;
-- The version before does not know these fields and would refuse to read these calls.
UPDATE calls SET config = json_remove(config, '$.customer_hears', '$.agent_hears', '$.budget_ms')
WHERE json_type(config, '$.budget_ms') IS NOT NULL;
