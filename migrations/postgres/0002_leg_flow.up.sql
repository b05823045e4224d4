-- flow: whether sound flows on the leg, per direction, and why not, as JSON; the latest state.
ALTER TABLE legs ADD COLUMN flow TEXT CHECK (flow IS NULL OR flow::JSON IS NOT NULL);
