DROP INDEX redrive_letters_dead_letter_id;
DROP INDEX audit_log_subject;
