-- What came: an operator may accept goods of another product than the request asks for. Null in a row
-- of the release before, which counted every receipt that it kept as what was asked for.
ALTER TABLE receipts ADD COLUMN sku text;
