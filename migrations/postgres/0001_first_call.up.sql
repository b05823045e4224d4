-- The store of the first call, as in migrations/sqlite. Times are milliseconds since the Unix epoch, UTC; JSON is text
-- that was checked, so that it comes back as it was written.
-- Every table of a tenant carries organization_id, has row level security forced, and every index that a request uses
-- starts with it. What must be found before a tenant is known goes through the functions at the end: owned by the role
-- that migrates, run with its rights, they return ids and nothing else.

-- The tenant of this transaction; null outside one, and then no row is seen.
CREATE FUNCTION current_organization() RETURNS UUID LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT NULLIF(current_setting('app.current_org_id', true), '')::UUID $$;

-- Forces row level security on a tenant's table. The migrating role alone may look across tenants: the look-up functions
-- run as it.
CREATE PROCEDURE tenant_table(name REGCLASS, tenant TEXT DEFAULT 'organization_id') LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON %s USING (%I = current_organization()) WITH CHECK (%I = current_organization())',
                   name, tenant, tenant);
    EXECUTE format('CREATE POLICY look_up ON %s TO CURRENT_USER USING (true) WITH CHECK (true)', name);
END $$;

CREATE TABLE organizations (
    id          UUID   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL
);
CALL tenant_table('organizations', 'id');

-- A person. Which organizations may be entered, and as what, is said by memberships: a tenant sees its members.
CREATE TABLE users (
    id             UUID   NOT NULL PRIMARY KEY,
    email          TEXT   NOT NULL UNIQUE,
    name           TEXT   NOT NULL,
    password_hash  TEXT   NOT NULL,
    created_at     BIGINT NOT NULL
);

-- sip_name is unique over all organizations: the SIP registrar knows one domain and no tenants.
CREATE TABLE memberships (
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id          UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role             TEXT   NOT NULL CHECK (role IN ('owner', 'admin', 'supervisor', 'agent', 'compliance', 'viewer')),
    sip_name         TEXT   NOT NULL UNIQUE,
    created_at       BIGINT NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);
CALL tenant_table('memberships');

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY member ON users USING (EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = users.id
                                             AND m.organization_id = current_organization()));
CREATE POLICY joins ON users FOR INSERT WITH CHECK (current_organization() IS NOT NULL);
CREATE POLICY look_up ON users TO CURRENT_USER USING (true) WITH CHECK (true);

-- token_hash: SHA-256 of the cookie's value.
CREATE TABLE sessions (
    token_hash       TEXT   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id          UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL
);
CREATE INDEX sessions_by_organization ON sessions (organization_id, user_id);
CREATE INDEX sessions_by_expiry ON sessions (organization_id, expires_at);
CALL tenant_table('sessions');

-- key_hash: SHA-256 of the key, which has 256 bits of its own and needs no slow hash.
CREATE TABLE api_keys (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name             TEXT   NOT NULL,
    key_hash         TEXT   NOT NULL UNIQUE,
    created_at       BIGINT NOT NULL,
    last_used_at     BIGINT,
    revoked_at       BIGINT
);
CREATE INDEX api_keys_by_organization ON api_keys (organization_id, created_at);
CALL tenant_table('api_keys');

CREATE TABLE voice_configs (
    organization_id  UUID    NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    live_translate   BOOLEAN NOT NULL,
    transcribe       BOOLEAN NOT NULL,
    translate_from   TEXT    NOT NULL,
    translate_to     TEXT    NOT NULL,
    voice_to_voice   BOOLEAN NOT NULL,
    record           BOOLEAN NOT NULL,
    updated_at       BIGINT  NOT NULL
);
CALL tenant_table('voice_configs');

-- config: the six switches that held for this call, as JSON.
CREATE TABLE calls (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    status           TEXT   NOT NULL CHECK (status IN ('queued', 'ringing', 'answered', 'bridged', 'ended', 'failed')),
    direction        TEXT   NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    mode             TEXT   CHECK (mode IN ('direct', 'bridge', 'webrtc')),
    from_address     TEXT,
    to_address       TEXT   NOT NULL,
    agent            TEXT,
    config           TEXT   NOT NULL CHECK (config::JSON IS NOT NULL),
    created_at       BIGINT NOT NULL,
    answered_at      BIGINT,
    ended_at         BIGINT,
    cause            TEXT
);
CREATE INDEX calls_by_organization ON calls (organization_id, created_at DESC, id DESC);
CREATE INDEX calls_by_status ON calls (organization_id, status, created_at DESC, id DESC);
CREATE INDEX calls_open ON calls (organization_id, id) WHERE status NOT IN ('ended', 'failed');
CALL tenant_table('calls');

-- leg: the engine's number, unique within one run of the process; with the call it is unique for ever.
CREATE TABLE legs (
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID   NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    leg              BIGINT NOT NULL,
    role             TEXT   NOT NULL CHECK (role IN ('customer', 'agent')),
    state            TEXT   NOT NULL CHECK (state IN ('ringing', 'answered', 'ended')),
    peer             TEXT   NOT NULL,
    codec            TEXT,
    created_at       BIGINT NOT NULL,
    answered_at      BIGINT,
    ended_at         BIGINT,
    quality          TEXT   CHECK (quality IS NULL OR quality::JSON IS NOT NULL),
    PRIMARY KEY (organization_id, call_id, leg)
);
CALL tenant_table('legs');

-- Everything that happened, in order. id grows by one writer's commits, so "after id" loses nothing.
CREATE TABLE call_events (
    id               BIGINT NOT NULL GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID   NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    kind             TEXT   NOT NULL,
    body             TEXT   NOT NULL CHECK (body::JSON IS NOT NULL),
    at               BIGINT NOT NULL
);
CREATE INDEX call_events_by_organization ON call_events (organization_id, id);
CREATE INDEX call_events_by_call ON call_events (organization_id, call_id, id);
CALL tenant_table('call_events');
CREATE FUNCTION append_only() RETURNS TRIGGER LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;
CREATE TRIGGER call_events_append_only BEFORE UPDATE ON call_events FOR EACH ROW EXECUTE FUNCTION append_only();

-- The latest state of each segment; its history is in call_events. event_id: the event that made it so.
CREATE TABLE translations (
    organization_id  UUID    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    segment          BIGINT  NOT NULL,
    event_id         BIGINT  NOT NULL,
    final            BOOLEAN NOT NULL,
    text             TEXT    NOT NULL,
    translation      TEXT,
    body             TEXT    NOT NULL CHECK (body::JSON IS NOT NULL),
    PRIMARY KEY (organization_id, call_id, segment)
);
CALL tenant_table('translations');

CREATE TABLE recordings (
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID   NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    path             TEXT   NOT NULL,
    state            TEXT   NOT NULL CHECK (state IN ('started', 'finished', 'interrupted')),
    note             TEXT,
    duration_ms      BIGINT NOT NULL,
    started_at       BIGINT NOT NULL,
    ended_at         BIGINT,
    PRIMARY KEY (organization_id, call_id)
);
CALL tenant_table('recordings');

-- Look-ups before a tenant is known. Each returns ids only.
CREATE FUNCTION look_up_login(wanted TEXT) RETURNS TABLE (organization_id UUID, user_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT m.organization_id, u.id FROM users u JOIN memberships m ON m.user_id = u.id WHERE u.email = wanted
          ORDER BY m.created_at, m.organization_id LIMIT 1 $$;
CREATE FUNCTION look_up_session(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT s.organization_id FROM sessions s WHERE s.token_hash = wanted $$;
CREATE FUNCTION look_up_api_key(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT k.organization_id FROM api_keys k WHERE k.key_hash = wanted $$;
CREATE FUNCTION look_up_sip_name(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT m.organization_id FROM memberships m WHERE m.sip_name = wanted $$;
CREATE FUNCTION look_up_call(wanted UUID) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT c.organization_id FROM calls c WHERE c.id = wanted $$;
CREATE FUNCTION look_up_organization(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT o.id FROM organizations o WHERE o.name = wanted $$;
-- All of them, the oldest first: for jobs, which go tenant by tenant.
CREATE FUNCTION look_up_organizations() RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT o.id FROM organizations o ORDER BY o.created_at, o.id $$;
-- Those to which a person belongs, the oldest membership first.
CREATE FUNCTION look_up_memberships(wanted UUID) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT m.organization_id FROM memberships m WHERE m.user_id = wanted
          ORDER BY m.created_at, m.organization_id $$;
-- Anybody, to learn whether there is anybody.
CREATE FUNCTION look_up_any_user() RETURNS TABLE (user_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT u.id FROM users u LIMIT 1 $$;
