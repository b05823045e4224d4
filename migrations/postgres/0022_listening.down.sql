ALTER TABLE voice_configs DROP COLUMN budget_ms;
ALTER TABLE voice_configs DROP COLUMN agent_hears;
ALTER TABLE voice_configs DROP COLUMN customer_hears;
-- The version before does not know these fields and would refuse to read these calls.
UPDATE calls SET config = (config::JSONB - 'customer_hears' - 'agent_hears' - 'budget_ms')::TEXT
WHERE config::JSONB -> 'budget_ms' IS NOT NULL;
