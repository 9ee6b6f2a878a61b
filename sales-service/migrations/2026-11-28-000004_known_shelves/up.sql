-- Ends a transaction that was begun on what its client knew, when that is not so any more. The client begins again
-- with a look.
CREATE FUNCTION serialization_failure_unless(is_so boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF is_so THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'somebody else has written these rows' USING ERRCODE = 'serialization_failure';
END
$$;
