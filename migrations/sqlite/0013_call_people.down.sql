DROP TRIGGER call_stays_words;
DROP TRIGGER call_words_add;
CREATE TRIGGER call_words_add INSTEAD OF INSERT ON call_words
BEGIN
    INSERT INTO call_texts (id, organization_id, call_id, tenant, words)
    SELECT COALESCE((SELECT MAX(t.id) + 1 FROM call_texts t
                     WHERE t.id BETWEEN c.created_at << 20 AND (c.created_at << 20) + 1048575), c.created_at << 20),
           NEW.organization_id, NEW.call_id,
           'o' || replace(NEW.organization_id, '-', '') || COALESCE(' a' || hex(c.agent), ''), NEW.words
    FROM calls c WHERE c.organization_id = NEW.organization_id AND c.id = NEW.call_id
    ON CONFLICT (organization_id, call_id) DO UPDATE SET words = words || ' ' || excluded.words;
END;
UPDATE call_texts SET tenant = 'o' || replace(call_texts.organization_id, '-', '') || COALESCE(' a' || hex(c.agent), '')
FROM calls c
WHERE c.organization_id = call_texts.organization_id AND c.id = call_texts.call_id;
CREATE INDEX calls_by_agent ON calls (organization_id, agent, created_at DESC, id DESC);
DROP TABLE call_stays;
