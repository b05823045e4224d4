-- Who took part in calls, and from when to when: a person sees of a call what happened while they were in it.
-- leg: the leg by which they are in it; 0 until the first leg of the agent for whom the call was made is known.
-- agent: the person's SIP user name. call_at: when the call began, so that a person's calls come in the order of lists.
-- is_first: the person's first stay in the call, so that a list has each call once.
CREATE TABLE call_stays (
    organization_id  TEXT    NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    call_id          TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    leg              INTEGER NOT NULL,
    agent            TEXT    NOT NULL,
    call_at          INTEGER NOT NULL,
    joined_at        INTEGER NOT NULL,
    left_at          INTEGER,
    is_first         INTEGER NOT NULL CHECK (is_first IN (0, 1)),
    PRIMARY KEY (organization_id, call_id, leg)
) STRICT;
CREATE INDEX call_stays_by_agent ON call_stays (organization_id, agent, call_at DESC, call_id DESC) WHERE is_first;

-- Calls from before: the agent was in them from their beginning to their end.
INSERT INTO call_stays (organization_id, call_id, leg, agent, call_at, joined_at, left_at, is_first)
SELECT organization_id, id, 0, agent, created_at, created_at, ended_at, 1 FROM calls WHERE agent IS NOT NULL;
DROP INDEX calls_by_agent;

-- The index of words knows everybody who took part, as a word beside the tenant's.
DROP TRIGGER call_words_add;
CREATE TRIGGER call_words_add INSTEAD OF INSERT ON call_words
BEGIN
    INSERT INTO call_texts (id, organization_id, call_id, tenant, words)
    SELECT COALESCE((SELECT MAX(t.id) + 1 FROM call_texts t
                     WHERE t.id BETWEEN c.created_at << 20 AND (c.created_at << 20) + 1048575), c.created_at << 20),
           NEW.organization_id, NEW.call_id,
           'o' || replace(NEW.organization_id, '-', '')
               || COALESCE((SELECT ' ' || group_concat('a' || hex(s.agent), ' ') FROM call_stays s
                            WHERE s.organization_id = c.organization_id AND s.call_id = c.id AND s.is_first), ''),
           NEW.words
    FROM calls c WHERE c.organization_id = NEW.organization_id AND c.id = NEW.call_id
    ON CONFLICT (organization_id, call_id) DO UPDATE SET words = words || ' ' || excluded.words;
END;
CREATE TRIGGER call_stays_words AFTER INSERT ON call_stays WHEN NEW.is_first
BEGIN
    UPDATE call_texts SET tenant = tenant || ' a' || hex(NEW.agent)
    WHERE organization_id = NEW.organization_id AND call_id = NEW.call_id;
END;
