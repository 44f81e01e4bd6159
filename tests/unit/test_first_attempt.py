"""The first attempt at a call, which drivers make without a flow: as if `retried` had made it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest

from dynamodb_wrapper.exceptions import ConnectionError, DynamoDBWrapperError, ThrottlingError, WriteOutcomeUnknownError
from dynamodb_wrapper.operations.effects import Flow, Response, call
from dynamodb_wrapper.transport import RetryPolicy, SyncDriver
from dynamodb_wrapper.transport.async_driver import AsyncDriver
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.retry import RetryQuota

Outcome = Response | BaseException
Run = Callable[..., Response]


def read() -> Flow[Response]:
    return (yield from call("GetItem", {"TableName": "t"}))


def write(*, repeatable: bool = True) -> Flow[Response]:
    return (yield from call("PutItem", {"TableName": "t"}, repeatable=repeatable, key={"id": 1}))


class Script:
    """What attempts come to, one after another."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = list(outcomes)

    def next(self) -> Response:
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def in_threads(script: Script, flow: Flow[Response], policy: RetryPolicy) -> Response:
    class Lane:
        def send(self, call: Any, time_left: float | None = None) -> Response:
            return script.next()

    lane: Any = Lane()
    return SyncDriver(lane, policy, sleep=lambda _: None).run(flow)


def on_a_loop(script: Script, flow: Flow[Response], policy: RetryPolicy) -> Response:
    class Lane:
        async def send(self, call: Any, time_left: float | None = None) -> Response:
            await asyncio.sleep(0)
            return script.next()

    async def no_time(_: float) -> None:
        await asyncio.sleep(0)

    lane: Any = Lane()
    return asyncio.run(AsyncDriver(lane, policy, sleep=no_time).run(flow))


@pytest.fixture(params=[in_threads, on_a_loop])
def run(request: pytest.FixtureRequest) -> Run:
    made: Run = request.param
    return made


def lost() -> DynamoDBWrapperError:
    return hinted(ConnectionError("the connection was closed"), Hint(Verdict.LOST))


def quota(available: int) -> RetryQuota:
    made = RetryQuota(100)
    made.available = available
    return made


def test_its_success_gives_the_quota_something_back(run: Run) -> None:
    policy = RetryPolicy(quota=quota(40))
    assert run(Script({"Item": {}}), read(), policy) == {"Item": {}}
    assert policy.quota.available == 41


def test_its_failure_counts(run: Run) -> None:
    policy = RetryPolicy(max_attempts=2, quota=quota(40))
    with pytest.raises(ThrottlingError) as caught:
        run(Script(ThrottlingError("slow"), ThrottlingError("slow")), read(), policy)
    assert caught.value.context["attempts"] == 2
    assert policy.quota.available == 35


def test_the_answer_after_it_says_that_it_is_the_second(run: Run) -> None:
    policy = RetryPolicy(quota=quota(40))
    assert run(Script(lost(), {}), read(), policy) == {"ResponseMetadata": {"RetryAttempts": 1}}
    assert policy.quota.available == 40


def test_one_that_is_lost_is_the_last_of_a_write_that_is_not_repeatable(run: Run) -> None:
    failure = lost()
    with pytest.raises(WriteOutcomeUnknownError) as caught:
        run(Script(failure, {}), write(repeatable=False), RetryPolicy())
    assert caught.value.__cause__ is failure
    assert caught.value.context["lost_answers"] == 1


def test_one_that_may_not_be_made_again_is_raised_as_it_is(run: Run) -> None:
    failure = hinted(DynamoDBWrapperError("no"), Hint(Verdict.FINAL))
    with pytest.raises(DynamoDBWrapperError) as caught:
        run(Script(failure, {}), read(), RetryPolicy())
    assert caught.value is failure
    assert failure.context == {"operation": "GetItem", "table_name": "t", "attempts": 1}
    assert failure.__cause__ is failure.__context__ is None


@pytest.mark.parametrize("verdict", [Verdict.FINAL, Verdict.LOST])
def test_what_it_had_is_free_as_soon_as_its_error_is(verdict: Verdict) -> None:
    class Body:
        pass

    class Failing(Script):
        def next(self) -> Response:
            body = Body()
            self.body = ref(body)
            raise hinted(ConnectionError("no"), Hint(verdict))

    script = Failing()
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ConnectionError):
            in_threads(script, write(repeatable=False), RetryPolicy())
        assert script.body() is None
    finally:
        gc.enable()


def test_what_is_no_error_of_ours_comes_through(run: Run) -> None:
    with pytest.raises(ZeroDivisionError):
        run(Script(ZeroDivisionError(), {}), read(), RetryPolicy())


def test_one_that_is_interrupted_says_that_its_write_may_have_been_applied() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        in_threads(Script(KeyboardInterrupt()), write(), RetryPolicy())
    with pytest.raises(asyncio.CancelledError) as cancelled:
        on_a_loop(Script(asyncio.CancelledError()), write(), RetryPolicy())
    for error in (caught.value, cancelled.value):
        (note,) = error.__notes__
        assert note.startswith("PutItem on t for {'id': 1} was given up without an answer")
