DROP TABLE call_handling;
ALTER TABLE legs DROP COLUMN gain_db;
ALTER TABLE legs DROP COLUMN holds;
