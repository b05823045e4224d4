CREATE OR REPLACE PROCEDURE call_words_add(organization UUID, call UUID, spoken TEXT) LANGUAGE sql AS $$
    INSERT INTO call_texts (organization_id, call_id, created_at, words)
    SELECT c.organization_id, c.id, c.created_at,
           strip(to_tsvector('simple', tenant_word(organization) || ' ' || translate(spoken, '.-/@:_,+&#''~%=', '              ')))
    FROM calls c WHERE c.organization_id = organization AND c.id = call
    ON CONFLICT (organization_id, call_id) DO UPDATE SET words = call_texts.words || excluded.words
$$;
