"""The one owner of retries for throttling, 5xx answers and the network.

The behaviour is that of the AWS SDKs' *standard* mode as they have it for DynamoDB, stated here so that it does not
move with botocore's defaults: full jitter over ``base * 2**n`` with a base of 25 ms (1 s when throttled) and a cap of
20 s, ``x-amz-retry-after`` honoured, and a quota of 500 tokens per connection that keeps a failing endpoint from being
hit by every caller's retries. What the SDKs do not do: a write that is not repeatable is never sent again once its
answer was lost.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from dynamodb_wrapper.exceptions import DynamoDBWrapperError, WriteOutcomeUnknownError
from dynamodb_wrapper.operations.effects import Call, Flow, Response, Sleep
from dynamodb_wrapper.transport.failures import Hint, Verdict, context_of, hint_of
from dynamodb_wrapper.transport.forks import ForkSafeLock

_BASE_SECONDS = 0.025
_THROTTLED_BASE_SECONDS = 1.0
_MOST_SECONDS = 20.0
_RETRY_AFTER_SLACK_SECONDS = 5.0

_QUOTA = 500
_RETRY_COST = 14
_THROTTLED_RETRY_COST = 5
_FIRST_TRY_REWARD = 1


class RetryQuota:
    """The tokens that the retries of all threads of one connection share; successes give them back."""

    def __init__(self, capacity: int = _QUOTA) -> None:
        self._capacity = capacity
        self._lock = ForkSafeLock()
        self.available = capacity

    def take(self, amount: int) -> bool:
        """Take tokens for one retry; False, and nothing taken, when too few are left."""
        with self._lock:
            if amount > self.available:
                return False
            self.available -= amount
            return True

    def give_back(self, amount: int) -> None:
        """Give tokens back, up to the capacity."""
        if self.available < self._capacity:  # checked again under the lock; nearly always full, so nearly never taken
            with self._lock:
                self.available = min(self._capacity, self.available + amount)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a call is tried again.

    Attributes:
        max_attempts: The attempts in all, the first one included.
        quota: The tokens that limit retries across calls.
        jitter: Returns a number from 0 to 1; each delay is multiplied by one.
    """

    max_attempts: int = 4
    quota: RetryQuota = field(default_factory=RetryQuota)
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int, hint: Hint) -> float:
        """Return the seconds to wait after that attempt (the first is 1) failed."""
        base = _THROTTLED_BASE_SECONDS if hint.throttled else _BASE_SECONDS
        delay = self.jitter() * min(base * 2.0 ** (attempt - 1), _MOST_SECONDS)
        if hint.retry_after is None:
            return delay
        return max(delay, min(hint.retry_after, delay + _RETRY_AFTER_SLACK_SECONDS))


def retried(call: Call, policy: RetryPolicy) -> Flow[Response]:
    """Send a call until it is answered, as often as the policy and the call allow.

    Yields the call once per attempt, and a `Sleep` between two attempts. An answer that took more than one attempt
    says so in ``ResponseMetadata["RetryAttempts"]``.

    Raises:
        WriteOutcomeUnknownError: The answer to a call that is not repeatable was lost.
        DynamoDBWrapperError: The last attempt's error. Its context has ``operation``, ``table_name``, ``attempts``
            and, when an attempt may have been applied without an answer, ``lost_answers``: how many.
    """
    taken = lost = 0
    for attempt in count(1):
        try:
            response: Response = yield call
        except DynamoDBWrapperError as error:
            hint = hint_of(error)
            lost += hint.verdict is Verdict.LOST
            _note(error, call, attempt, lost)
            if hint.verdict is Verdict.LOST and not call.repeatable:
                raise _outcome_unknown(error, call) from error
            if hint.verdict is Verdict.FINAL or attempt >= policy.max_attempts:
                raise
            taken = _THROTTLED_RETRY_COST if hint.throttled else _RETRY_COST
            if not policy.quota.take(taken):
                error.context["retry_quota"] = "exhausted"
                raise
        else:
            policy.quota.give_back(taken or _FIRST_TRY_REWARD)
            if attempt > 1:
                response.setdefault("ResponseMetadata", {})["RetryAttempts"] = attempt - 1
            return response
        yield Sleep(policy.delay(attempt, hint))
    raise AssertionError("unreachable: count() does not end")


def _note(error: DynamoDBWrapperError, call: Call, attempt: int, lost: int) -> None:
    for name, value in {"operation": call.operation, **context_of(call)}.items():
        error.context.setdefault(name, value)
    error.operation = error.operation or call.operation
    error.context["attempts"] = attempt
    if lost:
        error.context["lost_answers"] = lost


def _outcome_unknown(error: DynamoDBWrapperError, call: Call) -> WriteOutcomeUnknownError:
    unknown = WriteOutcomeUnknownError(
        f"the answer to {call.operation} was lost, so nobody knows whether the write happened, and repeating it could "
        "apply it twice; read the item to find out",
        error,
        error.context,
        key=call.key,
    )
    return unknown.answered(operation=call.operation, request_id=error.request_id, code=error.code)
