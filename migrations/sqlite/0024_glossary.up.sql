-- Terms and names of an organization, for recognisers and translators: a JSON object with the lists terms and names. Without a row:
-- none.
CREATE TABLE glossaries (
    organization_id     TEXT    NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    content             TEXT    NOT NULL CHECK (json_valid(content)),
    updated_at          INTEGER NOT NULL
) STRICT;
