-- People and programs: invitations, keys with scopes and an end, attempts to log in, what was done by whom.

-- limits, retention: JSON objects; what they leave out is as the configuration says.
ALTER TABLE organizations ADD COLUMN limits TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(limits));
ALTER TABLE organizations ADD COLUMN retention TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(retention));
ALTER TABLE organizations ADD COLUMN updated_at INTEGER;

ALTER TABLE memberships ADD COLUMN last_login_at INTEGER;

-- prefix: the key's first characters, to tell keys apart. scopes: a JSON list of permissions; nothing: all that a key may.
ALTER TABLE api_keys ADD COLUMN prefix TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN scopes TEXT CHECK (scopes IS NULL OR json_valid(scopes));
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE api_keys ADD COLUMN created_by TEXT;

-- token_hash: SHA-256 of what stands in the link.
CREATE TABLE invitations (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    email            TEXT    NOT NULL,
    role             TEXT    NOT NULL CHECK (role IN ('owner', 'admin', 'supervisor', 'agent', 'compliance', 'viewer')),
    token_hash       TEXT    NOT NULL UNIQUE,
    invited_by       TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    accepted_at      INTEGER,
    revoked_at       INTEGER
) STRICT;
CREATE INDEX invitations_by_organization ON invitations (organization_id, created_at, id);
CREATE INDEX invitations_by_email ON invitations (organization_id, email);

-- No tenant's: an attempt comes before a tenant is known. subject: SHA-256 of a kind and an e-mail address or IP address.
CREATE TABLE login_attempts (
    subject   TEXT    NOT NULL PRIMARY KEY,
    since     INTEGER NOT NULL,
    failures  INTEGER NOT NULL
) STRICT;
CREATE INDEX login_attempts_by_age ON login_attempts (since);

-- seq counts from 1 in each organization; hash covers the row and prev_hash, the hash of the row before.
CREATE TABLE audit_log (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id),
    seq              INTEGER NOT NULL,
    at               INTEGER NOT NULL,
    actor_kind       TEXT    NOT NULL CHECK (actor_kind IN ('user', 'key', 'system')),
    actor_id         TEXT,
    actor_name       TEXT    NOT NULL,
    address          TEXT,
    request_id       TEXT,
    action           TEXT    NOT NULL,
    target           TEXT    NOT NULL,
    before           TEXT    CHECK (before IS NULL OR json_valid(before)),
    after            TEXT    CHECK (after IS NULL OR json_valid(after)),
    prev_hash        TEXT    NOT NULL,
    hash             TEXT    NOT NULL,
    UNIQUE (organization_id, seq)
) STRICT;
CREATE INDEX audit_log_by_actor ON audit_log (organization_id, actor_id, seq);
CREATE INDEX audit_log_by_action ON audit_log (organization_id, action, seq);
CREATE INDEX audit_log_by_target ON audit_log (organization_id, target, seq);
CREATE INDEX audit_log_by_time ON audit_log (organization_id, at, seq);
CREATE TRIGGER audit_log_never_changes BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
CREATE TRIGGER audit_log_never_shrinks BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
