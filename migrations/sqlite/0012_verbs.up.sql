-- A leg may be a supervisor's. held, muted: flags beside its state. supervises: what a supervisor does, as JSON. ending: how it ended,
-- as JSON: cause, by whom, SIP status, Q.850 cause, text.
CREATE TABLE legs_with_seats (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    leg              INTEGER NOT NULL,
    role             TEXT    NOT NULL CHECK (role IN ('customer', 'agent', 'supervisor')),
    state            TEXT    NOT NULL CHECK (state IN ('ringing', 'answered', 'ended')),
    peer             TEXT    NOT NULL,
    codec            TEXT,
    created_at       INTEGER NOT NULL,
    answered_at      INTEGER,
    ended_at         INTEGER,
    quality          TEXT    CHECK (quality IS NULL OR json_valid(quality)),
    flow             TEXT    CHECK (flow IS NULL OR json_valid(flow)),
    held             INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
    muted            INTEGER NOT NULL DEFAULT 0 CHECK (muted IN (0, 1)),
    supervises       TEXT    CHECK (supervises IS NULL OR json_valid(supervises)),
    ending           TEXT    CHECK (ending IS NULL OR json_valid(ending)),
    PRIMARY KEY (organization_id, call_id, leg)
) STRICT;
INSERT INTO legs_with_seats (organization_id, call_id, leg, role, state, peer, codec, created_at, answered_at, ended_at, quality, flow)
    SELECT organization_id, call_id, leg, role, state, peer, codec, created_at, answered_at, ended_at, quality, flow FROM legs;
DROP TABLE legs;
ALTER TABLE legs_with_seats RENAME TO legs;
