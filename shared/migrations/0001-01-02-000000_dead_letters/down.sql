DROP TABLE redrive_letters;
DROP TABLE redrives;
DROP TABLE dead_letters;
