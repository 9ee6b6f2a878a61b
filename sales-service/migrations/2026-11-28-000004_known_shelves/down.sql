DROP FUNCTION serialization_failure_unless(boolean);
