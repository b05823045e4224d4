-- What is sealed cannot be read by an earlier version, which makes new keys.
TRUNCATE signing_keys, idempotency_keys;
DROP TABLE seal;
