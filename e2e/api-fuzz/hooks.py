"""Rules of Jaego for schemathesis. The environment has authentic callback tokens in JAEGO_CALLBACK_TOKENS."""

import os
import re
import zlib

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.checks import positive_data_acceptance

TOKENS = os.environ.get("JAEGO_CALLBACK_TOKENS", "").split()

# Refusals of requests that conform to their document, because the rule is one that no schema can say:
# operation (None: any), slug of the problem, field (None: the problem names no field).
RULES = {
    # A cursor belongs to one list.
    (None, "invalid-request", "cursor"),
    # Another request has used the key; another change came first.
    (None, "idempotency-key-reused", None),
    (None, "precondition-failed", None),
    # One of two, never both.
    ("getTimeline", "invalid-request", "order"),
    ("getTimeline", "invalid-request", "request"),
    ("redriveDeadLetters", "invalid-request", "ids"),
    # It depends on the clock, the installation, other fields, or products.
    ("snoozeStock", "invalid-request", "until"),
    ("putProduct", "invalid-request", "policy.order_up_to"),
    ("putProduct", "invalid-request", "policy.lot_size"),
    ("putProduct", "invalid-request", "price.currency"),
    ("putProduct", "invalid-request", "max_per_order"),
    ("placeOrder", "invalid-request", "lines"),
    ("placeOrder", "unknown-product", None),
    ("adjustStock", "invalid-request", "delta"),
    ("acceptQuarantined", "invalid-request", "sku"),
    ("acceptQuarantined", "invalid-request", "quantity"),
    ("putFactory", "invalid-request", "id"),
    ("putFactory", "invalid-request", "fallback_factory_id"),
    ("putFactory", "invalid-request", "base_url"),
    ("putFactory", "invalid-request", "callback_sources"),
    ("putFactory", "invalid-request", "retry_schedule"),
    # The installation has a maximum.
    ("createToken", "invalid-request", "expires_in_days"),
    # The token is signed. A count is text or a number, and what is no count is kept for an operator.
    ("deliverGoods", "malformed-request", None),
    ("deliverGoods", "invalid-count", "MessageAttributeProductCnt"),
    ("deliverGoods", "invalid-count", "OrderStockCnt"),
}

# A schema that answers have, too, stays open, because fields may be added to them.
OPEN = "policy."

# To JSON Schema, 7.0 is an integer. The services read whole numbers only.
FRACTION = re.compile(r"invalid type: floating point `-?\d+\.0`, expected [iu]\d+ ")


@schemathesis.check
def conforming_requests_are_accepted(ctx, response, case):
    try:
        return positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        problem = response.json()
        operation = case.operation.definition.raw.get("operationId")
        rule = (problem["type"].rsplit("/", 1)[-1], problem.get("field"))
        if {(operation, *rule), (None, *rule)} & RULES or FRACTION.search(problem["detail"]):
            return None
        unknown = problem.get("unknown_fields")
        if unknown and all(field.startswith(OPEN) for field in unknown):
            return None
        raise


@schemathesis.hook
def before_call(context, case, kwargs):
    """Two of three callbacks have an authentic token, so that their bodies are read."""
    if TOKENS and "token" in (case.path_parameters or {}):
        number = zlib.crc32(repr((case.path_parameters, case.body)).encode())
        if number % 3 != 0:
            case.path_parameters["token"] = TOKENS[number % len(TOKENS)]
