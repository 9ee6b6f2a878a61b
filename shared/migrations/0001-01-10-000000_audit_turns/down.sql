DROP TABLE audit_turns;
