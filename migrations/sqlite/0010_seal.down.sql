-- What is sealed cannot be read by an earlier version, which makes new keys.
DELETE FROM signing_keys;
DELETE FROM idempotency_keys;
DROP TABLE seal;
