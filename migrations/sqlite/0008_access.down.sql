DROP TABLE attempts;
CREATE TABLE login_attempts (
    subject   TEXT    NOT NULL PRIMARY KEY,
    since     INTEGER NOT NULL,
    failures  INTEGER NOT NULL
) STRICT;
CREATE INDEX login_attempts_by_age ON login_attempts (since);
DROP TABLE password_resets;
ALTER TABLE invitations DROP COLUMN inviter_id;
ALTER TABLE invitations DROP COLUMN inviter_kind;
DROP TABLE sip_names;
DROP TABLE caller_id_codes;

-- One organization keeps each number: the one that has it proven, else the first that listed it.
DELETE FROM caller_id_numbers WHERE EXISTS (
    SELECT 1 FROM caller_id_numbers o WHERE o.number = caller_id_numbers.number AND o.id <> caller_id_numbers.id
    AND (o.proven_at IS NULL, o.created_at, o.id) < (caller_id_numbers.proven_at IS NULL, caller_id_numbers.created_at, caller_id_numbers.id));
DROP INDEX caller_id_numbers_proven;
DROP INDEX caller_id_numbers_by_age;
DROP INDEX caller_id_rules_by_position;
DROP INDEX caller_id_rules_by_number;
ALTER TABLE caller_id_rules RENAME TO old_caller_id_rules;
ALTER TABLE caller_id_numbers RENAME TO old_caller_id_numbers;
CREATE TABLE caller_id_numbers (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    number           TEXT    NOT NULL UNIQUE,
    label            TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    UNIQUE (organization_id, id)
) STRICT;
CREATE INDEX caller_id_numbers_by_age ON caller_id_numbers (organization_id, created_at, id);
INSERT INTO caller_id_numbers (id, organization_id, number, label, created_at)
SELECT id, organization_id, number, label, created_at FROM old_caller_id_numbers;
CREATE TABLE caller_id_rules (
    id                  TEXT    NOT NULL PRIMARY KEY,
    organization_id     TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    position            INTEGER NOT NULL,
    number_id           TEXT    NOT NULL,
    agent               TEXT,
    campaign            TEXT,
    destination_prefix  TEXT,
    created_at          INTEGER NOT NULL,
    FOREIGN KEY (organization_id, number_id) REFERENCES caller_id_numbers (organization_id, id) ON DELETE CASCADE
) STRICT;
INSERT INTO caller_id_rules (id, organization_id, position, number_id, agent, campaign, destination_prefix, created_at)
SELECT id, organization_id, position, number_id, agent, campaign, destination_prefix, created_at FROM old_caller_id_rules;
CREATE INDEX caller_id_rules_by_position ON caller_id_rules (organization_id, position, created_at, id);
CREATE INDEX caller_id_rules_by_number ON caller_id_rules (organization_id, number_id);
DROP TABLE old_caller_id_rules;
DROP TABLE old_caller_id_numbers;
