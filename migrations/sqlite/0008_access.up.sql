-- Names, numbers and rights that cannot be taken by asking for them.

-- A number decides about incoming calls and may be shown only once it is proven: given by the operator, proven by a code
-- spoken in a call to it, or kept by this migration. Any organization may list a number; one at most has it proven.
-- SQLite cannot drop a UNIQUE constraint, so both tables are made anew.
DROP INDEX caller_id_numbers_by_age;
DROP INDEX caller_id_rules_by_position;
DROP INDEX caller_id_rules_by_number;
ALTER TABLE caller_id_rules RENAME TO old_caller_id_rules;
ALTER TABLE caller_id_numbers RENAME TO old_caller_id_numbers;

CREATE TABLE caller_id_numbers (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    number           TEXT    NOT NULL,
    label            TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    proven_at        INTEGER,
    proven_by        TEXT    CHECK (proven_by IN ('operator', 'code', 'migration')),
    CHECK ((proven_at IS NULL) = (proven_by IS NULL)),
    UNIQUE (organization_id, id),
    UNIQUE (organization_id, number)
) STRICT;
CREATE UNIQUE INDEX caller_id_numbers_proven ON caller_id_numbers (number) WHERE proven_at IS NOT NULL;
CREATE INDEX caller_id_numbers_by_age ON caller_id_numbers (organization_id, created_at, id);

-- With one organization in the store, nobody else can have claimed its numbers: they stay proven. Otherwise none is.
INSERT INTO caller_id_numbers (id, organization_id, number, label, created_at, proven_at, proven_by)
SELECT id, organization_id, number, label, created_at,
       CASE WHEN (SELECT COUNT(*) FROM organizations) = 1 THEN created_at END,
       CASE WHEN (SELECT COUNT(*) FROM organizations) = 1 THEN 'migration' END
FROM old_caller_id_numbers;

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

-- The code that was spoken last in a call to a number. code_hash: argon2id, because a code has few digits.
CREATE TABLE caller_id_codes (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    number_id        TEXT    NOT NULL,
    code_hash        TEXT    NOT NULL,
    tries            INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    PRIMARY KEY (organization_id, number_id),
    FOREIGN KEY (organization_id, number_id) REFERENCES caller_id_numbers (organization_id, id) ON DELETE CASCADE
) STRICT;

-- Every SIP name that an organization has ever had. It stays that organization's for good: without a reference, so that
-- it outlives the member and the organization.
CREATE TABLE sip_names (
    sip_name         TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL,
    created_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX sip_names_by_organization ON sip_names (organization_id, sip_name);
INSERT INTO sip_names (sip_name, organization_id, created_at)
SELECT sip_name, organization_id, created_at FROM memberships;
-- Of members who are gone, the names stand in their calls.
INSERT OR IGNORE INTO sip_names (sip_name, organization_id, created_at)
SELECT agent, organization_id, MIN(created_at) FROM calls WHERE agent IS NOT NULL GROUP BY agent, organization_id ORDER BY 3;

-- Who invited: judged again when the invitation is accepted. Older invitations of somebody who is no member are not open.
ALTER TABLE invitations ADD COLUMN inviter_kind TEXT;
ALTER TABLE invitations ADD COLUMN inviter_id TEXT;
UPDATE invitations SET inviter_kind = 'user', inviter_id = (
    SELECT m.user_id FROM memberships m JOIN users u ON u.id = m.user_id
    WHERE m.organization_id = invitations.organization_id AND u.email = invitations.invited_by);

-- Links that set a new password. token_hash: SHA-256 of what stands in the link.
CREATE TABLE password_resets (
    token_hash       TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id          TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX password_resets_by_user ON password_resets (organization_id, user_id);

-- What is counted in a time: attempts to log in, mails, calls that speak a code. No tenant's. subject: SHA-256 of a kind
-- and what is counted.
DROP TABLE login_attempts;
CREATE TABLE attempts (
    subject    TEXT    NOT NULL PRIMARY KEY,
    since      INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    forget_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX attempts_by_end ON attempts (forget_at);
