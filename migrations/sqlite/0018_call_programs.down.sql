ALTER TABLE signing_keys DROP COLUMN program_secret;
DROP TABLE number_programs;
