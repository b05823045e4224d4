-- Names, numbers and rights that cannot be taken by asking for them.

-- A number decides about incoming calls and may be shown only once it is proven: given by the operator, proven by a code
-- spoken in a call to it, or kept by this migration. Any organization may list a number; one at most has it proven.
ALTER TABLE caller_id_numbers DROP CONSTRAINT caller_id_numbers_number_key;
ALTER TABLE caller_id_numbers ADD COLUMN proven_at BIGINT;
ALTER TABLE caller_id_numbers ADD COLUMN proven_by TEXT CHECK (proven_by IN ('operator', 'code', 'migration'));
ALTER TABLE caller_id_numbers ADD CHECK ((proven_at IS NULL) = (proven_by IS NULL));
ALTER TABLE caller_id_numbers ADD UNIQUE (organization_id, number);
CREATE UNIQUE INDEX caller_id_numbers_proven ON caller_id_numbers (number) WHERE proven_at IS NOT NULL;
-- With one organization in the store, nobody else can have claimed its numbers: they stay proven. Otherwise none is.
UPDATE caller_id_numbers SET proven_at = created_at, proven_by = 'migration' WHERE (SELECT COUNT(*) FROM organizations) = 1;

-- Organization that has proven a called number. Returns ids only.
CREATE OR REPLACE FUNCTION look_up_number(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT n.organization_id FROM caller_id_numbers n WHERE n.number = wanted AND n.proven_at IS NOT NULL $$;

-- The code that was spoken last in a call to a number. code_hash: argon2id, because a code has few digits.
CREATE TABLE caller_id_codes (
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    number_id        UUID   NOT NULL,
    code_hash        TEXT   NOT NULL,
    tries            BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    PRIMARY KEY (organization_id, number_id),
    FOREIGN KEY (organization_id, number_id) REFERENCES caller_id_numbers (organization_id, id) ON DELETE CASCADE
);
CALL tenant_table('caller_id_codes');

-- Every SIP name that an organization has ever had. It stays that organization's for good: without a reference, so that
-- it outlives the member and the organization.
CREATE TABLE sip_names (
    sip_name         TEXT   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL,
    created_at       BIGINT NOT NULL
);
CREATE INDEX sip_names_by_organization ON sip_names (organization_id, sip_name);
CALL tenant_table('sip_names');
INSERT INTO sip_names (sip_name, organization_id, created_at)
SELECT sip_name, organization_id, created_at FROM memberships;
-- Of members who are gone, the names stand in their calls.
INSERT INTO sip_names (sip_name, organization_id, created_at)
SELECT agent, organization_id, MIN(created_at) FROM calls WHERE agent IS NOT NULL GROUP BY agent, organization_id ORDER BY 3
ON CONFLICT (sip_name) DO NOTHING;
-- Organization for which a SIP name is reserved. Returns ids only.
CREATE FUNCTION look_up_sip_name_reserved(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT s.organization_id FROM sip_names s WHERE s.sip_name = wanted $$;

-- Who invited: judged again when the invitation is accepted. Older invitations of somebody who is no member are not open.
ALTER TABLE invitations ADD COLUMN inviter_kind TEXT;
ALTER TABLE invitations ADD COLUMN inviter_id UUID;
UPDATE invitations SET inviter_kind = 'user', inviter_id = (
    SELECT m.user_id FROM memberships m JOIN users u ON u.id = m.user_id
    WHERE m.organization_id = invitations.organization_id AND u.email = invitations.invited_by);

-- Links that set a new password. token_hash: SHA-256 of what stands in the link.
CREATE TABLE password_resets (
    token_hash       TEXT   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id          UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL
);
CREATE INDEX password_resets_by_user ON password_resets (organization_id, user_id);
CALL tenant_table('password_resets');
-- Organization of a reset link. Returns ids only.
CREATE FUNCTION look_up_password_reset(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT r.organization_id FROM password_resets r WHERE r.token_hash = wanted $$;

-- What is counted in a time: attempts to log in, mails, calls that speak a code. No tenant's. subject: SHA-256 of a kind
-- and what is counted.
DROP TABLE login_attempts;
CREATE TABLE attempts (
    subject    TEXT   NOT NULL PRIMARY KEY,
    since      BIGINT NOT NULL,
    count      BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    forget_at  BIGINT NOT NULL
);
CREATE INDEX attempts_by_end ON attempts (forget_at);
