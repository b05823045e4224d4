DROP INDEX call_events_by_kind;
DROP TABLE jobs;
DROP TABLE ingest_marks;
