-- The store of the first call. Times are milliseconds since the Unix epoch, UTC; ids are UUIDs as text.
-- Every table of a tenant carries organization_id, and every index that a request uses starts with it.

CREATE TABLE organizations (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL
) STRICT;

-- A person. Which organizations may be entered, and as what, is said by memberships.
CREATE TABLE users (
    id             TEXT    NOT NULL PRIMARY KEY,
    email          TEXT    NOT NULL UNIQUE,
    name           TEXT    NOT NULL,
    password_hash  TEXT    NOT NULL,
    created_at     INTEGER NOT NULL
) STRICT;

-- sip_name is unique over all organizations: the SIP registrar knows one domain and no tenants.
CREATE TABLE memberships (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id          TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role             TEXT    NOT NULL CHECK (role IN ('owner', 'admin', 'supervisor', 'agent', 'compliance', 'viewer')),
    sip_name         TEXT    NOT NULL UNIQUE,
    created_at       INTEGER NOT NULL,
    PRIMARY KEY (organization_id, user_id)
) STRICT;
CREATE INDEX memberships_by_user ON memberships (user_id);

-- token_hash: SHA-256 of the cookie's value.
CREATE TABLE sessions (
    token_hash       TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id          TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_organization ON sessions (organization_id, user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- key_hash: SHA-256 of the key, which has 256 bits of its own and needs no slow hash.
CREATE TABLE api_keys (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name             TEXT    NOT NULL,
    key_hash         TEXT    NOT NULL UNIQUE,
    created_at       INTEGER NOT NULL,
    last_used_at     INTEGER,
    revoked_at       INTEGER
) STRICT;
CREATE INDEX api_keys_by_organization ON api_keys (organization_id, created_at);

CREATE TABLE voice_configs (
    organization_id  TEXT    NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    live_translate   INTEGER NOT NULL CHECK (live_translate IN (0, 1)),
    transcribe       INTEGER NOT NULL CHECK (transcribe IN (0, 1)),
    translate_from   TEXT    NOT NULL,
    translate_to     TEXT    NOT NULL,
    voice_to_voice   INTEGER NOT NULL CHECK (voice_to_voice IN (0, 1)),
    record           INTEGER NOT NULL CHECK (record IN (0, 1)),
    updated_at       INTEGER NOT NULL
) STRICT;

-- config: the six switches that held for this call, as JSON.
CREATE TABLE calls (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    status           TEXT    NOT NULL CHECK (status IN ('queued', 'ringing', 'answered', 'bridged', 'ended', 'failed')),
    direction        TEXT    NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    mode             TEXT    CHECK (mode IN ('direct', 'bridge', 'webrtc')),
    from_address     TEXT,
    to_address       TEXT    NOT NULL,
    agent            TEXT,
    config           TEXT    NOT NULL CHECK (json_valid(config)),
    created_at       INTEGER NOT NULL,
    answered_at      INTEGER,
    ended_at         INTEGER,
    cause            TEXT
) STRICT;
CREATE INDEX calls_by_organization ON calls (organization_id, created_at DESC, id DESC);
CREATE INDEX calls_by_status ON calls (organization_id, status, created_at DESC, id DESC);
CREATE INDEX calls_open ON calls (id) WHERE status NOT IN ('ended', 'failed');

-- leg: the engine's number, unique within one run of the process; with the call it is unique for ever.
CREATE TABLE legs (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    leg              INTEGER NOT NULL,
    role             TEXT    NOT NULL CHECK (role IN ('customer', 'agent')),
    state            TEXT    NOT NULL CHECK (state IN ('ringing', 'answered', 'ended')),
    peer             TEXT    NOT NULL,
    codec            TEXT,
    created_at       INTEGER NOT NULL,
    answered_at      INTEGER,
    ended_at         INTEGER,
    quality          TEXT    CHECK (quality IS NULL OR json_valid(quality)),
    PRIMARY KEY (organization_id, call_id, leg)
) STRICT;

-- Everything that happened, in order. id grows by one writer's commits, so "after id" loses nothing.
CREATE TABLE call_events (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    kind             TEXT    NOT NULL,
    body             TEXT    NOT NULL CHECK (json_valid(body)),
    at               INTEGER NOT NULL
) STRICT;
CREATE INDEX call_events_by_organization ON call_events (organization_id, id);
CREATE INDEX call_events_by_call ON call_events (organization_id, call_id, id);
CREATE TRIGGER call_events_append_only BEFORE UPDATE ON call_events
BEGIN
    SELECT RAISE(ABORT, 'call_events is append-only');
END;

-- The latest state of each segment; its history is in call_events. event_id: the event that made it so.
CREATE TABLE translations (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    segment          INTEGER NOT NULL,
    event_id         INTEGER NOT NULL,
    final            INTEGER NOT NULL CHECK (final IN (0, 1)),
    text             TEXT    NOT NULL,
    translation      TEXT,
    body             TEXT    NOT NULL CHECK (json_valid(body)),
    PRIMARY KEY (organization_id, call_id, segment)
) STRICT;

CREATE TABLE recordings (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    path             TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('started', 'finished', 'interrupted')),
    note             TEXT,
    duration_ms      INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    ended_at         INTEGER,
    PRIMARY KEY (organization_id, call_id)
) STRICT;
