"""The blocking driver, with a lane that answers from a list."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import islice
from typing import Any

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
from dynamodb_wrapper.operations.effects import (
    Call,
    Emit,
    Flow,
    Response,
    call,
    emit,
    new_token,
    now,
    sleep,
    together,
)
from dynamodb_wrapper.transport import RetryPolicy, SyncDriver
from dynamodb_wrapper.transport.deadlines import Abandonable, begin_sending
from dynamodb_wrapper.transport.failures import Verdict, hint_of
from tests.timing import in_time, until


class ScriptedLane:
    """Answers calls from a list; an exception in it is raised."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.sent: list[Call] = []
        self._answers: Iterator[Response | Exception] = iter(answers)

    def send(self, call: Call) -> Response:
        self.sent.append(call)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_run_returns_what_the_flow_returns_and_gives_it_the_answers() -> None:
    lane = ScriptedLane({"Count": 1}, {"Count": 2})

    def flow() -> Flow[list[int]]:
        first = yield from call("Query", {"TableName": "t"})
        second = yield from call("Scan", {"TableName": "u"})
        return [first["Count"], second["Count"]]

    assert SyncDriver(lane).run(flow()) == [1, 2]
    assert [(sent.operation, sent.params) for sent in lane.sent] == [
        ("Query", {"TableName": "t"}),
        ("Scan", {"TableName": "u"}),
    ]


def test_the_clock_and_sleep_are_the_drivers() -> None:
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    slept: list[float] = []

    def flow() -> Flow[datetime]:
        yield from sleep(2.5)
        return (yield from now())

    driver = SyncDriver(ScriptedLane(), clock=lambda: noon, sleep=slept.append)
    assert driver.run(flow()) == noon
    assert slept == [2.5]


def test_the_default_clock_is_aware_and_in_utc() -> None:
    time = SyncDriver(ScriptedLane()).run(now())
    assert time.tzinfo is UTC
    assert abs((datetime.now(UTC) - time).total_seconds()) < 60


def test_a_flow_can_catch_our_errors_and_go_on() -> None:
    lane = ScriptedLane(ConditionFailedError("no", item={"p": {"S": "x"}}), {"Item": {}})

    def flow() -> Flow[object]:
        try:
            yield from call("PutItem", {"TableName": "t"})
        except ConditionFailedError as error:
            yield from call("GetItem", {"TableName": "t"})
            return error.item
        return None

    assert SyncDriver(lane).run(flow()) == {"p": {"S": "x"}}
    assert [sent.operation for sent in lane.sent] == ["PutItem", "GetItem"]


def test_an_error_nobody_catches_reaches_the_caller_and_finally_runs() -> None:
    done = []

    def flow() -> Flow[None]:
        try:
            yield from call("PutItem", {"TableName": "t"})
        finally:
            done.append("cleaned")

    with pytest.raises(DynamoDBWrapperError, match="broken"):
        SyncDriver(ScriptedLane(DynamoDBWrapperError("broken"))).run(flow())
    assert done == ["cleaned"]


def test_a_bug_is_not_thrown_into_the_flow() -> None:
    caught = []

    def flow() -> Flow[None]:
        try:
            yield from call("PutItem", {"TableName": "t"})
        except TypeError:
            caught.append("flow")

    with pytest.raises(TypeError, match="ours"):
        SyncDriver(ScriptedLane(TypeError("ours"))).run(flow())
    assert caught == []


def test_emitting_in_run_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match=r"run with stream\(\)"):
        SyncDriver(ScriptedLane()).run(emit([1]))


def pages(closed: list[str]) -> Flow[None]:
    try:
        while True:
            page = yield from call("Query", {"TableName": "t"})
            yield from emit(page["Items"])
            if "LastEvaluatedKey" not in page:
                return
    finally:
        closed.append("closed")


def test_stream_asks_for_the_next_page_only_when_this_one_is_read() -> None:
    lane = ScriptedLane(
        {"Items": [1, 2], "LastEvaluatedKey": {}}, {"Items": [], "LastEvaluatedKey": {}}, {"Items": [3]}
    )
    items = SyncDriver(lane).stream(pages([]))
    assert len(lane.sent) == 0
    assert list(islice(items, 2)) == [1, 2]
    assert len(lane.sent) == 1
    assert list(items) == [3]
    assert len(lane.sent) == 3


def test_closing_the_iterator_closes_the_flow() -> None:
    closed: list[str] = []
    items = SyncDriver(ScriptedLane({"Items": [1, 2], "LastEvaluatedKey": {}})).stream(pages(closed))
    assert next(items) == 1
    assert closed == []
    items.close()  # type: ignore[attr-defined]
    assert closed == ["closed"]


def test_an_error_in_a_stream_comes_after_the_items_before_it() -> None:
    closed: list[str] = []
    lane = ScriptedLane({"Items": [1], "LastEvaluatedKey": {}}, DynamoDBWrapperError("broken"))
    items = SyncDriver(lane).stream(pages(closed))
    assert next(items) == 1
    with pytest.raises(DynamoDBWrapperError, match="broken"):
        next(items)
    assert closed == ["closed"]


def test_a_failed_attempt_is_repeated_before_the_flow_hears_of_it() -> None:
    slept: list[float] = []
    lane = ScriptedLane(ConnectionError("reset"), {"Item": {}})
    driver = SyncDriver(lane, RetryPolicy(max_attempts=2, jitter=lambda: 1.0), sleep=slept.append)
    answer = driver.run(call("GetItem", {"TableName": "t"}))
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    assert slept == [0.025]
    assert len(lane.sent) == 2


def test_streams_and_runs_may_share_a_driver() -> None:
    lane = ScriptedLane({"Items": [1, 2]}, {"Count": 7})
    driver = SyncDriver(lane)
    items = driver.stream(pages([]))
    assert next(items) == 1
    assert driver.run(call("Scan", {}))["Count"] == 7
    assert next(items) == 2


def test_requests_are_logged_without_keys_or_values(caplog: pytest.LogCaptureFixture) -> None:
    secret = "very-private"
    metadata = {"ResponseMetadata": {"RequestId": "REQ1"}}
    lane = ScriptedLane(
        ConnectionError("reset"), {"Item": {"p": {"S": secret}}, **metadata}, ConditionFailedError("no")
    )
    driver = SyncDriver(lane, sleep=lambda _: None)
    params = {"TableName": "orders", "Key": {"p": {"S": secret}}}
    with caplog.at_level(logging.DEBUG, logger="dynamodb_wrapper.transport"):
        driver.run(call("GetItem", params, key={"p": secret}))
        with pytest.raises(ConditionFailedError):
            driver.run(call("PutItem", params, key={"p": secret}))
    read, write = (record.__dict__ for record in caplog.records)
    assert (read["operation"], read["table_name"], read["attempts"], read["request_id"]) == (
        "GetItem",
        "orders",
        2,
        "REQ1",
    )
    assert read["duration_ms"] >= 0
    assert (write["operation"], write["attempts"], write["outcome"]) == ("PutItem", 1, "ConditionFailedError")
    assert "operation=GetItem table_name=orders attempts=2" in caplog.text
    assert secret not in caplog.text


def test_nothing_is_logged_by_default(caplog: pytest.LogCaptureFixture) -> None:
    SyncDriver(ScriptedLane({})).run(call("GetItem", {}))
    assert caplog.records == []


def test_an_effect_that_emits_nothing_is_no_item() -> None:
    def flow() -> Flow[None]:
        yield Emit([])
        yield Emit([None])

    assert list(SyncDriver(ScriptedLane()).stream(flow())) == [None]


# --- flows together -------------------------------------------------------------------------------------------------


def test_flows_together_give_their_results_in_order_and_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=10)

    class MeetingLane:
        def send(self, call: Call) -> Response:
            meeting.wait()
            return {"Count": call.params["n"]}

    def counted(number: int) -> Flow[int]:
        response = yield from call("Query", {"n": number})
        return int(response["Count"])

    assert SyncDriver(MeetingLane()).run(together(map(counted, range(9)), at_most=3)) == list(range(9))


def test_flows_are_taken_as_there_is_room() -> None:
    most = running = 0
    lock = threading.Lock()

    def flow() -> Flow[None]:
        nonlocal running
        yield from sleep(0.001)
        with lock:
            running -= 1

    def flows() -> Iterator[Flow[None]]:
        nonlocal most, running
        for _ in range(50):
            with lock:
                running += 1
                most = max(most, running)
            yield flow()

    SyncDriver(ScriptedLane()).run(together(flows(), at_most=4))
    assert most <= 5, "four that run, and the one that was just made"


def test_the_first_error_of_flows_together_stops_the_rest_and_reaches_the_flow() -> None:
    begun: list[int] = []

    def failing(number: int) -> Flow[None]:
        begun.append(number)
        yield from sleep(0)
        raise DynamoDBWrapperError(f"broken {number}")

    def flow() -> Flow[str]:
        try:
            yield from together(map(failing, range(100)), at_most=2)
        except DynamoDBWrapperError as error:
            return error.message
        raise AssertionError("no error reached the flow")

    assert SyncDriver(ScriptedLane()).run(flow()).startswith("broken ")
    assert len(begun) < 100


def test_streams_together_yield_everything_and_run_ahead_by_one_emission() -> None:
    emitted: list[int] = []

    def segment(number: int) -> Flow[None]:
        for page in range(5):
            emitted.append(number)
            yield from emit([(number, page)])

    items = SyncDriver(ScriptedLane()).stream_together(map(segment, range(6)), at_most=2)
    next(items)
    assert len(emitted) <= 4, "two segments, each one emission ahead"
    assert len(list(items)) == 29
    assert sorted(emitted) == [number for number in range(6) for _ in range(5)]


def test_streams_together_close_every_flow_when_the_consumer_stops_or_one_fails() -> None:
    closed: list[int] = []

    def segment(number: int, *, failing: bool = False) -> Flow[None]:
        try:
            while True:
                yield from emit([number])
                if failing:
                    raise DynamoDBWrapperError("broken")
        finally:
            closed.append(number)

    items = SyncDriver(ScriptedLane()).stream_together(map(segment, range(4)), at_most=2)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert sorted(closed) == [0, 1]

    closed.clear()
    broken = SyncDriver(ScriptedLane()).stream_together([segment(0), segment(1, failing=True)], at_most=2)
    with pytest.raises(DynamoDBWrapperError, match="broken"):
        list(broken)
    assert sorted(closed) == [0, 1]


def test_a_jittered_sleep_is_a_random_part_and_a_token_is_new() -> None:
    slept: list[float] = []
    driver = SyncDriver(ScriptedLane(), RetryPolicy(jitter=lambda: 0.25), sleep=slept.append)
    driver.run(sleep(8, jittered=True))
    assert slept == [2.0]
    first, second = driver.run(new_token()), driver.run(new_token())
    assert len(first) == 36
    assert first != second


# --- time limits ----------------------------------------------------------------------------------------------------


class Clockwork:
    """A lane, a timer and a sleep over one time that moves only when they say so."""

    def __init__(self, *script: tuple[float, Response | Exception]) -> None:
        self.time = 0.0
        self.sent: list[tuple[str, float, float | None]] = []
        self._script = iter(script)

    def send(self, call: Call, time_left: float | None = None) -> Response:
        self.sent.append((call.operation, self.time, None if time_left is None else round(time_left, 9)))
        seconds, answer = next(self._script)
        self.time += seconds
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def driver(self, timeout: float | None = None, max_attempts: int = 4) -> SyncDriver:
        policy = RetryPolicy(max_attempts, jitter=lambda: 1.0)
        return SyncDriver(self, policy, timeout=timeout, timer=lambda: self.time, sleep=self.sleep)


def test_an_attempt_gets_the_time_that_is_left() -> None:
    lane = Clockwork((0.5, ConnectionError("reset")), (0.1, {"Item": {}}))
    lane.driver(2.0).run(call("GetItem", {}))
    assert lane.sent == [("GetItem", 0.0, 2.0), ("GetItem", 0.525, 1.475)]


def test_without_a_limit_the_lane_is_told_none() -> None:
    lane = Clockwork((0.5, {}), (0.5, {}))
    lane.driver().run(call("GetItem", {}))
    lane.driver(3.0).limited(timeout=math.inf).run(call("GetItem", {}))
    assert [left for _, _, left in lane.sent] == [None, None]


def test_a_pause_that_would_end_too_late_is_not_waited_for() -> None:
    lane = Clockwork((0.1, ThrottlingError("slow")))
    with pytest.raises(DeadlineExceededError, match="the time limit of 1 s has passed") as caught:
        lane.driver(1.0).run(call("GetItem", {"TableName": "t"}, key={"p": 1}))
    assert lane.time == 0.1
    assert isinstance(caught.value.__cause__, ThrottlingError)
    assert caught.value.context == {
        "deadline_seconds": 1.0,
        "last_error": "slow",
        "operation": "GetItem",
        "table_name": "t",
        "key": {"p": 1},
        "attempts": 1,
    }


def test_the_limit_holds_for_the_whole_flow() -> None:
    lane = Clockwork((0.6, {}), (0.6, {}))

    def flow() -> Flow[None]:
        for _ in range(3):
            yield from call("PutItem", {})

    with pytest.raises(DeadlineExceededError, match="was not sent") as caught:
        lane.driver(1.0).run(flow())
    assert len(lane.sent) == 2
    assert hint_of(caught.value).verdict is Verdict.SAFE


def test_a_flow_may_catch_the_end_of_its_time() -> None:
    def flow() -> Flow[str]:
        try:
            yield from sleep(5)
        except DeadlineExceededError:
            return "what was done so far"
        return "all"

    lane = Clockwork()
    assert lane.driver(1.0).run(flow()) == "what was done so far"
    assert lane.driver(5.1).run(flow()) == "all"


def test_flows_together_share_the_limit() -> None:
    lane = Clockwork((0.6, {}), (0.6, {}))
    with pytest.raises(DeadlineExceededError):
        lane.driver(1.0).run(together((call("GetItem", {}) for _ in range(5)), at_most=1))
    assert len(lane.sent) == 2
    lane = Clockwork(*[(0.6, {})] * 9)
    with pytest.raises(DeadlineExceededError):
        lane.driver(1.0).run(together((call("GetItem", {}) for _ in range(9)), at_most=2))
    assert len(lane.sent) < 9


def test_a_stream_has_the_limit_for_each_request() -> None:
    more = {"Items": [1], "LastEvaluatedKey": {}}
    lane = Clockwork((0.9, more), (0.9, more), (0.9, {"Items": [1]}))
    assert list(lane.driver(1.0).stream(pages([]))) == [1, 1, 1]
    assert [left for _, _, left in lane.sent] == [1.0, 1.0, 1.0]
    lane = Clockwork((0.9, more), (0.1, ThrottlingError("slow")))
    items = lane.driver(1.0).stream(pages([]))
    assert next(items) == 1
    with pytest.raises(DeadlineExceededError):
        next(items)


def test_a_flow_with_a_limit_of_its_own_has_the_drivers_for_each_request() -> None:
    def flow() -> Flow[None]:
        for _ in range(3):
            yield from call("DescribeTable", {})
            yield from sleep(20)

    lane = Clockwork(*[(0.5, {})] * 3)
    lane.driver(1.0).run(flow(), each_request=True)
    assert [left for _, _, left in lane.sent] == [1.0, 1.0, 1.0]


def test_a_limited_driver_shares_lane_and_quota_and_leaves_the_other_as_it_was() -> None:
    lane = Clockwork(*[(0.0, ConnectionError("reset"))] * 9)
    driver = lane.driver()
    hasty = driver.limited(timeout=0.5, max_attempts=2)
    with pytest.raises(ConnectionError):
        hasty.run(call("GetItem", {}))
    assert [left for _, _, left in lane.sent] == [0.5, 0.475]
    assert driver.policy.quota is hasty.policy.quota
    assert driver.policy.quota.available == 500 - 14
    with pytest.raises(ConnectionError):
        driver.run(call("GetItem", {}))
    assert len(lane.sent) == 6
    assert lane.sent[-1][2] is None
    again = hasty.limited(max_attempts=1)
    with pytest.raises(ConnectionError):
        again.run(call("GetItem", {}))
    assert (len(lane.sent), lane.sent[-1][2]) == (7, 0.5)


@pytest.mark.parametrize("limits", [{"timeout": value} for value in (0, -1, True, "1", math.nan)])
def test_a_time_limit_is_a_number_of_seconds(limits: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"timeout is .*: must be a number of seconds greater than 0"):
        SyncDriver(ScriptedLane()).limited(**limits)


@pytest.mark.parametrize("attempts", [0, -1, True, 1.5, "3"])
def test_attempts_are_a_number_of_attempts(attempts: Any) -> None:
    with pytest.raises(ValidationError, match=r"max_attempts is .*: must be a whole number, 1 or more"):
        SyncDriver(ScriptedLane()).limited(max_attempts=attempts)


# --- work that heeds no limit ---------------------------------------------------------------------------------------


def stuck(release: threading.Event) -> Callable[[], bool]:
    """Work that has sent its request, and gets no answer."""

    def work() -> bool:
        begin_sending()
        return release.wait(30)

    return work


def test_work_that_is_done_in_time_returns_raises_and_knows_its_context() -> None:
    who: ContextVar[str] = ContextVar("who")
    who.set("me")
    abandonable = Abandonable(at_most=1)
    assert abandonable.run(who.get, 5) == "me"
    with pytest.raises(KeyError):
        abandonable.run(lambda: {}["missing"], 5)
    with pytest.raises(TimeoutError, match="its own"):
        abandonable.run(lambda: exec("raise TimeoutError('its own')"), 5)
    assert abandonable.run(lambda: 1, 1e300) == 1


def test_work_that_is_not_done_in_time_is_left_behind() -> None:
    release = threading.Event()
    with in_time(), pytest.raises(DeadlineExceededError, match=r"no answer came within the 0\.05 s") as caught:
        Abandonable(at_most=1).run(stuck(release), 0.05)
    assert hint_of(caught.value).verdict is Verdict.LOST
    release.set()


def test_work_that_is_given_up_before_it_sends_never_sends() -> None:
    release, done, sent = threading.Event(), threading.Event(), []

    def work() -> None:
        try:
            release.wait(30)
            begin_sending()
            sent.append(1)
        finally:
            done.set()

    with pytest.raises(DeadlineExceededError, match="could not be sent within") as caught:
        Abandonable(at_most=1).run(work, 0.01)
    assert hint_of(caught.value).verdict is Verdict.SAFE
    release.set()
    assert done.wait(10)
    assert sent == []


def test_sending_without_a_limit_needs_no_leave() -> None:
    begin_sending()
    begin_sending()


def test_only_so_much_is_left_behind() -> None:
    release, abandonable, begun = threading.Event(), Abandonable(at_most=2), []
    for _ in range(2):
        with pytest.raises(DeadlineExceededError):
            abandonable.run(stuck(release), 0.01)
    with pytest.raises(ConnectionError, match=r"2 requests .* still wait") as caught:
        abandonable.run(lambda: begun.append(1), 5)
    assert type(caught.value) is ConnectionError
    assert hint_of(caught.value).verdict is Verdict.SAFE
    assert begun == []
    release.set()
    until(lambda: all(thread.name != "dynamodb-attempt" for thread in threading.enumerate()))
    abandonable.run(lambda: begun.append(1), 5)
    assert begun == [1], "there is room again"


def test_a_process_that_can_have_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(ConnectionError, match="none can be started") as caught:
        Abandonable(at_most=1).run(lambda: 1, 5)
    assert hint_of(caught.value).verdict is Verdict.SAFE


def test_a_write_that_is_left_behind_is_unknown() -> None:
    release, abandonable = threading.Event(), Abandonable(at_most=1)

    class StuckLane:
        def send(self, call: Call, time_left: float | None = None) -> Response:
            assert time_left is not None
            return {"done": abandonable.run(stuck(release), time_left)}

    driver = SyncDriver(StuckLane(), timeout=0.05)
    with pytest.raises(WriteOutcomeUnknownError) as caught:
        driver.run(call("PutItem", {}, key={"p": 1}))
    assert isinstance(caught.value.__cause__, DeadlineExceededError)
    release.set()
