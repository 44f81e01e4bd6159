"""The one owner of retries for throttling, 5xx answers and the network.

The behaviour is that of the AWS SDKs' *standard* mode as they have it for DynamoDB, stated here so that it does not
move with botocore's defaults: full jitter over ``base * 2**n`` with a base of 25 ms (1 s when throttled) and a cap of
20 s, ``x-amz-retry-after`` honoured, and a quota of 500 tokens per connection that keeps a failing endpoint from being
hit by every caller's retries.

What the SDKs do not do: a write that is not repeatable is never sent again once its answer was lost; a write given up
after a lost answer says that its outcome is unknown, whatever its last error was; and a single write that met a
transaction on the same item, which applied nothing, is sent again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    DeadlineExceededError,
    DynamoDBWrapperError,
    TransactionCanceledError,
    TransactionConflictError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.operations.effects import Call, Flow, Response, Sleep
from dynamodb_wrapper.transport.failures import Hint, Verdict, context_of, hint_of, table_of
from dynamodb_wrapper.transport.forks import ForkSafeLock

_BASE_SECONDS = 0.025
_THROTTLED_BASE_SECONDS = 1.0
_MOST_SECONDS = 20.0
_RETRY_AFTER_SLACK_SECONDS = 5.0

_QUOTA = 500
_RETRY_COST = 14
_THROTTLED_RETRY_COST = 5
_FIRST_TRY_REWARD = 1

_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"})


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

    def reward(self) -> None:
        """Give the quota what a call earns that was answered at the first attempt."""
        self.quota.give_back(_FIRST_TRY_REWARD)


def checked_attempts(max_attempts: object) -> int:
    """Return how often a call is sent at most.

    Raises:
        ValidationError: It is not a whole number, 1 or more.
    """
    if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 1:
        problem = f"is {max_attempts!r}: must be a whole number, 1 or more"
        raise ValidationError(f"max_attempts {problem}", {"max_attempts": problem})
    return max_attempts


def retried(call: Call, policy: RetryPolicy) -> Flow[Response]:
    """Send a call until it is answered, as often as the policy and the call allow.

    Yields the call once per attempt, and a `Sleep` between two attempts. An answer that took more than one attempt
    says so in ``ResponseMetadata["RetryAttempts"]``.

    A driver may make the first attempt itself: it succeeds nearly always, and then no more is needed than a `reward`
    for the policy.

    Raises:
        WriteOutcomeUnknownError: A write was given up after an answer was lost: at once if it is not repeatable, else
            after the last attempt.
        DeadlineExceededError: The time ran out, and nothing was written.
        BaseException: What a driver throws in because nobody waits any more. Has a note if a write may have been
            applied.
        DynamoDBWrapperError: The last attempt's error. Its context has ``operation``, ``table_name``, ``attempts``
            and, when an attempt may have been applied without an answer, ``lost_answers``: how many.
    """
    attempts: _FailedAttempts | None = None  # nearly all calls succeed at once and need none
    while True:
        try:
            response: Response = yield call
        except DynamoDBWrapperError as error:
            attempts = attempts or _FailedAttempts(call, policy)
            if attempts.end_with(error):
                attempts.give_up(error)
        except BaseException as interruption:  # the task that waited was cancelled: no error of ours, but not silent
            was_sent = hint_of(interruption).verdict is not Verdict.SAFE
            _note_if_unknown(interruption, call, was_sent=was_sent or (attempts is not None and attempts.lost > 0))
            raise
        else:
            if attempts is not None:
                return attempts.succeeded(response)
            policy.reward()
            return response
        try:
            yield Sleep(attempts.delay)
        except DeadlineExceededError as late:
            attempts.give_up(attempts.cut_short(late))
        except BaseException as interruption:
            _note_if_unknown(interruption, call, was_sent=attempts.lost > 0)
            raise


class _FailedAttempts:
    """The attempts at one call that have failed so far.

    Attributes:
        delay: The seconds to wait before the next one.
        lost: How many may have been applied without an answer.
    """

    def __init__(self, call: Call, policy: RetryPolicy) -> None:
        self._call = call
        self._policy = policy
        self._made = self.lost = self._taken = 0
        self._last: DynamoDBWrapperError | None = None
        self.delay = 0.0

    def succeeded(self, response: Response) -> Response:
        """Return the answer, with how many retries it took."""
        self._policy.quota.give_back(self._taken)
        response.setdefault("ResponseMetadata", {})["RetryAttempts"] = self._made
        return response

    def end_with(self, error: DynamoDBWrapperError) -> bool:
        """Note a failed attempt; True if there is to be no other."""
        hint = hint_of(error)
        is_lost = hint.verdict is Verdict.LOST
        self._made += 1
        self.lost += is_lost
        self._note(error)
        if isinstance(error, DeadlineExceededError):
            error.original_error = error.__cause__ = self._last
            return True
        if hint.verdict is Verdict.FINAL or self._made >= self._policy.max_attempts:
            return True
        if is_lost and not self._call.repeatable:
            return True
        self._taken = _THROTTLED_RETRY_COST if hint.throttled else _RETRY_COST
        if not self._policy.quota.take(self._taken):
            error.context["retry_quota"] = "exhausted"
            return True
        self._last, self.delay = error, self._policy.delay(self._made, hint)
        return False

    def cut_short(self, late: DeadlineExceededError) -> DeadlineExceededError:
        """Note that there is no time for another attempt, because of how the last one ended."""
        last = self._last
        assert last is not None
        late.original_error = late.__cause__ = last
        late.context["last_error"] = last.message
        late.request_id, late.code = last.request_id, last.code
        self._note(late)
        return late

    def give_up(self, error: DynamoDBWrapperError) -> NoReturn:
        """Raise what the caller gets for the error of the last attempt."""
        final = _outcome_unknown(error, self._call) if self._is_unknown(error) else error
        try:
            raise final from final.__cause__
        finally:
            del error, final  # which would keep this frame, and it them, with all that its callers had

    def _is_unknown(self, error: DynamoDBWrapperError) -> bool:
        """Whether giving up leaves open if the write was applied."""
        operation = self._call.operation
        if not self.lost or (self._call.repeatable and operation not in _WRITES):
            return False
        # What these say after a lost answer, the flow that sent the write makes out: it knows the item, or the token.
        if operation == "TransactWriteItems" and isinstance(error, TransactionConflictError):
            return False
        return not isinstance(error, ConditionFailedError | TransactionCanceledError)

    def _note(self, error: DynamoDBWrapperError) -> None:
        for name, value in {"operation": self._call.operation, **context_of(self._call)}.items():
            error.context.setdefault(name, value)
        error.operation = error.operation or self._call.operation
        error.context["attempts"] = self._made
        if self.lost:
            error.context["lost_answers"] = self.lost


def _note_if_unknown(interruption: BaseException, call: Call, *, was_sent: bool) -> None:
    """Say on what interrupts a write that was sent that nobody knows whether it happened."""
    if was_sent and call.operation in _WRITES and not isinstance(interruption, GeneratorExit):
        key = f" for {call.key}" if call.key else ""
        interruption.add_note(
            f"{call.operation} on {table_of(call)}{key} was given up without an answer: it may have been applied; read "
            "the item to find out"
        )


def _outcome_unknown(error: DynamoDBWrapperError, call: Call) -> WriteOutcomeUnknownError:
    ending = "and no later attempt told" if call.repeatable else "and repeating it could apply it twice"
    unknown = WriteOutcomeUnknownError(
        f"an answer to {call.operation} was lost, so nobody knows whether the write happened, {ending}; "
        "read the item to find out",
        error,
        error.context,
        key=call.key,
    )
    unknown.__cause__ = error
    return unknown.answered(operation=call.operation, request_id=error.request_id, code=error.code)
