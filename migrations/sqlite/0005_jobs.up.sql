-- The newest batch of events that each run of the process has written: what is tried again is not written twice.
CREATE TABLE ingest_marks (
    run  TEXT    NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL,
    at   INTEGER NOT NULL
) STRICT;

-- Work to be done in the background. slot: one job of a kind for each period or subject. Taken by a lease: who lets it run
-- out has died, and another takes it.
CREATE TABLE jobs (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    kind             TEXT    NOT NULL,
    slot             TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    attempts         INTEGER NOT NULL,
    due_at           INTEGER NOT NULL,
    lease_until      INTEGER,
    leased_by        TEXT,
    error            TEXT,
    result           TEXT,
    created_at       INTEGER NOT NULL,
    finished_at      INTEGER,
    UNIQUE (organization_id, kind, slot)
) STRICT;
CREATE INDEX jobs_due ON jobs (organization_id, state, due_at);

-- Forgetting words that were only partial.
CREATE INDEX call_events_by_kind ON call_events (organization_id, kind, at);
