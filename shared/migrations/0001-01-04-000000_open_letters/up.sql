-- Letters under way are counted beside those that wait.
CREATE INDEX dead_letters_redriving ON dead_letters (queue, "group") WHERE status = 'redriving';
