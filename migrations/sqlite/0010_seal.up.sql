-- Which key secrets are sealed with; one row, none before the first start that seals.
CREATE TABLE seal (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    key_id  TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
