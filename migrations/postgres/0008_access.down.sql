DROP TABLE attempts;
CREATE TABLE login_attempts (
    subject   TEXT   NOT NULL PRIMARY KEY,
    since     BIGINT NOT NULL,
    failures  BIGINT NOT NULL
);
CREATE INDEX login_attempts_by_age ON login_attempts (since);
DROP FUNCTION look_up_password_reset;
DROP TABLE password_resets;
ALTER TABLE invitations DROP COLUMN inviter_id;
ALTER TABLE invitations DROP COLUMN inviter_kind;
DROP FUNCTION look_up_sip_name_reserved;
DROP TABLE sip_names;
DROP TABLE caller_id_codes;
CREATE OR REPLACE FUNCTION look_up_number(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT n.organization_id FROM caller_id_numbers n WHERE n.number = wanted $$;
-- One organization keeps each number: the one that has it proven, else the first that listed it.
DELETE FROM caller_id_numbers n USING caller_id_numbers o WHERE o.number = n.number AND o.id <> n.id
    AND (o.proven_at IS NULL, o.created_at, o.id) < (n.proven_at IS NULL, n.created_at, n.id);
DROP INDEX caller_id_numbers_proven;
ALTER TABLE caller_id_numbers DROP COLUMN proven_by;
ALTER TABLE caller_id_numbers DROP COLUMN proven_at;
ALTER TABLE caller_id_numbers DROP CONSTRAINT caller_id_numbers_organization_id_number_key;
ALTER TABLE caller_id_numbers ADD UNIQUE (number);
