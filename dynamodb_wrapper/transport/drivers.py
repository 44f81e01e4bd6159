"""The blocking driver: it runs flows, turning each effect they yield into an outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from datetime import datetime
from itertools import chain, islice
from threading import get_ident
from typing import Any, Protocol, TypeVar

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Ask, Call, Effect, Emit, Flow, Join, Response, Sleep, Together
from dynamodb_wrapper.transport import invalidation
from dynamodb_wrapper.transport.deadlines import Deadline
from dynamodb_wrapper.transport.execution import (
    Driver,
    Execution,
    advance,
    join_seconds,
    pause_seconds,
    run_flow,
    utc_now,
)
from dynamodb_wrapper.transport.health import HealthReport, Probe
from dynamodb_wrapper.transport.observers import Observation, Server, is_observed
from dynamodb_wrapper.transport.retry import RetryPolicy, retried

R = TypeVar("R")


class Lane(Protocol):
    """A way to DynamoDB and back: one attempt, without retries."""

    def send(self, call: Call, time_left: float | None = None) -> Response:
        """Return the parsed answer, or raise one of our errors.

        It calls `begin_sending` before it sends, so that whoever has given it up knows whether it was sent.

        Args:
            call: What to send.
            time_left: The seconds after which it raises `DeadlineExceededError`; None for the lane's own timeouts.
        """
        ...

    def open_ahead(self, connections: int, time_left: float) -> int:
        """Open connections before they are needed, and return how many are ready; 0 where that is not ours to do.

        Raises:
            ConnectionError: None could be opened, or not in so many seconds.
        """
        ...


class SyncDriver(Driver[Lane]):
    """Runs flows in the calling thread, and those that run together in threads of their own.

    Safe to share between threads.
    """

    def __init__(
        self,
        lane: Lane,
        policy: RetryPolicy | None = None,
        *,
        timeout: float | None = None,
        reports_capacity: bool = False,
        server: Callable[[], Server] = Server,
        clock: Callable[[], datetime] = utc_now,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Drive flows over a lane.

        Args:
            lane: Sends single attempts.
            policy: When a call is tried again.
            timeout: The time limit in seconds; None for none.
            reports_capacity: Whether requests ask for the capacity they consume though nobody observes them.
            server: Tells where the lane leads, for observers.
            clock: Tells the time.
            timer: Tells seconds that only grow.
            sleep: Waits so many seconds.
        """
        super().__init__(
            lane,
            policy,
            timeout=timeout,
            reports_capacity=reports_capacity,
            server=server,
            clock=clock,
            timer=timer,
        )
        self.sleep = sleep

    def run(self, flow: Flow[R], *, each_request: bool = False) -> R:
        """Run a flow to its end and return its result.

        Args:
            flow: What to run; it does not emit.
            each_request: The time limit is that of each request with its retries, not of the whole flow: for flows
                that have a limit of their own.
        """
        return run_flow(flow, self._execution(each_request=each_request).outcome)

    def stream(self, flow: Flow[object]) -> Iterator[Any]:
        """Yield the items that a flow emits, as they are asked for.

        The flow goes on only when the items emitted so far are consumed; closing the iterator closes the flow.
        """
        execution = self._execution(each_request=True)
        try:
            while (emitted := _next_emitted(flow, execution)) is not None:
                yield from emitted.items
        finally:
            flow.close()

    def stream_together(self, flows: Iterable[Flow[object]], *, at_most: int) -> Iterator[Any]:
        """Yield the items that several flows emit, as they come, so many of the flows running at a time.

        A flow runs ahead of the consumer by what it emits once. When one fails, no other goes on. Closing the iterator
        waits for the calls on their way and closes the flows.
        """
        waiting, opened = iter(flows), list[Flow[object]]()  # not the flows that have ended: there may be a million
        running: dict[Future[Emit | None], Flow[object]] = {}
        pool = ThreadPoolExecutor(at_most, thread_name_prefix="dynamodb")
        execution = self._execution(each_request=True)

        def go_on(flow: Flow[object]) -> None:
            running[pool.submit(copy_context().run, _next_emitted, flow, execution)] = flow

        try:
            for flow in islice(waiting, at_most):
                opened.append(flow)
                go_on(flow)
            while running:
                done = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
                flow, emitted = running.pop(done), done.result()
                if emitted is not None:
                    go_on(flow)
                    yield from emitted.items
                    continue
                opened.remove(flow)
                for following in islice(waiting, 1):
                    opened.append(following)
                    go_on(following)
        finally:
            pool.shutdown()
            for flow in opened:
                flow.close()

    def health_report(self, *, timeout_seconds: float, table_name: str | None) -> HealthReport:
        """Return what one request tells of DynamoDB and a table; never raises, and is back within the timeout."""
        with Probe(timeout_seconds, table_name) as probe:
            probe.answered(self.lane.send(probe.call, probe.seconds))
        return probe.report()

    def _execution(self, *, each_request: bool) -> _Execution:
        return _Execution(self, None if each_request else self.new_deadline())


class _Execution(Execution):
    __slots__ = ("_driver",)

    def __init__(self, driver: SyncDriver, deadline: Deadline | None) -> None:
        super().__init__(deadline, asks_capacity=driver.asks_capacity)
        self._driver = driver

    def outcome(self, effect: Effect) -> object:
        """Return what an effect of the flow gives."""
        match effect:
            case Call():
                if invalidation.watchers and (change := invalidation.change_by(effect)) is not None:
                    return run_flow(change, self._outcome_beside)
                return self._answer(effect)
            case Sleep():
                self._pause(effect, self.deadline)
                return None
            case Together():
                return self._together(effect)
            case Join():
                return self._joined(effect)
            case Ask():
                return effect.server.ask(effect.request)
            case _:
                return self._driver.told(effect)

    def _outcome_beside(self, effect: Effect) -> object:
        """Return what an effect gives of a flow that is about one call: the call, and what is asked for it."""
        return self._answer(effect) if isinstance(effect, Call) else self.outcome(effect)

    def _joined(self, effect: Join) -> list[bytes | None]:
        this = get_ident()  # would wait for itself
        wait([reading.future for reading in effect.readings if reading.thread != this], join_seconds(self.deadline))
        return [reading.future.result() if reading.future.done() else None for reading in effect.readings]

    def _together(self, effect: Together) -> list[Any]:
        flows = iter(effect.flows)
        first = list(islice(flows, 2))
        if len(first) < 2 or effect.at_most == 1:
            return [run_flow(flow, self.outcome) for flow in chain(first, flows)]
        results: dict[int, Any] = {}
        running: dict[Future[Any], int] = {}
        with ThreadPoolExecutor(effect.at_most, thread_name_prefix="dynamodb") as pool:
            for number, flow in enumerate(chain(first, flows)):
                running[pool.submit(copy_context().run, run_flow, flow, self.outcome)] = number
                if len(running) == effect.at_most:
                    _collect(wait(running, return_when=FIRST_COMPLETED).done, running, results)
            _collect(list(running), running, results)
        return [results[number] for number in range(len(results))]

    def _pause(self, effect: Sleep, deadline: Deadline | None) -> None:
        self._driver.sleep(pause_seconds(effect, self._driver.policy, deadline))

    def _answer(self, call: Call) -> Response:
        driver = self._driver
        deadline = self.deadline or driver.new_deadline()
        call = self.as_sent(call)
        if is_observed():
            with Observation(call, driver.server) as observation:
                attempts = retried(call, driver.policy)
                return observation.answered(
                    run_flow(attempts, lambda effect: self._observed_attempt(effect, deadline, observation))
                )
        try:
            response = self._sent(call, deadline)
        except (DynamoDBWrapperError, KeyboardInterrupt) as error:
            attempts = retried(call, driver.policy)
            next(attempts)  # the attempt that has failed
            effect = attempts.throw(error)
        else:
            driver.policy.reward()
            return response
        return run_flow(attempts, lambda effect: self._attempt(effect, deadline), effect)

    def _attempt(self, effect: Effect, deadline: Deadline | None) -> object:
        if isinstance(effect, Sleep):
            self._pause(effect, deadline)
            return None
        assert isinstance(effect, Call)  # all that retries yield
        return self._sent(effect, deadline)

    def _sent(self, call: Call, deadline: Deadline | None) -> Response:
        if deadline is None:
            return self._driver.lane.send(call)
        return self._driver.lane.send(call, deadline.time_for_call())

    def _observed_attempt(self, effect: Effect, deadline: Deadline | None, observation: Observation) -> object:
        if isinstance(effect, Sleep):
            return self._attempt(effect, deadline)
        try:
            answer = self._attempt(effect, deadline)
        except DynamoDBWrapperError as error:
            observation.failed(error)
            raise
        return answer


def _next_emitted(flow: Flow[object], execution: _Execution) -> Emit | None:
    """Run a flow until it emits; None at its end."""
    try:
        effect = flow.send(None)
        while not isinstance(effect, Emit):
            effect = advance(flow, effect, execution.outcome)
    except StopIteration:
        return None
    return effect


def _collect(done: Iterable[Future[Any]], running: dict[Future[Any], int], results: dict[int, Any]) -> None:
    """Move what is done from those that run to the results; the first error found is raised."""
    for future in done:
        results[running.pop(future)] = future.result()
