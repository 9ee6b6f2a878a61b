DROP TABLE sessions;
DROP TABLE tokens;
