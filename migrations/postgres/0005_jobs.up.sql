-- The newest batch of events that each run of the process has written: what is tried again is not written twice.
CREATE TABLE ingest_marks (
    run  UUID   NOT NULL PRIMARY KEY,
    seq  BIGINT NOT NULL,
    at   BIGINT NOT NULL
);

-- Work to be done in the background. slot: one job of a kind for each period or subject. Taken by a lease: who lets it run
-- out has died, and another takes it.
CREATE TABLE jobs (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    kind             TEXT   NOT NULL,
    slot             TEXT   NOT NULL,
    state            TEXT   NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    attempts         BIGINT NOT NULL,
    due_at           BIGINT NOT NULL,
    lease_until      BIGINT,
    leased_by        UUID,
    error            TEXT,
    result           TEXT,
    created_at       BIGINT NOT NULL,
    finished_at      BIGINT,
    UNIQUE (organization_id, kind, slot)
);
CREATE INDEX jobs_due ON jobs (organization_id, state, due_at);
CALL tenant_table('jobs');

-- Forgetting words that were only partial.
CREATE INDEX call_events_by_kind ON call_events (organization_id, kind, at);
