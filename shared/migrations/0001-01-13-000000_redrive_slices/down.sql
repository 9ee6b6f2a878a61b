DROP INDEX dead_letters_groups;
DROP INDEX redrives_growing;
ALTER TABLE redrives DROP COLUMN to_add;
ALTER TABLE redrives DROP COLUMN "group";
