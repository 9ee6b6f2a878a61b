DROP INDEX replenishments_heard;
ALTER TABLE replenishments DROP COLUMN asks;
ALTER TABLE replenishments DROP COLUMN heard_at;
