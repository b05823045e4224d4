-- What an organization knows about its calls and sets for them, as in migrations/sqlite: targets, caller identities,
-- capabilities; transcripts, outcomes, notes, usage; answers that are given again for the same idempotency key; keys that
-- sign URLs.

ALTER TABLE calls RENAME COLUMN cause TO ended_reason;
ALTER TABLE calls ADD COLUMN outcome TEXT;
-- The list's filters: each index gives one filter's calls, newest first. Numbers are compared byte by byte, for prefixes.
CREATE INDEX calls_by_agent ON calls (organization_id, agent, created_at DESC, id DESC);
CREATE INDEX calls_by_direction ON calls (organization_id, direction, created_at DESC, id DESC);
CREATE INDEX calls_by_outcome ON calls (organization_id, outcome, created_at DESC, id DESC) WHERE outcome IS NOT NULL;
CREATE INDEX calls_by_from ON calls (organization_id, from_address COLLATE "C", created_at DESC, id DESC);
CREATE INDEX calls_by_to ON calls (organization_id, to_address COLLATE "C", created_at DESC, id DESC);
CREATE INDEX calls_by_end ON calls (organization_id, ended_at);

CREATE TABLE voice_targets (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name             TEXT   NOT NULL,
    address          TEXT   NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    UNIQUE (organization_id, name)
);
CREATE INDEX voice_targets_by_age ON voice_targets (organization_id, created_at, id);
CALL tenant_table('voice_targets');

-- A number has one owner: a call to it belongs to that organization.
CREATE TABLE caller_id_numbers (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    number           TEXT   NOT NULL UNIQUE,
    label            TEXT   NOT NULL,
    created_at       BIGINT NOT NULL,
    UNIQUE (organization_id, id)
);
CREATE INDEX caller_id_numbers_by_age ON caller_id_numbers (organization_id, created_at, id);
CALL tenant_table('caller_id_numbers');

-- Which number may be shown: by whom, in which campaign, to destinations that begin how. What is null fits everything.
CREATE TABLE caller_id_rules (
    id                  UUID   NOT NULL PRIMARY KEY,
    organization_id     UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    position            BIGINT NOT NULL,
    number_id           UUID   NOT NULL,
    agent               TEXT,
    campaign            TEXT,
    destination_prefix  TEXT,
    created_at          BIGINT NOT NULL,
    FOREIGN KEY (organization_id, number_id) REFERENCES caller_id_numbers (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX caller_id_rules_by_position ON caller_id_rules (organization_id, position, created_at, id);
CREATE INDEX caller_id_rules_by_number ON caller_id_rules (organization_id, number_id);
CALL tenant_table('caller_id_rules');

-- Without a row, all are on.
CREATE TABLE call_capabilities (
    organization_id  UUID    NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    record           BOOLEAN NOT NULL,
    transcribe       BOOLEAN NOT NULL,
    translate        BOOLEAN NOT NULL,
    voice_to_voice   BOOLEAN NOT NULL,
    amd              BOOLEAN NOT NULL,
    transfer         BOOLEAN NOT NULL,
    conference       BOOLEAN NOT NULL,
    api_dialing      BOOLEAN NOT NULL,
    updated_at       BIGINT  NOT NULL
);
CALL tenant_table('call_capabilities');

-- Every outcome that a call was given; the last one stands in calls.outcome too.
CREATE TABLE call_outcomes (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID   NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    outcome          TEXT   NOT NULL,
    note             TEXT,
    set_by           TEXT   NOT NULL,
    at               BIGINT NOT NULL
);
CREATE INDEX call_outcomes_by_call ON call_outcomes (organization_id, call_id, at, id);
CALL tenant_table('call_outcomes');

-- author: the name as it was; author_id: whose note it is, a user or a key.
CREATE TABLE call_notes (
    id               UUID   NOT NULL PRIMARY KEY,
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID   NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    text             TEXT   NOT NULL,
    author           TEXT   NOT NULL,
    author_id        TEXT   NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);
CREATE INDEX call_notes_by_call ON call_notes (organization_id, call_id, created_at, id);
CALL tenant_table('call_notes');

CREATE INDEX recordings_by_start ON recordings (organization_id, started_at DESC, call_id DESC);

-- By the day on which calls ended, UTC.
CREATE TABLE usage_days (
    organization_id      UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    day                  TEXT   NOT NULL,
    calls_inbound        BIGINT NOT NULL,
    calls_outbound       BIGINT NOT NULL,
    call_seconds         BIGINT NOT NULL,
    recorded_seconds     BIGINT NOT NULL,
    segments_translated  BIGINT NOT NULL,
    PRIMARY KEY (organization_id, day)
);
CALL tenant_table('usage_days');

-- An answer that is given again. running: somebody works on it until claimed_until; whoever comes after that takes over.
-- subject: the identity that what is made gets, so that whoever takes over makes nothing twice.
CREATE TABLE idempotency_keys (
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    actor            TEXT   NOT NULL,
    key              TEXT   NOT NULL,
    body_hash        TEXT   NOT NULL,
    state            TEXT   NOT NULL CHECK (state IN ('running', 'done')),
    subject          UUID   NOT NULL,
    claim            UUID   NOT NULL,
    claimed_until    BIGINT NOT NULL,
    status           BIGINT,
    location         TEXT,
    response         TEXT,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    PRIMARY KEY (organization_id, actor, key)
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (organization_id, expires_at);
CALL tenant_table('idempotency_keys');

-- What signs an organization's URLs.
CREATE TABLE signing_keys (
    organization_id  UUID   NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    key              TEXT   NOT NULL,
    created_at       BIGINT NOT NULL
);
CALL tenant_table('signing_keys');

-- What was said, every version of it: 1 as it was recognised live, others from the recording.
CREATE TABLE transcripts (
    organization_id  UUID   NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID   NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    segment          BIGINT NOT NULL,
    version          BIGINT NOT NULL,
    leg              TEXT   NOT NULL,
    language         TEXT   NOT NULL,
    text             TEXT   NOT NULL,
    source           TEXT   NOT NULL CHECK (source IN ('live', 'recording')),
    at               BIGINT NOT NULL,
    PRIMARY KEY (organization_id, call_id, segment, version)
);
CALL tenant_table('transcripts');

-- All words of a call and what they mean, for searching, without their places. The organization is one of the words, so
-- that the index gives one tenant's calls only.
CREATE TABLE call_texts (
    organization_id  UUID     NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          UUID     NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    created_at       BIGINT   NOT NULL,
    words            TSVECTOR NOT NULL,
    PRIMARY KEY (organization_id, call_id)
);
CREATE INDEX call_texts_by_age ON call_texts (organization_id, created_at DESC, call_id DESC);
CREATE INDEX call_texts_words ON call_texts USING GIN (words);
CALL tenant_table('call_texts');

CREATE FUNCTION tenant_word(organization UUID) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT 'o' || replace(organization::TEXT, '-', '') $$;

-- Adds what was said or meant to what a call is found by. Signs that would hold words together are spaces to it.
CREATE PROCEDURE call_words_add(organization UUID, call UUID, spoken TEXT) LANGUAGE sql AS $$
    INSERT INTO call_texts (organization_id, call_id, created_at, words)
    SELECT c.organization_id, c.id, c.created_at,
           strip(to_tsvector('simple', tenant_word(organization) || ' ' || translate(spoken, '.-/@:_,+&#''~%=', '              ')))
    FROM calls c WHERE c.organization_id = organization AND c.id = call
    ON CONFLICT (organization_id, call_id) DO UPDATE SET words = call_texts.words || excluded.words
$$;
CREATE FUNCTION transcripts_words() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    CALL call_words_add(NEW.organization_id, NEW.call_id, NEW.text);
    RETURN NULL;
END $$;
CREATE TRIGGER transcripts_words AFTER INSERT ON transcripts FOR EACH ROW WHEN (NEW.text <> '')
    EXECUTE FUNCTION transcripts_words();
CREATE FUNCTION translations_words() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    CALL call_words_add(NEW.organization_id, NEW.call_id, NEW.translation);
    RETURN NULL;
END $$;
CREATE TRIGGER translations_words_insert AFTER INSERT ON translations FOR EACH ROW
    WHEN (NEW.final AND NEW.translation <> '') EXECUTE FUNCTION translations_words();
CREATE TRIGGER translations_words_update AFTER UPDATE OF translation ON translations FOR EACH ROW
    WHEN (NEW.final AND NEW.translation <> '' AND (NOT OLD.final OR OLD.translation IS DISTINCT FROM NEW.translation))
    EXECUTE FUNCTION translations_words();

-- Finds a tenant's calls by words, newest first. Row level security keeps an index on words from being used, because
-- comparing words might tell something of rows that are not to be seen; this function runs as its owner, looks at the
-- tenant of the transaction only, and returns ids. What is null is not asked for; the plan is made for what is.
CREATE FUNCTION search_calls(
    wanted TEXT, status_is TEXT, direction_is TEXT, agent_is TEXT, outcome_is TEXT, number_a TEXT, number_b TEXT,
    since BIGINT, until BIGINT, before_at BIGINT, before_id UUID, most BIGINT
) RETURNS TABLE (call_id UUID, created_at BIGINT)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    tenant UUID := current_organization();
    query TSQUERY;
BEGIN
    IF tenant IS NULL THEN RETURN; END IF;
    query := plainto_tsquery('simple', wanted);
    IF numnode(query) = 0 THEN RETURN; END IF;
    query := query && tenant_word(tenant)::TSQUERY;
    RETURN QUERY
    SELECT t.call_id, t.created_at FROM call_texts t
    JOIN calls c ON c.organization_id = t.organization_id AND c.id = t.call_id
    WHERE t.organization_id = tenant AND t.words @@ query
      AND (status_is IS NULL OR c.status = status_is)
      AND (direction_is IS NULL OR c.direction = direction_is)
      AND (agent_is IS NULL OR c.agent = agent_is)
      AND (outcome_is IS NULL OR c.outcome = outcome_is)
      AND (number_a IS NULL OR starts_with(c.from_address, number_a) OR starts_with(c.to_address, number_a)
           OR starts_with(c.from_address, number_b) OR starts_with(c.to_address, number_b))
      AND (since IS NULL OR t.created_at >= since)
      AND (until IS NULL OR t.created_at < until)
      AND (before_at IS NULL OR (t.created_at, t.call_id) < (before_at, before_id))
    ORDER BY t.created_at DESC, t.call_id DESC LIMIT most;
END $$;

-- Whose number is called. Returns ids only.
CREATE FUNCTION look_up_number(wanted TEXT) RETURNS TABLE (organization_id UUID)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT n.organization_id FROM caller_id_numbers n WHERE n.number = wanted $$;

-- Calls from before.
DO $$
DECLARE t RECORD;
BEGIN
    FOR t IN SELECT organization_id, call_id, translation FROM translations WHERE final AND translation <> '' LOOP
        CALL call_words_add(t.organization_id, t.call_id, t.translation);
    END LOOP;
END $$;
INSERT INTO transcripts (organization_id, call_id, segment, version, leg, language, text, source, at)
SELECT t.organization_id, t.call_id, t.segment, 1, COALESCE(t.body::JSON ->> 'leg', 'customer'),
       COALESCE(t.body::JSON ->> 'source_language', 'und'), t.text, 'live', COALESCE(e.at, c.created_at)
FROM translations t
JOIN calls c ON c.organization_id = t.organization_id AND c.id = t.call_id
LEFT JOIN call_events e ON e.organization_id = t.organization_id AND e.id = t.event_id
WHERE t.final;
