CREATE TABLE legs_of_two (
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
    flow             TEXT    CHECK (flow IS NULL OR json_valid(flow)),
    PRIMARY KEY (organization_id, call_id, leg)
) STRICT;
INSERT INTO legs_of_two SELECT organization_id, call_id, leg, role, state, peer, codec, created_at, answered_at, ended_at, quality, flow
    FROM legs WHERE role <> 'supervisor';
DROP TABLE legs;
ALTER TABLE legs_of_two RENAME TO legs;
