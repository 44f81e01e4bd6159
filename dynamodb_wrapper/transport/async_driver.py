"""The driver of event loops: it runs flows in the tasks of whoever awaits them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Ask, Call, Effect, Emit, Flow, Join, Response, Sleep, Together
from dynamodb_wrapper.transport import invalidation
from dynamodb_wrapper.transport.deadlines import Deadline
from dynamodb_wrapper.transport.execution import Driver, Execution, join_seconds, pause_seconds, utc_now
from dynamodb_wrapper.transport.health import HealthReport, Probe
from dynamodb_wrapper.transport.next_tick import NextTick
from dynamodb_wrapper.transport.observers import Observation, Server, is_observed
from dynamodb_wrapper.transport.retry import RetryPolicy, retried

K = TypeVar("K")
R = TypeVar("R")
OutcomeOf = Callable[[Effect], Awaitable[object]]


class AsyncLane(Protocol):
    """A way to DynamoDB and back from an event loop: one attempt, without retries."""

    async def send(self, call: Call, time_left: float | None = None) -> Response:
        """Return the parsed answer, or raise one of our errors.

        When it is cancelled, the `CancelledError` is `hinted` to be safe if the request was not sent and never will be.

        Args:
            call: What to send.
            time_left: The seconds after which it raises `DeadlineExceededError`; None for the lane's own timeouts.
        """
        ...

    async def open_ahead(self, connections: int, time_left: float) -> int:
        """Open connections before they are needed, and return how many are ready; 0 where that is not ours to do.

        Raises:
            ConnectionError: None could be opened, or not in so many seconds.
        """
        ...

    async def aclose(self) -> None:
        """Close what the running event loop has opened; the next call opens anew."""
        ...

    def forget(self) -> None:
        """Close everything at once, from any thread, without waiting; the next call opens anew."""
        ...

    def close(self) -> None:
        """Do what `forget` does, for good: calls on their way leave nothing open either."""
        ...


class AsyncDriver(Driver[AsyncLane]):
    """Runs flows in the task that awaits them, and those that run together in tasks of their own.

    Bound to no event loop, so it is safe to share between them. A task that is cancelled leaves its flow at once; the
    `CancelledError` has a note for every write that may have been applied.
    """

    def __init__(
        self,
        lane: AsyncLane,
        policy: RetryPolicy | None = None,
        *,
        timeout: float | None = None,
        reports_capacity: bool = False,
        server: Callable[[], Server] = Server,
        clock: Callable[[], datetime] = utc_now,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
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

    def run(self, flow: Flow[R], *, each_request: bool = False) -> Coroutine[Any, Any, R]:
        """Run a flow to its end and return its result.

        Args:
            flow: What to run; it does not emit.
            each_request: The time limit is that of each request with its retries, not of the whole flow: for flows
                that have a limit of their own.
        """
        return run_flow(flow, self._execution(each_request=each_request).outcome)

    async def stream(self, flow: Flow[object]) -> AsyncGenerator[Any, None]:
        """Yield the items that a flow emits, as they are asked for.

        The flow goes on only when the items emitted so far are consumed; closing the iterator closes the flow.
        """
        execution = self._execution(each_request=True)
        try:
            while (emitted := await _next_emitted(flow, execution)) is not None:
                for item in emitted.items:
                    yield item
        finally:
            flow.close()

    async def stream_together(self, flows: Iterable[Flow[object]], *, at_most: int) -> AsyncGenerator[Any, None]:
        """Yield the items that several flows emit, as they come, so many of the flows running at a time.

        A flow runs ahead of the consumer by what it emits once. When one fails, no other goes on. Closing the iterator
        waits for the calls on their way and closes the flows.
        """
        waiting, opened = iter(flows), list[Flow[object]]()  # not the flows that have ended: there may be a million
        execution = self._execution(each_request=True)
        try:
            async with _tasks() as running:

                def go_on(flow: Flow[object]) -> None:
                    running[asyncio.create_task(_next_emitted(flow, execution))] = flow

                for flow in islice(waiting, at_most):
                    opened.append(flow)
                    go_on(flow)
                while running:
                    done = next(iter((await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED))[0]))
                    flow, emitted = running.pop(done), done.result()
                    if emitted is not None:
                        go_on(flow)
                        for item in emitted.items:
                            yield item
                        continue
                    opened.remove(flow)
                    for following in islice(waiting, 1):
                        opened.append(following)
                        go_on(following)
        finally:
            for flow in opened:
                flow.close()

    def next_tick(self, work: Callable[[], Coroutine[Any, Any, R]]) -> NextTick[R]:
        """Return work that is done once, in the round of the event loop after it is first awaited."""
        return NextTick(work)

    async def health_report(self, *, timeout_seconds: float, table_name: str | None) -> HealthReport:
        """Return what one request tells of DynamoDB and a table; never raises, and is back within the timeout."""
        with Probe(timeout_seconds, table_name) as probe:
            probe.answered(await self.lane.send(probe.call, probe.seconds))
        return probe.report()

    def _execution(self, *, each_request: bool) -> _Execution:
        return _Execution(self, None if each_request else self.new_deadline())


class _Execution(Execution):
    __slots__ = ("_driver",)

    def __init__(self, driver: AsyncDriver, deadline: Deadline | None) -> None:
        super().__init__(deadline, asks_capacity=driver.asks_capacity)
        self._driver = driver

    def outcome(self, effect: Effect) -> Awaitable[object]:
        """Return what gives what an effect of the flow gives; not a coroutine itself, as each one costs."""
        match effect:
            case Call():
                if invalidation.watchers and (change := invalidation.change_by(effect)) is not None:
                    return run_flow(change, self._outcome_beside)
                return self._answer(effect)
            case Sleep():
                return self._pause(effect, self.deadline)
            case Together():
                return self._together(effect)
            case Join():
                return self._joined(effect)
            case Ask():
                return effect.server.ask_on_loop(effect.request)
            case _:
                return _at_once(self._driver.told(effect))

    def _outcome_beside(self, effect: Effect) -> Awaitable[object]:
        """Return what an effect gives of a flow that is about one call: the call, and what is asked for it."""
        return self._answer(effect) if isinstance(effect, Call) else self.outcome(effect)

    async def _joined(self, effect: Join) -> list[bytes | None]:
        waiting = [asyncio.wrap_future(reading.future) for reading in effect.readings]
        try:
            # Which, unlike awaiting them, leaves them alone when the waiting is cancelled.
            await asyncio.wait(waiting, timeout=join_seconds(self.deadline))
            return [answer.result() if answer.done() else None for answer in waiting]
        finally:
            for answer in waiting:
                answer.cancel()

    async def _together(self, effect: Together) -> list[Any]:
        flows = iter(effect.flows)
        first = list(islice(flows, 2))
        if len(first) < 2 or effect.at_most == 1:
            return [await run_flow(flow, self.outcome) for flow in chain(first, flows)]
        results: dict[int, Any] = {}
        async with _tasks() as running:
            for number, flow in enumerate(chain(first, flows)):
                running[asyncio.create_task(run_flow(flow, self.outcome))] = number
                if len(running) == effect.at_most:
                    await _collect(running, results)
            while running:
                await _collect(running, results)
        return [results[number] for number in range(len(results))]

    async def _pause(self, effect: Sleep, deadline: Deadline | None) -> None:
        await self._driver.sleep(pause_seconds(effect, self._driver.policy, deadline))

    async def _answer(self, call: Call) -> Response:
        driver = self._driver
        deadline = self.deadline or driver.new_deadline()
        call = self.as_sent(call)
        if is_observed():
            with Observation(call, driver.server) as observation:
                attempts = retried(call, driver.policy)
                return observation.answered(
                    await run_flow(attempts, lambda effect: self._observed_attempt(effect, deadline, observation))
                )
        try:
            response = await self._sent(call, deadline)
        except (DynamoDBWrapperError, asyncio.CancelledError) as error:
            attempts = retried(call, driver.policy)
            next(attempts)  # the attempt that has failed
            effect = attempts.throw(error)
        else:
            driver.policy.reward()
            return response
        return await run_flow(attempts, lambda effect: self._attempt(effect, deadline), effect)

    def _attempt(self, effect: Effect, deadline: Deadline | None) -> Awaitable[object]:
        if isinstance(effect, Sleep):
            return self._pause(effect, deadline)
        assert isinstance(effect, Call)  # all that retries yield
        return self._sent(effect, deadline)

    def _sent(self, call: Call, deadline: Deadline | None) -> Awaitable[Response]:
        if deadline is None:
            return self._driver.lane.send(call)
        return self._driver.lane.send(call, deadline.time_for_call())

    async def _observed_attempt(self, effect: Effect, deadline: Deadline | None, observation: Observation) -> object:
        if isinstance(effect, Sleep):
            return await self._attempt(effect, deadline)
        try:
            answer = await self._attempt(effect, deadline)
        except DynamoDBWrapperError as error:
            observation.failed(error)
            raise
        return answer


async def _at_once(outcome: object) -> object:
    return outcome


async def _next_emitted(flow: Flow[object], execution: _Execution) -> Emit | None:
    """Run a flow until it emits; None at its end."""
    try:
        effect = flow.send(None)
        while not isinstance(effect, Emit):
            try:
                outcome = await execution.outcome(effect)
            except (DynamoDBWrapperError, asyncio.CancelledError) as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(outcome)
    except StopIteration:
        return None
    return effect


async def run_flow(flow: Flow[R], outcome_of: OutcomeOf, effect: Effect | None = None) -> R:
    """Run a flow to its end and return its result, each effect's outcome being what a function gives to await.

    Args:
        flow: The flow.
        outcome_of: The function.
        effect: What the flow asks for at this moment, if it has begun.
    """
    try:
        effect = effect or next(flow)
        while True:
            try:
                outcome = await outcome_of(effect)
            except (DynamoDBWrapperError, asyncio.CancelledError) as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(outcome)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        flow.close()


async def _collect(running: dict[asyncio.Task[Any], int], results: dict[int, Any]) -> None:
    """Move what is done first from those that run to the results; the first error found is raised."""
    for task in (await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED))[0]:
        results[running.pop(task)] = task.result()


@asynccontextmanager
async def _tasks() -> AsyncIterator[dict[asyncio.Task[Any], Any]]:
    """Hold tasks, and leave none behind: at the end those that run are finished, or cancelled if this task is."""
    running: dict[asyncio.Task[Any], Any] = {}
    try:
        yield running
    except asyncio.CancelledError as cancelled:
        for task in running:
            task.cancel()
        await _finished(running)
        for task in running:
            _pass_on(task, cancelled)
        raise
    finally:
        await _finished(running)


async def _finished(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Wait until tasks are done, whatever comes of them; when this is cancelled, they are."""
    await asyncio.gather(*tasks, return_exceptions=True)


def _pass_on(task: asyncio.Task[Any], cancelled: asyncio.CancelledError) -> None:
    """Note on one cancellation what that of a task says."""
    try:
        task.result()
    except BaseException as error:  # noqa: BLE001 - nothing is caught here that is not on its way already
        for note in getattr(error, "__notes__", ()):
            cancelled.add_note(note)
