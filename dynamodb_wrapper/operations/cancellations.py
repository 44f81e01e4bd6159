"""Why a transaction was cancelled: reason by reason, each as the error that the same action would have raised alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dynamodb_wrapper.exceptions import (
    CancellationReason,
    ConditionFailedError,
    DynamoDBWrapperError,
    LimitExceededError,
    ThrottlingError,
    TransactionCanceledError,
    TransactionConflictError,
    ValidationError,
)
from dynamodb_wrapper.operations import unique
from dynamodb_wrapper.operations.unique import GuardAction, Plan

TRIES = 8
"""How often a transaction is sent that is cancelled for what goes away by itself."""
_PASSING: Mapping[str, type[DynamoDBWrapperError]] = {
    "TransactionConflict": TransactionConflictError,
    "ThrottlingError": ThrottlingError,
    "ProvisionedThroughputExceeded": ThrottlingError,
    "RequestLimitExceeded": ThrottlingError,
}
"""Reasons that go away by themselves. With any other reason beside them, the answer would be the same again."""
_LASTING = {"ItemCollectionSizeLimitExceeded": LimitExceededError, "ValidationError": ValidationError}
CONDITION = "ConditionalCheckFailed"


def passes(reasons: Sequence[CancellationReason]) -> bool:
    """Whether a transaction that was cancelled for these reasons may be sent again."""
    codes = {reason.code for reason in reasons} - {"None"}
    return bool(codes) and codes <= _PASSING.keys()


def is_throttled(reasons: Sequence[CancellationReason]) -> bool:
    """Whether capacity was wanting."""
    return any(_PASSING.get(reason.code) is ThrottlingError for reason in reasons)


def is_graver(reason: CancellationReason, known: CancellationReason) -> bool:
    """Whether a reason says more of a request than the one known: a condition more than what would have passed."""
    return (reason.code == CONDITION != known.code) or (reason.code != "None" == known.code)


def of_action(
    reason: CancellationReason,
    error: TransactionCanceledError,
    *,
    table_name: str | None,
    key: dict[str, object] | None,
) -> CancellationReason:
    """Return why an action was not done, with what it would have raised alone."""
    if reason.code == "None":
        return reason
    if reason.code != CONDITION:
        return replace(reason, error=_lasting_error(reason, error))
    message = reason.message or "the condition was false"
    failed = ConditionFailedError(message, error, item=reason.item, table_name=table_name, key=key)
    failed.answered(operation=error.operation or "", request_id=error.request_id, code=reason.code)
    return replace(reason, error=failed)


def of_write(plan: Plan[Any], reason: CancellationReason, error: TransactionCanceledError) -> CancellationReason:
    """Return why a write was not done, as its caller understands it."""
    told = of_action(reason, error, table_name=None, key=None)
    if not isinstance(told.error, ConditionFailedError):
        return told
    return replace(told, item=plan.write.entity.stored_model(told.error), error=plan.write.refused(told.error))


def of_guard(
    plan: Plan[Any], action: GuardAction, reason: CancellationReason, error: TransactionCanceledError
) -> CancellationReason:
    """Return why a request was not done, when what failed is one of its guards."""
    if reason.code != CONDITION:
        return replace(reason, item=None, error=_lasting_error(reason, error))
    key, owner = plan.write.request.readable_key, unique.owner_of(reason.item)
    violation = unique.violation(plan.write.entity, action.unique, key, owner, error)
    violation.answered(operation=error.operation or "", request_id=error.request_id, code=reason.code)
    return replace(reason, message=violation.message, item=None, error=violation)


def _lasting_error(reason: CancellationReason, error: TransactionCanceledError) -> DynamoDBWrapperError:
    kind: type[DynamoDBWrapperError] = {**_PASSING, **_LASTING}.get(reason.code, DynamoDBWrapperError)
    tried = f"; given up after {TRIES} tries" if passes(error.reasons) else ""
    ours = kind(f"{reason.message or f'the transaction was cancelled for {reason.code}'}{tried}")
    ours.context.update(error.context)
    return ours.answered(operation=error.operation or "", request_id=error.request_id, code=reason.code)


def cancelled(
    plans: Sequence[Plan[Any]], reasons: Sequence[CancellationReason], error: TransactionCanceledError
) -> TransactionCanceledError:
    """Return the error of writes of which nothing was done, for these reasons."""
    failures = [
        f"[{number}] {type(plan.write.request).__name__.lower()} in {plan.write.request.table_name!r} of "
        f"{plan.write.request.readable_key!r}: {reason.error.message}"
        for number, (plan, reason) in enumerate(zip(plans, reasons, strict=True))
        if reason.error is not None
    ]
    message = f"the transaction was cancelled, and nothing was written: {'; '.join(failures)}"
    ours = TransactionCanceledError(message, error, error.context, reasons=reasons)
    return ours.answered(operation=error.operation or "", request_id=error.request_id, code=error.code)
