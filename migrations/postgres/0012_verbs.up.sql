-- A leg may be a supervisor's. held, muted: flags beside its state. supervises: what a supervisor does, as JSON. ending: how it ended,
-- as JSON: cause, by whom, SIP status, Q.850 cause, text.
ALTER TABLE legs DROP CONSTRAINT legs_role_check;
ALTER TABLE legs ADD CONSTRAINT legs_role_check CHECK (role IN ('customer', 'agent', 'supervisor'));
ALTER TABLE legs ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE legs ADD COLUMN muted BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE legs ADD COLUMN supervises TEXT CHECK (supervises IS NULL OR supervises::JSON IS NOT NULL);
ALTER TABLE legs ADD COLUMN ending TEXT CHECK (ending IS NULL OR ending::JSON IS NOT NULL);
