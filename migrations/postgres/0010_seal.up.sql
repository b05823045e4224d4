-- Which key secrets are sealed with; one row, none before the first start that seals.
CREATE TABLE seal (
    one     BOOLEAN NOT NULL PRIMARY KEY CHECK (one),
    key_id  TEXT    NOT NULL,
    at      BIGINT  NOT NULL
);
