-- When a replenishment was last heard of, or asked for again, and how often it was since: a message that was lost is
-- noticed by nothing being heard.
ALTER TABLE replenishments ADD COLUMN heard_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE replenishments ADD COLUMN asks smallint NOT NULL DEFAULT 0;
CREATE INDEX replenishments_heard ON replenishments (heard_at) WHERE status IN ('open', 'stalled');
