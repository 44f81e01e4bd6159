"""The driver of event loops, with lanes that answer from a list, and the lane in threads."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    ConnectionError,
    DeadlineExceededError,
    DynamoDBWrapperError,
    ThrottlingError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.operations.effects import Call, Flow, Response, call, emit, new_token, now, sleep, together
from dynamodb_wrapper.transport import RequestEvent, RetryPolicy, Server, observe
from dynamodb_wrapper.transport.async_driver import AsyncDriver
from dynamodb_wrapper.transport.deadlines import begin_sending
from dynamodb_wrapper.transport.thread_lane import ThreadLane
from tests.timing import PATIENCE, in_time

R = TypeVar("R")


class AsyncLane:
    """Answers with what a function of the call gives; an exception is raised. Notes what is on its way."""

    def __init__(self, answer: Callable[[Call], Response | Exception | Awaitable[Response]] = lambda _: {}) -> None:
        self.sent: list[Call] = []
        self.times_left: list[float | None] = []
        self.running = self.most = 0
        self._answer = answer

    async def send(self, call: Call, time_left: float | None = None) -> Response:
        self.sent.append(call)
        self.times_left.append(time_left)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            answer = self._answer(call)
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, dict) else await answer
        finally:
            self.running -= 1

    async def aclose(self) -> None: ...

    def forget(self) -> None: ...

    def close(self) -> None: ...


def scripted(*answers: Response | Exception) -> AsyncLane:
    coming = iter(answers)
    return AsyncLane(lambda _: next(coming))


async def soon(seconds: float = 0.01) -> Response:
    await asyncio.sleep(seconds)
    return {}


async def forever() -> Response:
    await asyncio.Event().wait()
    return {}


def one_call(operation: str = "GetItem", *, repeatable: bool = True) -> Flow[Response]:
    return call(operation, {"TableName": "t"}, repeatable=repeatable, key={"id": 1})


def quick(attempts: int = 4) -> RetryPolicy:
    return RetryPolicy(max_attempts=attempts, jitter=lambda: 0.0)


def run(main: Coroutine[Any, Any, R]) -> R:
    return asyncio.run(main, debug=False)


# --- running ------------------------------------------------------------------------------------------------------


def test_run_returns_what_the_flow_returns_and_gives_it_the_answers() -> None:
    lane = scripted({"Count": 1}, {"Count": 2})

    def flow() -> Flow[list[int]]:
        first = yield from call("Query", {"TableName": "t"})
        second = yield from call("Scan", {"TableName": "u"})
        return [first["Count"], second["Count"]]

    assert run(AsyncDriver(lane).run(flow())) == [1, 2]
    assert [sent.operation for sent in lane.sent] == ["Query", "Scan"]


def test_the_clock_the_sleep_and_the_tokens_are_the_drivers() -> None:
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    slept: list[float] = []

    async def note(seconds: float) -> None:
        slept.append(seconds)

    def flow() -> Flow[tuple[datetime, str, str]]:
        yield from sleep(2.5)
        yield from sleep(2.0, jittered=True)
        return (yield from now()), (yield from new_token()), (yield from new_token())

    driver = AsyncDriver(AsyncLane(), RetryPolicy(jitter=lambda: 0.25), clock=lambda: noon, sleep=note)
    time_told, first, second = run(driver.run(flow()))
    assert time_told == noon
    assert slept == [2.5, 0.5]
    assert first != second
    assert len(first) == 36


def test_our_errors_go_into_the_flow_and_others_past_it() -> None:
    def flow() -> Flow[str]:
        try:
            yield from one_call()
        except ConditionFailedError:
            return "caught"
        return "not reached"

    assert run(AsyncDriver(scripted(ConditionFailedError("no"))).run(flow())) == "caught"
    with pytest.raises(TypeError, match="a bug"):
        run(AsyncDriver(scripted(TypeError("a bug"))).run(flow()))


def test_a_flow_that_emits_is_not_run_and_one_that_waits_is_not_prepared() -> None:
    driver = AsyncDriver(AsyncLane())
    with pytest.raises(TypeError, match="stream"):
        run(driver.run(emit([1])))
    with pytest.raises(TypeError, match="Call"):
        driver.prepared(one_call())
    assert isinstance(driver.prepared(now()), datetime)


def test_what_can_be_repeated_is_and_the_quota_is_shared_by_limited_drivers() -> None:
    lane = scripted(ThrottlingError("slow"), ConnectionError("gone"), {"Item": {}}, ConnectionError("gone"))
    driver = AsyncDriver(lane, quick())

    async def no_wait(_: float) -> None: ...

    driver.sleep = no_wait
    response = run(driver.run(one_call()))
    assert response["ResponseMetadata"]["RetryAttempts"] == 2
    hasty = driver.limited(max_attempts=1)
    with pytest.raises(ConnectionError):
        run(hasty.run(one_call()))
    assert hasty.policy.quota is driver.policy.quota


def test_a_lost_write_that_may_not_be_repeated_is_unknown() -> None:
    lane = scripted(ConnectionError("gone"))
    with pytest.raises(WriteOutcomeUnknownError):
        run(AsyncDriver(lane, quick()).run(one_call("UpdateItem", repeatable=False)))
    assert len(lane.sent) == 1


# --- together -----------------------------------------------------------------------------------------------------


def counted(made: list[int], count: int) -> Iterator[Flow[int]]:
    def flow(number: int) -> Flow[int]:
        yield from one_call()
        return number

    for number in range(count):
        made.append(number)
        yield flow(number)


def test_together_runs_so_many_at_a_time_in_order_and_makes_flows_as_there_is_room() -> None:
    lane, made = AsyncLane(lambda _: soon()), list[int]()
    ahead: list[int] = []

    def noted() -> Iterator[Flow[int]]:
        for flow in counted(made, 50):
            ahead.append(len(made) - len(lane.sent))
            yield flow

    assert run(AsyncDriver(lane).run(together(noted(), at_most=4))) == list(range(50))
    assert lane.most == 4
    assert max(ahead) <= 5


@pytest.mark.parametrize(("count", "at_most"), [(0, 4), (1, 4), (5, 1)])
def test_together_with_nothing_beside_it_stays_in_its_task(count: int, at_most: int) -> None:
    tasks = set[object]()

    async def note() -> Response:
        tasks.add(asyncio.current_task())
        return {}

    async def main() -> list[int]:
        task = asyncio.current_task()
        results = await AsyncDriver(AsyncLane(lambda _: note())).run(together(counted([], count), at_most=at_most))
        assert tasks <= {task}
        return results

    assert run(main()) == list(range(count))


def test_after_the_first_error_no_other_flow_begins_and_those_that_run_are_finished() -> None:
    made, finished = list[int](), list[int]()

    def flow(number: int) -> Flow[None]:
        yield from call("GetItem", {"TableName": str(number)})
        finished.append(number)

    def flows() -> Iterator[Flow[None]]:
        for number in range(20):
            made.append(number)
            yield flow(number)

    def answer(call: Call) -> Exception | Awaitable[Response]:
        return ValidationError("wrong") if call.params["TableName"] == "1" else soon(0.05)

    with pytest.raises(ValidationError):
        run(AsyncDriver(AsyncLane(answer)).run(together(flows(), at_most=3)))
    assert made == [0, 1, 2]
    assert sorted(finished) == [0, 2]


def test_what_fails_together_after_the_first_error_is_not_reported_again(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValidationError), caplog.at_level(logging.ERROR, "asyncio"):
        run(AsyncDriver(AsyncLane(lambda _: ValidationError("wrong"))).run(together(counted([], 9), at_most=3)))
    gc.collect()
    assert not caplog.records


# --- cancellation -------------------------------------------------------------------------------------------------


async def cancelled(awaitable: Coroutine[Any, Any, object], after: float = 0.02) -> list[str]:
    """Cancel a task a moment after it began, and return what the cancellation says."""
    task = asyncio.create_task(awaitable)
    await asyncio.sleep(after)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as error:
        return list(getattr(error, "__notes__", []))
    raise AssertionError("it was not cancelled")


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"])
def test_a_write_that_is_cancelled_may_have_been_applied_and_says_so(operation: str) -> None:
    lane = AsyncLane(lambda _: forever())
    (note,) = run(cancelled(AsyncDriver(lane).run(one_call(operation))))
    assert operation in note
    assert "may have been applied" in note
    assert "{'id': 1}" in note
    assert lane.running == 0


def test_a_read_that_is_cancelled_says_nothing() -> None:
    assert run(cancelled(AsyncDriver(AsyncLane(lambda _: forever())).run(one_call()))) == []


def test_cancelled_between_two_attempts_only_a_lost_answer_leaves_something_unknown() -> None:
    async def main(first: Exception) -> list[str]:
        return await cancelled(
            AsyncDriver(scripted(first), RetryPolicy(jitter=lambda: 1.0)).run(one_call("PutItem")), 0.005
        )

    assert run(main(ThrottlingError("slow down"))) == []
    (note,) = run(main(ConnectionError("gone")))
    assert "PutItem" in note


def test_cancelling_what_runs_together_cancels_all_of_it_and_tells_of_every_write() -> None:
    lane = AsyncLane(lambda _: forever())
    closed: list[int] = []

    def flow(number: int) -> Flow[None]:
        try:
            yield from call("PutItem", {"TableName": f"t{number}"})
        finally:
            closed.append(number)

    async def main() -> list[str]:
        notes = await cancelled(AsyncDriver(lane).run(together(map(flow, range(9)), at_most=3)))
        assert len(asyncio.all_tasks()) == 1
        return notes

    assert sorted(note.split()[2] for note in run(main())) == ["t0", "t1", "t2"]
    assert sorted(closed) == [0, 1, 2]
    assert lane.running == 0


def test_the_note_is_there_when_a_timeout_of_the_users_did_it() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.02):
            await AsyncDriver(AsyncLane(lambda _: forever())).run(one_call("PutItem"))

    with pytest.raises(TimeoutError) as caught:
        run(main())
    assert "may have been applied" in caught.value.__cause__.__notes__[0]  # type: ignore[union-attr]


# --- streams ------------------------------------------------------------------------------------------------------


def pages(count: int, closed: list[object], name: object = "stream") -> Flow[None]:
    try:
        for number in range(count):
            yield from one_call()
            yield from emit([(name, number, 0), (name, number, 1)])
    finally:
        closed.append(name)


def test_a_stream_reads_as_it_is_consumed_and_is_closed_at_its_end() -> None:
    lane, closed = AsyncLane(), list[object]()

    async def main() -> None:
        stream = AsyncDriver(lane).stream(pages(3, closed))
        assert await anext(stream) == ("stream", 0, 0)
        assert await anext(stream) == ("stream", 0, 1)
        assert len(lane.sent) == 1
        assert [item[1:] async for item in stream] == [(1, 0), (1, 1), (2, 0), (2, 1)]

    run(main())
    assert closed == ["stream"]


@pytest.mark.parametrize("together", [False, True])
def test_a_stream_closed_early_reads_no_more_and_leaves_nothing(together: bool) -> None:
    lane, closed = AsyncLane(lambda _: soon(0.001)), list[object]()

    def stream() -> AsyncGenerator[Any, None]:
        driver = AsyncDriver(lane)
        if together:
            return driver.stream_together((pages(9, closed, number) for number in range(9)), at_most=3)
        return driver.stream(pages(9, closed))

    async def main() -> None:
        async for _ in (reading := stream()):
            break
        await reading.aclose()
        assert len(asyncio.all_tasks()) == 1
        sent = len(lane.sent)
        assert len(closed) == (3 if together else 1)
        async for _ in stream():  # and one that nobody closes is closed by the loop
            break
        del reading
        gc.collect()
        async with asyncio.timeout(PATIENCE):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.01)
        assert len(lane.sent) <= 2 * sent + 3

    run(main())
    assert len(closed) == (6 if together else 2)


def test_streams_together_give_everything_and_run_ahead_by_one_page_each() -> None:
    lane, closed = AsyncLane(), list[object]()

    async def main() -> list[Any]:
        stream = AsyncDriver(lane).stream_together((pages(4, closed, number) for number in range(5)), at_most=2)
        items = [await anext(stream)]
        await asyncio.sleep(0.01)
        assert len(lane.sent) <= 3
        items += [item async for item in stream]
        return items

    assert sorted(run(main())) == [(name, page, item) for name in range(5) for page in range(4) for item in (0, 1)]
    assert sorted(closed, key=str) == list(range(5))
    assert lane.most <= 2


def test_when_one_of_several_streams_fails_none_goes_on() -> None:
    closed: list[object] = []

    def answer(call: Call) -> Exception | Awaitable[Response]:
        return ValidationError("wrong") if call.operation == "Scan" else soon(0.001)

    def failing() -> Flow[None]:
        yield from call("Scan", {"TableName": "t"})

    async def main() -> None:
        flows = iter([pages(99, closed, "a"), failing(), pages(99, closed, "b")])
        with pytest.raises(ValidationError):
            async for _ in AsyncDriver(AsyncLane(answer)).stream_together(flows, at_most=2):
                pass
        assert len(asyncio.all_tasks()) == 1

    run(main())
    assert closed == ["a"]


def test_a_consumer_that_is_cancelled_leaves_no_task_behind() -> None:
    closed: list[object] = []

    async def consume() -> None:
        flows = (pages(9, closed, number) for number in range(9))
        async for _ in AsyncDriver(AsyncLane(lambda _: forever())).stream_together(flows, at_most=3):
            pass

    async def main() -> None:
        await cancelled(consume())
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    run(main())
    assert sorted(closed, key=str) == [0, 1, 2]


# --- limits -------------------------------------------------------------------------------------------------------


def test_the_time_limit_is_one_for_all_that_a_flow_does() -> None:
    ticks = iter(range(100))
    lane = AsyncLane()
    driver = AsyncDriver(lane, timeout=3.5, timer=lambda: float(next(ticks)))

    def flow() -> Flow[None]:
        for _ in range(9):
            yield from one_call()

    with pytest.raises(DeadlineExceededError):
        run(driver.run(flow()))
    assert lane.times_left == [2.5, 1.5, 0.5]
    run(driver.run(one_call(), each_request=True))
    assert lane.times_left[3:] == [2.5]


def test_no_pause_is_begun_that_would_end_too_late() -> None:
    policy = RetryPolicy(jitter=lambda: 1000.0)  # a pause of minutes
    driver = AsyncDriver(scripted(ThrottlingError("slow")), policy, timeout=PATIENCE)
    with in_time(), pytest.raises(DeadlineExceededError) as caught:
        run(driver.run(one_call()))
    assert isinstance(caught.value.original_error, ThrottlingError)


# --- observers ----------------------------------------------------------------------------------------------------


def test_hooks_are_called_on_the_loop_with_what_happened() -> None:
    told: list[tuple[RequestEvent, int]] = []
    driver = AsyncDriver(scripted(ThrottlingError("slow"), {"Count": 1}), quick(), server=lambda: Server("here"))

    async def main() -> None:
        await driver.run(one_call("Query"))
        assert told[0][1] == threading.get_ident()

    with observe(lambda event: told.append((event, threading.get_ident()))):
        run(main())
    (event, _), *more = told
    assert not more
    assert (event.operation, event.attempts, event.outcome, event.server.address) == ("Query", 2, "ok", "here")
    assert event.failures == ("ThrottlingError",)


def test_a_cancelled_request_is_told_as_one() -> None:
    told: list[str] = []
    with observe(lambda event: told.append(event.outcome)):
        run(cancelled(AsyncDriver(AsyncLane(lambda _: forever())).run(one_call())))
    assert told == ["CancelledError"]


# --- health -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [({"Table": {"TableStatus": "ACTIVE"}}, True), (ConnectionError("down"), False), (OSError("strange"), False)],
)
def test_a_health_report_never_raises(answer: Response | Exception, healthy: bool) -> None:
    report = run(AsyncDriver(scripted(answer)).health_report(timeout_seconds=1, table_name="t"))
    assert report.healthy is healthy
    assert not run(AsyncDriver(AsyncLane()).health_report(timeout_seconds=-1, table_name=None)).healthy


# --- the lane in threads --------------------------------------------------------------------------------------------


class BlockingLane:
    """Answers when it is let."""

    def __init__(self, *, holds: bool = False) -> None:
        self.sent: list[Call] = []
        self.threads = set[str]()
        self.running = self.most = 0
        self._lock = threading.Lock()
        self.let = threading.Event()
        if not holds:
            self.let.set()

    def send(self, call: Call, time_left: float | None = None) -> Response:
        with self._lock:
            self.threads.add(threading.current_thread().name)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            assert time_left is None
            begin_sending()
            self.sent.append(call)
            self.let.wait(2 * PATIENCE)
            time.sleep(0.0005)
        finally:
            with self._lock:
                self.running -= 1
        return {"Table": call.params}


def test_a_thousand_calls_share_the_threads_there_are() -> None:
    blocking = BlockingLane()
    driver = AsyncDriver(ThreadLane(blocking, at_most=7))

    async def main() -> list[Response]:
        return await asyncio.gather(*(driver.run(call("GetItem", {"TableName": str(n)})) for n in range(1000)))

    answers = run(main())
    assert [answer["Table"]["TableName"] for answer in answers] == [str(n) for n in range(1000)]
    assert blocking.most <= 7
    assert len(blocking.threads) <= 7
    driver.lane.forget()


def test_one_lane_serves_loop_after_loop_and_several_at_once() -> None:
    driver = AsyncDriver(ThreadLane(BlockingLane(), at_most=4))
    assert run(driver.run(one_call()))["Table"]
    assert run(driver.run(one_call()))["Table"]
    answers: list[Response] = []

    def other_loop() -> None:
        async def main() -> None:
            answers.extend(await asyncio.gather(*(driver.run(one_call()) for _ in range(50))))

        run(main())

    threads = [threading.Thread(target=other_loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 200
    driver.lane.forget()
    assert run(driver.run(one_call()))["Table"]  # anew
    driver.lane.forget()


def test_the_threads_have_the_context_of_the_task() -> None:
    name: ContextVar[str] = ContextVar("name")
    seen: list[str] = []

    class Lane:
        def send(self, call: Call, time_left: float | None = None) -> Response:
            seen.append(name.get())
            return {}

    driver = AsyncDriver(ThreadLane(Lane(), at_most=2))

    async def named(value: str) -> None:
        name.set(value)
        await driver.run(one_call())
        await driver.run(together([one_call(), one_call()], at_most=2))

    async def main() -> None:
        await asyncio.gather(named("a"), named("b"))

    run(main())
    assert sorted(seen) == ["a", "a", "a", "b", "b", "b"]
    driver.lane.forget()


def test_what_was_cancelled_before_it_was_sent_is_never_sent_and_leaves_nothing_unknown() -> None:
    blocking = BlockingLane(holds=True)
    driver = AsyncDriver(ThreadLane(blocking, at_most=1))

    async def main() -> tuple[list[str], list[str]]:
        first = asyncio.create_task(cancelled(driver.run(one_call("PutItem")), 0.1))
        await asyncio.sleep(0.02)
        waiting = await cancelled(driver.run(call("PutItem", {"TableName": "never"})), 0.02)
        return await first, waiting

    on_its_way, waiting = run(main())
    assert len(on_its_way) == 1
    assert waiting == []
    blocking.let.set()
    run(driver.run(call("GetItem", {"TableName": "last"})))
    assert [sent.params["TableName"] for sent in blocking.sent] == ["t", "last"]
    driver.lane.forget()


def test_a_time_limit_is_kept_while_a_thread_hangs_or_none_is_free() -> None:
    blocking = BlockingLane(holds=True)
    driver = AsyncDriver(ThreadLane(blocking, at_most=1), quick(1), timeout=0.05)

    async def main() -> list[DynamoDBWrapperError | Response]:
        return await asyncio.gather(
            driver.run(one_call("PutItem")), driver.run(one_call("PutItem")), return_exceptions=True
        )

    with in_time():
        sent, unsent = run(main())
    assert isinstance(sent, WriteOutcomeUnknownError)
    assert isinstance(unsent, DeadlineExceededError)
    blocking.let.set()
    driver.lane.forget()


def test_a_pool_that_can_have_no_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(ConnectionError, match="none can be started"):
        run(AsyncDriver(ThreadLane(BlockingLane(), at_most=1), quick(1)).run(one_call()))


# --- work that one does for many ------------------------------------------------------------------------------------


def test_work_begins_in_the_next_round_is_done_once_and_outlives_who_is_cancelled() -> None:
    begun: list[int] = []

    async def main() -> None:
        async def work() -> int:
            begun.append(len(begun))
            await asyncio.sleep(0.02)
            return 7

        shared = AsyncDriver(AsyncLane()).next_tick(work)

        async def wait() -> int:
            return await shared.outcome()

        impatient, patient = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0.005)
        impatient.cancel()
        assert await patient == 7
        assert await shared.outcome() == 7
        assert begun == [0]
        assert not shared.has_failed

    run(main())


def test_work_that_fails_is_not_reported_when_nobody_waits_any_more(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> bool:
        async def work() -> int:
            await asyncio.sleep(0.01)
            raise ValidationError("wrong")

        shared = AsyncDriver(AsyncLane()).next_tick(work)
        await cancelled(shared.outcome(), 0.005)
        await asyncio.sleep(0.03)
        return shared.has_failed

    with caplog.at_level(logging.ERROR, "asyncio"):
        assert run(main())
    gc.collect()
    assert not caplog.records
