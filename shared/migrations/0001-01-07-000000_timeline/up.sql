-- What was done to one thing, and what became of one letter, is asked for by its timeline. Both tables are
-- written by operators alone. (The second index also serves the pruning of letters, which cascades to this table.)
CREATE INDEX audit_log_subject ON audit_log (subject);
CREATE INDEX redrive_letters_dead_letter_id ON redrive_letters (dead_letter_id);
