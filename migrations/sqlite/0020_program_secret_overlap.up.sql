-- Time until which the secret before the one in force signs requests to program servers as well; NULL: it does not.
ALTER TABLE signing_keys ADD COLUMN previous_program_secret_until INTEGER;
