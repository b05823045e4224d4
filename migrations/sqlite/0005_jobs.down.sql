DROP TABLE jobs;
DROP TABLE ingest_marks;
