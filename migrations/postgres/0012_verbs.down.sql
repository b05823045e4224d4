DELETE FROM legs WHERE role = 'supervisor';
ALTER TABLE legs DROP COLUMN ending;
ALTER TABLE legs DROP COLUMN supervises;
ALTER TABLE legs DROP COLUMN muted;
ALTER TABLE legs DROP COLUMN held;
ALTER TABLE legs DROP CONSTRAINT legs_role_check;
ALTER TABLE legs ADD CONSTRAINT legs_role_check CHECK (role IN ('customer', 'agent'));
