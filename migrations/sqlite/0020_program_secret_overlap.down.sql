ALTER TABLE signing_keys DROP COLUMN previous_program_secret_until;
