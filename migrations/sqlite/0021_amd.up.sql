-- Detection of what answers a call. voice_configs.amd: mode, limit and actions as JSON; NULL: off, with the defaults. legs.amd: what
-- was detected on the leg, as JSON; NULL: nothing was to be detected. calls.amd: the newest verdict that was acted upon. calls.config
-- contains the field `amd` from here on.
ALTER TABLE voice_configs ADD COLUMN amd TEXT CHECK (amd IS NULL OR json_valid(amd));
ALTER TABLE legs ADD COLUMN amd TEXT CHECK (amd IS NULL OR json_valid(amd));
ALTER TABLE calls ADD COLUMN amd TEXT;
CREATE INDEX calls_by_amd ON calls (organization_id, amd, created_at DESC, id DESC) WHERE amd IS NOT NULL;
