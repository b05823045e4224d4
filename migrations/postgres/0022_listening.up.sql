-- What the sides of a translated call hear of each other, and the highest lateness of a spoken clause in milliseconds. calls.config
-- contains these fields from here on.
ALTER TABLE voice_configs ADD COLUMN customer_hears TEXT NOT NULL DEFAULT 'ducked'
    CHECK (customer_hears IN ('original', 'ducked', 'translation'));
ALTER TABLE voice_configs ADD COLUMN agent_hears TEXT NOT NULL DEFAULT 'ducked'
    CHECK (agent_hears IN ('original', 'ducked', 'translation'));
ALTER TABLE voice_configs ADD COLUMN budget_ms BIGINT NOT NULL DEFAULT 3000 CHECK (budget_ms BETWEEN 1000 AND 10000);
