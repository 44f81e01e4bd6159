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
    DeadlineExceededError,
    DynamoDBWrapperError,
    ServerError,
    ThrottlingError,
    TransactionCanceledError,
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


# --- against botocore's own standard mode ----------------------------------------------------------------------------


def test_delays_are_those_of_botocores_standard_mode() -> None:
    standard = pytest.importorskip("botocore.retries.standard")
    if not hasattr(standard.ExponentialBackoff, "_SERVICE_BACKOFF_CONFIG"):
        pytest.skip("this botocore is older than the standard mode that is stated here")

    class Detector:
        throttled = False

        def is_throttling_error_from_context(self, context: Any) -> bool:
            return self.throttled

    class Answer:
        headers: dict[str, str]

    class Context:
        http_response: Any = None
        attempt_number = 1

    detector, context = Detector(), Context()
    theirs = standard.ExponentialBackoff(random=lambda: 0.5, service_name="dynamodb", throttling_detector=detector)
    for detector.throttled in (False, True):
        for asked in (None, "0", "700", "30000"):
            context.http_response = None
            if asked is not None:
                context.http_response = Answer()
                context.http_response.headers = {"x-amz-retry-after": asked}
            hint = Hint(Verdict.SAFE, detector.throttled, None if asked is None else int(asked) / 1000)
            for context.attempt_number in range(1, 12):
                ours = policy(jitter=0.5).delay(context.attempt_number, hint)
                assert ours == pytest.approx(theirs.delay_amount(context))


def test_costs_and_capacity_are_those_of_botocores_standard_mode() -> None:
    standard = pytest.importorskip("botocore.retries.standard")
    checker = standard.RetryQuotaChecker
    if getattr(checker, "_RETRY_COST", None) != 14:
        pytest.skip("this botocore is older than the standard mode that is stated here")
    assert RetryQuota().available == standard.quota.RetryQuota.INITIAL_CAPACITY
    for kind, cost in ((ConnectionError, checker._RETRY_COST), (ThrottlingError, checker._THROTTLING_RETRY_COST)):
        quota = RetryQuota()
        play(READ, policy(2, quota=quota), kind("1"), kind("2"))
        assert quota.available == 500 - cost


# --- giving up a write -----------------------------------------------------------------------------------------------

WRITES = ["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"]


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize(
    "last", [ConnectionError("reset"), ThrottlingError("slow"), CredentialsError("expired"), ValidationError("no")]
)
def test_a_write_given_up_after_a_lost_answer_is_unknown(operation: str, last: DynamoDBWrapperError) -> None:
    call = Call(operation, {"TableName": "t"}, key={"p": "x"})
    error, _ = play(call, policy(2), ServerError("500"), last)
    assert isinstance(error, WriteOutcomeUnknownError)
    assert isinstance(error, ConnectionError)
    assert error.__cause__ is error.original_error is last
    assert error.key == {"p": "x"}
    assert error.context["lost_answers"] == 1 + isinstance(last, ConnectionError)
    assert "read the item to find out" in str(error)


@pytest.mark.parametrize("operation", ["GetItem", "Query", "BatchGetItem", "TransactGetItems", "DescribeTable"])
def test_a_read_given_up_raises_its_last_error(operation: str) -> None:
    last = ConnectionError("the last")
    assert play(Call(operation, {}), policy(2), ServerError("500"), last)[0] is last


@pytest.mark.parametrize("operation", WRITES)
def test_a_write_of_which_nothing_was_applied_raises_its_last_error(operation: str) -> None:
    last = hinted(ConnectionError("never sent"), SAFE)
    assert play(Call(operation, {}), policy(2), ThrottlingError("slow"), last)[0] is last


def test_what_the_flow_can_make_out_is_left_to_it() -> None:
    for operation, error in (
        ("PutItem", ConditionFailedError("yours, perhaps")),
        ("TransactWriteItems", TransactionCanceledError("yours, perhaps")),
        ("TransactWriteItems", TransactionConflictError("your first try is in progress")),
    ):
        raised, _ = play(Call(operation, {}), policy(), ConnectionError("reset"), error)
        assert raised is error
        assert error.context["lost_answers"] == 1
    conflict = hinted(TransactionConflictError("somebody's"), SAFE)
    raised, _ = play(Call("PutItem", {}), policy(2), ConnectionError("reset"), conflict)
    assert isinstance(raised, WriteOutcomeUnknownError), "a conflict on a single write says nothing of the first try"


# --- deadlines -------------------------------------------------------------------------------------------------------


def late() -> DeadlineExceededError:
    return hinted(DeadlineExceededError("the time has passed"), SAFE)


def cut_short(call: Call, failure: DynamoDBWrapperError) -> DynamoDBWrapperError:
    """Return the error of a call whose first attempt failed and whose first pause would be too long."""
    flow = retried(call, policy())
    assert next(flow) is call
    assert isinstance(flow.throw(failure), Sleep)
    with pytest.raises(DynamoDBWrapperError) as caught:
        flow.throw(late())
    return caught.value


def test_no_time_for_another_attempt() -> None:
    failure = ThrottlingError("slow").answered(operation="GetItem", request_id="R1", code="ThrottlingException")
    error = cut_short(READ, failure)
    assert isinstance(error, DeadlineExceededError)
    assert error.__cause__ is error.original_error is failure
    assert (error.code, error.request_id, error.operation) == ("ThrottlingException", "R1", "GetItem")
    assert error.context["last_error"] == "slow"
    assert (error.context["attempts"], error.context["key"]) == (1, {"p": "x"})


def test_no_time_for_another_attempt_at_a_write() -> None:
    put = Call("PutItem", {"TableName": "t"}, key={"p": "x"})
    assert isinstance(cut_short(put, ThrottlingError("slow")), DeadlineExceededError)
    unknown = cut_short(put, ConnectionError("reset"))
    assert isinstance(unknown, WriteOutcomeUnknownError)
    assert isinstance(unknown.__cause__, DeadlineExceededError)
    assert isinstance(unknown.__cause__.__cause__, ConnectionError)


def test_an_attempt_without_an_answer_in_time() -> None:
    gone = hinted(DeadlineExceededError("no answer"), LOST)
    assert play(READ, policy(), gone) == (gone, [])
    for call in (WRITE, Call("PutItem", {})):
        error, delays = play(call, policy(), hinted(DeadlineExceededError("no answer"), LOST))
        assert isinstance(error, WriteOutcomeUnknownError)
        assert delays == []


def test_an_attempt_not_begun_in_time() -> None:
    assert isinstance(play(Call("PutItem", {}), policy(), late())[0], DeadlineExceededError)
    first = ConnectionError("reset")
    error, _ = play(Call("PutItem", {}), policy(), first, late())
    assert isinstance(error, WriteOutcomeUnknownError)
    assert error.__cause__ is not None
    assert error.__cause__.__cause__ is first
