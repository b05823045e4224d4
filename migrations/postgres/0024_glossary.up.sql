-- Terms and names of an organization, for recognisers and translators: a JSON object with the lists terms and names. Without a row:
-- none.
CREATE TABLE glossaries (
    organization_id     UUID    NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    content             TEXT    NOT NULL,
    updated_at          BIGINT  NOT NULL
);
CALL tenant_table('glossaries');
