-- PostgreSQL's index of words has a bound to be minded; SQLite's has none.
SELECT 1;
