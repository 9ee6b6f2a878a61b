DROP TABLE audited;
