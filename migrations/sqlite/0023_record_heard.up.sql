-- Whether recordings also hold what each side hears, on channels of its own. calls.config contains this field from here on.
ALTER TABLE voice_configs ADD COLUMN record_heard INTEGER NOT NULL DEFAULT 0 CHECK (record_heard IN (0, 1));
