-- People and programs: invitations, keys with scopes and an end, attempts to log in, what was done by whom.

-- limits, retention: JSON objects; what they leave out is as the configuration says.
ALTER TABLE organizations ADD COLUMN limits TEXT NOT NULL DEFAULT '{}' CHECK (limits::JSON IS NOT NULL);
ALTER TABLE organizations ADD COLUMN retention TEXT NOT NULL DEFAULT '{}' CHECK (retention::JSON IS NOT NULL);
ALTER TABLE organizations ADD COLUMN updated_at BIGINT;

ALTER TABLE memberships ADD COLUMN last_login_at BIGINT;

-- prefix: the key's first characters, to tell keys apart. scopes: a JSON list of permissions; nothing: all that a key may.
ALTER TABLE api_keys ADD COLUMN prefix TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN scopes TEXT CHECK (scopes::JSON IS NOT NULL);
ALTER TABLE api_keys ADD COLUMN expires_at BIGINT;
ALTER TABLE api_keys ADD COLUMN created_by UUID;

-- token_hash: SHA-256 of what stands in the link.
CREATE TABLE invitations (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    email            TEXT   NOT NULL,
    role             TEXT   NOT NULL CHECK (role IN ('owner', 'admin', 'supervisor', 'agent', 'compliance', 'viewer')),
    token_hash       TEXT   NOT NULL UNIQUE,
    invited_by       TEXT   NOT NULL,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    accepted_at      BIGINT,
    revoked_at       BIGINT
);
CREATE INDEX invitations_by_organization ON invitations (organization_id, created_at, id);
CREATE INDEX invitations_by_email ON invitations (organization_id, email);
CALL tenant_table('invitations');

-- No tenant's: an attempt comes before a tenant is known. subject: SHA-256 of a kind and an e-mail address or IP address.
CREATE TABLE login_attempts (
    subject   TEXT   NOT NULL PRIMARY KEY,
    since     BIGINT NOT NULL,
    failures  BIGINT NOT NULL
);
CREATE INDEX login_attempts_by_age ON login_attempts (since);

-- seq counts from 1 in each organization; hash covers the row and prev_hash, the hash of the row before.
CREATE TABLE audit_log (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id),
    seq              BIGINT NOT NULL,
    at               BIGINT NOT NULL,
    actor_kind       TEXT   NOT NULL CHECK (actor_kind IN ('user', 'key', 'system')),
    actor_id         TEXT,
    actor_name       TEXT   NOT NULL,
    address          TEXT,
    request_id       TEXT,
    action           TEXT   NOT NULL,
    target           TEXT   NOT NULL,
    before           TEXT   CHECK (before::JSON IS NOT NULL),
    after            TEXT   CHECK (after::JSON IS NOT NULL),
    prev_hash        TEXT   NOT NULL,
    hash             TEXT   NOT NULL,
    UNIQUE (organization_id, seq)
);
CREATE INDEX audit_log_by_actor ON audit_log (organization_id, actor_id, seq);
CREATE INDEX audit_log_by_action ON audit_log (organization_id, action, seq);
CREATE INDEX audit_log_by_target ON audit_log (organization_id, target, seq);
CREATE INDEX audit_log_by_time ON audit_log (organization_id, at, seq);
CALL tenant_table('audit_log');
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER audit_log_never_emptied BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Look-up before a tenant is known: where an invitation leads.
CREATE FUNCTION look_up_invitation(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT i.organization_id FROM invitations i WHERE i.token_hash = wanted $$;
