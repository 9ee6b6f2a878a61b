DROP TABLE factories;
DROP TABLE quarantine;
DROP TABLE deliveries;
DROP TABLE receipts;
DROP TABLE production_requests;
