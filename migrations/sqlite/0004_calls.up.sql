-- What an organization knows about its calls and sets for them: targets, caller identities, capabilities; transcripts,
-- outcomes, notes, usage; answers that are given again for the same idempotency key; keys that sign URLs.

ALTER TABLE calls RENAME COLUMN cause TO ended_reason;
ALTER TABLE calls ADD COLUMN outcome TEXT;
-- The list's filters: each index gives one filter's calls, newest first.
CREATE INDEX calls_by_agent ON calls (organization_id, agent, created_at DESC, id DESC);
CREATE INDEX calls_by_direction ON calls (organization_id, direction, created_at DESC, id DESC);
CREATE INDEX calls_by_outcome ON calls (organization_id, outcome, created_at DESC, id DESC) WHERE outcome IS NOT NULL;
CREATE INDEX calls_by_from ON calls (organization_id, from_address, created_at DESC, id DESC);
CREATE INDEX calls_by_to ON calls (organization_id, to_address, created_at DESC, id DESC);
CREATE INDEX calls_by_end ON calls (organization_id, ended_at);

CREATE TABLE voice_targets (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name             TEXT    NOT NULL,
    address          TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    UNIQUE (organization_id, name)
) STRICT;
CREATE INDEX voice_targets_by_age ON voice_targets (organization_id, created_at, id);

-- A number has one owner: a call to it belongs to that organization.
CREATE TABLE caller_id_numbers (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    number           TEXT    NOT NULL UNIQUE,
    label            TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    UNIQUE (organization_id, id)
) STRICT;
CREATE INDEX caller_id_numbers_by_age ON caller_id_numbers (organization_id, created_at, id);

-- Which number may be shown: by whom, in which campaign, to destinations that begin how. What is null fits everything.
CREATE TABLE caller_id_rules (
    id                  TEXT    NOT NULL PRIMARY KEY,
    organization_id     TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    position            INTEGER NOT NULL,
    number_id           TEXT    NOT NULL,
    agent               TEXT,
    campaign            TEXT,
    destination_prefix  TEXT,
    created_at          INTEGER NOT NULL,
    FOREIGN KEY (organization_id, number_id) REFERENCES caller_id_numbers (organization_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX caller_id_rules_by_position ON caller_id_rules (organization_id, position, created_at, id);
CREATE INDEX caller_id_rules_by_number ON caller_id_rules (organization_id, number_id);

-- Without a row, all are on.
CREATE TABLE call_capabilities (
    organization_id  TEXT    NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    record           INTEGER NOT NULL CHECK (record IN (0, 1)),
    transcribe       INTEGER NOT NULL CHECK (transcribe IN (0, 1)),
    translate        INTEGER NOT NULL CHECK (translate IN (0, 1)),
    voice_to_voice   INTEGER NOT NULL CHECK (voice_to_voice IN (0, 1)),
    amd              INTEGER NOT NULL CHECK (amd IN (0, 1)),
    transfer         INTEGER NOT NULL CHECK (transfer IN (0, 1)),
    conference       INTEGER NOT NULL CHECK (conference IN (0, 1)),
    api_dialing      INTEGER NOT NULL CHECK (api_dialing IN (0, 1)),
    updated_at       INTEGER NOT NULL
) STRICT;

-- Every outcome that a call was given; the last one stands in calls.outcome too.
CREATE TABLE call_outcomes (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    outcome          TEXT    NOT NULL,
    note             TEXT,
    set_by           TEXT    NOT NULL,
    at               INTEGER NOT NULL
) STRICT;
CREATE INDEX call_outcomes_by_call ON call_outcomes (organization_id, call_id, at, id);

-- author: the name as it was; author_id: whose note it is, a user or a key.
CREATE TABLE call_notes (
    id               TEXT    NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    text             TEXT    NOT NULL,
    author           TEXT    NOT NULL,
    author_id        TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX call_notes_by_call ON call_notes (organization_id, call_id, created_at, id);

CREATE INDEX recordings_by_start ON recordings (organization_id, started_at DESC, call_id DESC);

-- By the day on which calls ended, UTC.
CREATE TABLE usage_days (
    organization_id      TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    day                  TEXT    NOT NULL,
    calls_inbound        INTEGER NOT NULL,
    calls_outbound       INTEGER NOT NULL,
    call_seconds         INTEGER NOT NULL,
    recorded_seconds     INTEGER NOT NULL,
    segments_translated  INTEGER NOT NULL,
    PRIMARY KEY (organization_id, day)
) STRICT;

-- An answer that is given again. running: somebody works on it until claimed_until; whoever comes after that takes over.
-- subject: the identity that what is made gets, so that whoever takes over makes nothing twice.
CREATE TABLE idempotency_keys (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    actor            TEXT    NOT NULL,
    key              TEXT    NOT NULL,
    body_hash        TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('running', 'done')),
    subject          TEXT    NOT NULL,
    claim            TEXT    NOT NULL,
    claimed_until    INTEGER NOT NULL,
    status           INTEGER,
    location         TEXT,
    response         TEXT,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    PRIMARY KEY (organization_id, actor, key)
) STRICT;
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (organization_id, expires_at);

-- What signs an organization's URLs.
CREATE TABLE signing_keys (
    organization_id  TEXT    NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    key              TEXT    NOT NULL,
    created_at       INTEGER NOT NULL
) STRICT;

-- What was said, every version of it: 1 as it was recognised live, others from the recording.
CREATE TABLE transcripts (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    segment          INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    leg              TEXT    NOT NULL,
    language         TEXT    NOT NULL,
    text             TEXT    NOT NULL,
    source           TEXT    NOT NULL CHECK (source IN ('live', 'recording')),
    at               INTEGER NOT NULL,
    PRIMARY KEY (organization_id, call_id, segment, version)
) STRICT;

-- All words of a call and what they mean, for searching. id: when the call began, then a number among the calls of that
-- millisecond, so that the index gives calls in their order. tenant: the organization as one word, searched with the others.
CREATE TABLE call_texts (
    id               INTEGER NOT NULL PRIMARY KEY,
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    tenant           TEXT    NOT NULL,
    words            TEXT    NOT NULL,
    UNIQUE (organization_id, call_id)
) STRICT;
CREATE VIRTUAL TABLE call_search USING fts5 (
    tenant, words, content = 'call_texts', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 0'
);
CREATE TRIGGER call_texts_insert AFTER INSERT ON call_texts
BEGIN
    INSERT INTO call_search (rowid, tenant, words) VALUES (NEW.id, NEW.tenant, NEW.words);
END;
CREATE TRIGGER call_texts_delete AFTER DELETE ON call_texts
BEGIN
    INSERT INTO call_search (call_search, rowid, tenant, words) VALUES ('delete', OLD.id, OLD.tenant, OLD.words);
END;
CREATE TRIGGER call_texts_update AFTER UPDATE ON call_texts
BEGIN
    INSERT INTO call_search (call_search, rowid, tenant, words) VALUES ('delete', OLD.id, OLD.tenant, OLD.words);
    INSERT INTO call_search (rowid, tenant, words) VALUES (NEW.id, NEW.tenant, NEW.words);
END;
-- What a call has to say is gathered here, from transcripts and translations.
CREATE VIEW call_words AS SELECT '' AS organization_id, '' AS call_id, '' AS words WHERE FALSE;
CREATE TRIGGER call_words_add INSTEAD OF INSERT ON call_words
BEGIN
    INSERT INTO call_texts (id, organization_id, call_id, tenant, words)
    SELECT COALESCE((SELECT MAX(t.id) + 1 FROM call_texts t
                     WHERE t.id BETWEEN c.created_at << 20 AND (c.created_at << 20) + 1048575), c.created_at << 20),
           NEW.organization_id, NEW.call_id, 'o' || replace(NEW.organization_id, '-', ''), NEW.words
    FROM calls c WHERE c.organization_id = NEW.organization_id AND c.id = NEW.call_id
    ON CONFLICT (organization_id, call_id) DO UPDATE SET words = words || ' ' || excluded.words;
END;
CREATE TRIGGER transcripts_words AFTER INSERT ON transcripts WHEN NEW.text <> ''
BEGIN
    INSERT INTO call_words (organization_id, call_id, words) VALUES (NEW.organization_id, NEW.call_id, NEW.text);
END;
CREATE TRIGGER translations_words_insert AFTER INSERT ON translations WHEN NEW.final AND NEW.translation <> ''
BEGIN
    INSERT INTO call_words (organization_id, call_id, words)
    VALUES (NEW.organization_id, NEW.call_id, NEW.translation);
END;
CREATE TRIGGER translations_words_update AFTER UPDATE OF translation ON translations
    WHEN NEW.final AND NEW.translation <> '' AND (NOT OLD.final OR OLD.translation IS NOT NEW.translation)
BEGIN
    INSERT INTO call_words (organization_id, call_id, words)
    VALUES (NEW.organization_id, NEW.call_id, NEW.translation);
END;

-- Calls from before.
INSERT INTO call_words (organization_id, call_id, words)
SELECT organization_id, call_id, translation FROM translations WHERE final AND translation <> '';
INSERT INTO transcripts (organization_id, call_id, segment, version, leg, language, text, source, at)
SELECT t.organization_id, t.call_id, t.segment, 1, COALESCE(json_extract(t.body, '$.leg'), 'customer'),
       COALESCE(json_extract(t.body, '$.source_language'), 'und'), t.text, 'live', COALESCE(e.at, c.created_at)
FROM translations t
JOIN calls c ON c.organization_id = t.organization_id AND c.id = t.call_id
LEFT JOIN call_events e ON e.organization_id = t.organization_id AND e.id = t.event_id
WHERE t.final;
