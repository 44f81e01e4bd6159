"""The retry policy, driven by hand: no clock, no sleeping, no network."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    ConnectionError,
    CorruptResponseError,
    CredentialsError,
    DynamoDBWrapperError,
    ServerError,
    ThrottlingError,
    TransactionConflictError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.operations.effects import Call, Sleep
from dynamodb_wrapper.transport import RetryPolicy, RetryQuota, retried
from dynamodb_wrapper.transport.failures import Hint, Verdict, hint_of, hinted

READ = Call("GetItem", {"TableName": "t"}, key={"p": "x"})
WRITE = Call("UpdateItem", {"TableName": "t"}, repeatable=False, key={"p": "x"})
SAFE, LOST, FINAL = Hint(Verdict.SAFE), Hint(Verdict.LOST), Hint(Verdict.FINAL)


def play(call: Call, policy: RetryPolicy, *outcomes: dict[str, Any] | DynamoDBWrapperError) -> tuple[Any, list[float]]:
    """Return the answer (or the error) and the delays, when the attempts have these outcomes."""
    flow, delays, attempts = retried(call, policy), [], 0
    effect = next(flow)
    try:
        while True:
            if isinstance(effect, Sleep):
                delays.append(effect.seconds)
                effect = flow.send(None)
                continue
            assert effect is call
            outcome, attempts = outcomes[attempts], attempts + 1
            effect = flow.throw(outcome) if isinstance(outcome, DynamoDBWrapperError) else flow.send(outcome)
    except StopIteration as end:
        answer: Any = end.value
    except DynamoDBWrapperError as error:
        answer = error
    assert attempts == len(outcomes)
    return answer, delays


def policy(max_attempts: int = 4, *, jitter: float = 1.0, quota: RetryQuota | None = None) -> RetryPolicy:
    return RetryPolicy(max_attempts, quota or RetryQuota(), jitter=lambda: jitter)


def test_a_first_answer_is_returned_as_it_is() -> None:
    assert play(READ, policy(), {"Item": {}}) == ({"Item": {}}, [])


def test_delays_double_from_25_ms() -> None:
    answer, delays = play(READ, policy(), *[hinted(ConnectionError("reset"), LOST) for _ in range(3)], {"Item": {}})
    assert delays == [0.025, 0.05, 0.1]
    assert answer == {"Item": {}, "ResponseMetadata": {"RetryAttempts": 3}}


def test_throttled_delays_double_from_one_second_to_twenty() -> None:
    _, delays = play(READ, policy(8), *[ThrottlingError("slow") for _ in range(7)], {})
    assert delays == [1, 2, 4, 8, 16, 20, 20]


def test_jitter_scales_the_delay() -> None:
    assert play(READ, policy(jitter=0.25), ThrottlingError("slow"), {})[1] == [0.25]
    assert play(READ, policy(jitter=0.0), ThrottlingError("slow"), {})[1] == [0]


@pytest.mark.parametrize(("asked", "waited"), [(0.5, 1.0), (3.0, 3.0), (60.0, 6.0)])
def test_retry_after_raises_the_delay_by_five_seconds_at_most(asked: float, waited: float) -> None:
    error = hinted(ThrottlingError("slow"), Hint(Verdict.SAFE, throttled=True, retry_after=asked))
    assert play(READ, policy(), error, {})[1] == [waited]


def test_the_last_error_says_how_often_and_where() -> None:
    last = ThrottlingError("the last")
    error, delays = play(READ, policy(3), ThrottlingError("1"), ThrottlingError("2"), last)
    assert error is last
    assert error.context == {"operation": "GetItem", "table_name": "t", "key": {"p": "x"}, "attempts": 3}
    assert error.operation == "GetItem"
    assert len(delays) == 2


def test_one_attempt_is_one_attempt() -> None:
    error, delays = play(READ, policy(1), ThrottlingError("slow"))
    assert (type(error), delays) == (ThrottlingError, [])


@pytest.mark.parametrize("kind", [ConditionFailedError, CredentialsError, TransactionConflictError, ValidationError])
def test_what_would_fail_again_is_not_repeated(kind: type[DynamoDBWrapperError]) -> None:
    error, delays = play(READ, policy(), kind("no"))
    assert (type(error), delays) == (kind, [])


@pytest.mark.parametrize("kind", [ThrottlingError, ServerError, ConnectionError, CorruptResponseError])
def test_what_may_succeed_is_repeated_for_a_repeatable_call(kind: type[DynamoDBWrapperError]) -> None:
    assert play(READ, policy(), kind("oh"), {"Item": {}})[0]["Item"] == {}


@pytest.mark.parametrize("kind", [ServerError, ConnectionError, CorruptResponseError])
def test_a_lost_answer_to_an_unrepeatable_write_is_unknown(kind: type[DynamoDBWrapperError]) -> None:
    lost = kind("gone").answered(operation="UpdateItem", request_id="R1", code="InternalServerError")
    error, delays = play(WRITE, policy(), lost)
    assert isinstance(error, WriteOutcomeUnknownError)
    assert delays == []
    assert error.original_error is error.__cause__ is lost
    assert error.key == {"p": "x"}
    assert (error.operation, error.request_id, error.code) == ("UpdateItem", "R1", "InternalServerError")
    assert error.context["table_name"] == "t"
    assert error.context["attempts"] == 1


def test_an_unrepeatable_write_that_was_not_applied_is_repeated() -> None:
    outcomes = ThrottlingError("slow"), hinted(ConnectionError("never sent"), SAFE), {"Attributes": {}}
    assert play(WRITE, policy(), *outcomes)[0]["Attributes"] == {}


def test_an_unrepeatable_write_stops_at_the_first_lost_answer() -> None:
    error, _ = play(WRITE, policy(), ThrottlingError("slow"), ConnectionError("reset"))
    assert isinstance(error, WriteOutcomeUnknownError)
    assert error.context["attempts"] == 2


def test_an_error_after_a_lost_answer_says_so() -> None:
    error, _ = play(READ, policy(), ConnectionError("reset"), ConditionFailedError("your own first attempt, perhaps"))
    assert isinstance(error, ConditionFailedError)
    assert error.context["lost_answers"] == 1
    assert "lost_answers" not in play(READ, policy(), ThrottlingError("slow"), ConditionFailedError("no"))[0].context


def test_a_hint_is_stronger_than_the_class() -> None:
    assert hint_of(hinted(ConnectionError("closed"), FINAL)) == FINAL
    assert hint_of(ThrottlingError("slow")).throttled
    assert play(READ, policy(), hinted(ConnectionError("closed"), FINAL))[1] == []


def test_an_empty_quota_ends_the_retries() -> None:
    quota = RetryQuota(capacity=20)
    error, delays = play(READ, policy(quota=quota), ConnectionError("1"), ConnectionError("2"))
    assert len(delays) == 1
    assert error.context["retry_quota"] == "exhausted"
    assert quota.available == 6


def test_the_quota_is_paid_per_retry_and_given_back_by_success() -> None:
    quota = RetryQuota()
    play(READ, policy(quota=quota), ConnectionError("1"), ThrottlingError("2"), {})
    assert quota.available == 500 - 14  # the last retry's tokens come back, as in the SDKs
    play(READ, policy(quota=quota), {})
    assert quota.available == 500 - 14 + 1
    for _ in range(50):
        play(READ, policy(quota=quota), {})
    assert quota.available == 500


def test_threads_share_the_quota_exactly() -> None:
    quota = RetryQuota(1000)
    taken: list[int] = []

    def take() -> None:
        taken.append(sum(quota.take(1) for _ in range(300)))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1000
    assert quota.available == 0


def test_the_answers_of_a_batch_name_its_tables() -> None:
    batch = Call("BatchGetItem", {"RequestItems": {"b": {}, "a": {}}})
    assert play(batch, policy(1), ThrottlingError("slow"))[0].context["table_name"] == "a, b"
    actions = [{"Put": {"TableName": "y"}}, {"ConditionCheck": {"TableName": "x"}}]
    transaction = Call("TransactWriteItems", {"TransactItems": actions})
    assert play(transaction, policy(1), ThrottlingError("slow"))[0].context["table_name"] == "x, y"
    assert "table_name" not in play(Call("ListTables", {}), policy(1), ThrottlingError("slow"))[0].context
