DROP TABLE missed_segments;
