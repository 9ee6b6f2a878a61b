DROP TABLE early_closings;
DROP TABLE receipts;
DROP TABLE production_attempts;
DROP TABLE production_requests;
DROP TABLE factories;
