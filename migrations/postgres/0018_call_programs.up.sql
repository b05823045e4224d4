-- Call programs of numbers: what happens to whoever calls them.
CREATE TABLE number_programs (
    number_id        UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    program          TEXT,
    program_url      TEXT,
    fallback         TEXT,
    updated_at       BIGINT NOT NULL,
    FOREIGN KEY (organization_id, number_id) REFERENCES caller_id_numbers (organization_id, id) ON DELETE CASCADE,
    CHECK ((program IS NULL) <> (program_url IS NULL))
);
CREATE INDEX number_programs_by_number ON number_programs (organization_id, number_id);
CALL tenant_table('number_programs');

-- The secret that signs requests to program servers is derived from the key and this number, so that it can be replaced alone.
ALTER TABLE signing_keys ADD COLUMN program_secret BIGINT NOT NULL DEFAULT 1;
