-- Detection of what answers a call. voice_configs.amd: mode, limit and actions as JSON; NULL: off, with the defaults. legs.amd: what
-- was detected on the leg, as JSON; NULL: nothing was to be detected. calls.amd: the newest verdict that was acted upon. calls.config
-- contains the field `amd` from here on.
ALTER TABLE voice_configs ADD COLUMN amd TEXT CHECK (amd IS NULL OR amd::JSON IS NOT NULL);
ALTER TABLE legs ADD COLUMN amd TEXT CHECK (amd IS NULL OR amd::JSON IS NOT NULL);
ALTER TABLE calls ADD COLUMN amd TEXT;
CREATE INDEX calls_by_amd ON calls (organization_id, amd, created_at DESC, id DESC) WHERE amd IS NOT NULL;

-- The words of calls are searched together with the verdict.
DROP FUNCTION look_up_words;
CREATE FUNCTION look_up_words(
    wanted TEXT, status_is TEXT, direction_is TEXT, agent_is TEXT, outcome_is TEXT, amd_is TEXT, number_a TEXT,
    number_b TEXT, since BIGINT, until BIGINT, before_at BIGINT, before_id UUID, most BIGINT
) RETURNS TABLE (call_id UUID)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50 SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    stretch CONSTANT BIGINT := 1000;
    tenant UUID := current_organization();
    query TSQUERY;
    found BIGINT := 0;
    more BIGINT;
    last_at BIGINT;
    last_id UUID;
BEGIN
    IF tenant IS NULL THEN RETURN; END IF;
    query := plainto_tsquery('simple', wanted);
    IF numnode(query) = 0 THEN RETURN; END IF;
    IF COALESCE(status_is, direction_is, agent_is, outcome_is, amd_is, number_a) IS NULL THEN
        FOR step IN 1..4 LOOP
            RETURN QUERY
            SELECT walked.call_id FROM (
                SELECT t.call_id, t.created_at, t.words FROM call_texts t
                WHERE t.organization_id = tenant
                  AND (since IS NULL OR t.created_at >= since)
                  AND (until IS NULL OR t.created_at < until)
                  AND (before_at IS NULL OR (t.created_at, t.call_id) < (before_at, before_id))
                ORDER BY t.created_at DESC, t.call_id DESC LIMIT stretch
            ) walked
            WHERE walked.words @@ query
            ORDER BY walked.created_at DESC, walked.call_id DESC LIMIT most - found;
            GET DIAGNOSTICS more = ROW_COUNT;
            found := found + more;
            IF found >= most THEN RETURN; END IF;
            -- The next stretch begins where this one ended.
            SELECT t.created_at, t.call_id INTO last_at, last_id FROM call_texts t
            WHERE t.organization_id = tenant
              AND (since IS NULL OR t.created_at >= since)
              AND (until IS NULL OR t.created_at < until)
              AND (before_at IS NULL OR (t.created_at, t.call_id) < (before_at, before_id))
            ORDER BY t.created_at DESC, t.call_id DESC OFFSET stretch - 1 LIMIT 1;
            IF last_at IS NULL THEN RETURN; END IF;
            before_at := last_at;
            before_id := last_id;
            -- At this pace four stretches would not do.
            EXIT WHEN found * 4 < most * step;
        END LOOP;
    END IF;
    query := query && tenant_word(tenant)::TSQUERY;
    RETURN QUERY
    SELECT t.call_id FROM call_texts t
    JOIN calls c ON c.organization_id = t.organization_id AND c.id = t.call_id
    WHERE t.organization_id = tenant AND t.words @@ query
      AND (status_is IS NULL OR c.status = status_is)
      AND (direction_is IS NULL OR c.direction = direction_is)
      AND (agent_is IS NULL OR EXISTS (SELECT 1 FROM call_stays s WHERE s.organization_id = tenant AND s.call_id = t.call_id
                                        AND s.agent = agent_is AND s.is_first))
      AND (outcome_is IS NULL OR c.outcome = outcome_is)
      AND (amd_is IS NULL OR c.amd = amd_is)
      AND (number_a IS NULL OR starts_with(c.from_address, number_a) OR starts_with(c.to_address, number_a)
           OR starts_with(c.from_address, number_b) OR starts_with(c.to_address, number_b))
      AND (since IS NULL OR t.created_at >= since)
      AND (until IS NULL OR t.created_at < until)
      AND (before_at IS NULL OR (t.created_at, t.call_id) < (before_at, before_id))
    ORDER BY t.created_at DESC, t.call_id DESC LIMIT most - found;
END $$;
