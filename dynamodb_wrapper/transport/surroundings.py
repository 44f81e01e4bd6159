"""Connections with other surroundings: a test's own clock, and a flow of its own around each attempt.

What befalls a request there is made up from DynamoDB's bytes or from a broken socket's exception, and goes through the
same functions as on the direct lane. So retries, errors and flows above it cannot tell it from the real thing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Effect, Flow, Response
from dynamodb_wrapper.transport import answers, clients
from dynamodb_wrapper.transport.connection import Connection
from dynamodb_wrapper.transport.drivers import Lane, SyncDriver
from dynamodb_wrapper.transport.errors import Endpoint, from_refusal
from dynamodb_wrapper.transport.execution import run_flow
from dynamodb_wrapper.transport.failures import context_of
from dynamodb_wrapper.transport.http import Answer
from dynamodb_wrapper.transport.integrity import checked_answer, checked_body

if TYPE_CHECKING:
    from dynamodb_wrapper.config import DynamoDBConfig
    from dynamodb_wrapper.transport.async_driver import AsyncDriver, AsyncLane


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a call, on its way to DynamoDB.

    Attributes:
        call: What is to be sent.
        endpoint: Where to, and how long an answer may take there.
        time_left: The seconds that are left of the caller's time limit, or None.
    """

    call: Call
    endpoint: Endpoint
    time_left: float | None

    @property
    def seconds(self) -> tuple[float, bool]:
        """How long an answer is waited for, and whether that is all that is left of the caller's time limit."""
        if self.time_left is None or self.time_left >= self.endpoint.timeout_seconds:
            return self.endpoint.timeout_seconds, False
        return self.time_left, True

    def outcome(self, status: int, headers: Mapping[str, str], body: bytes) -> Response:
        """Return what an answer comes to when these bytes arrive, always parsed.

        Raises:
            DynamoDBWrapperError: It is a refusal, or no answer of DynamoDB's.
        """
        answer = Answer(status, {name.lower(): value for name, value in headers.items()}, body, reusable=True)
        parsed = answers.parsed(answer, checked_body(status, answer.headers, body))
        if status >= 300:
            raise from_refusal(parsed, self.call, self.endpoint)
        return answers.checked_items(self.call, checked_answer(self.call, parsed))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connection has from a test instead of from the machine and the network.

    Attributes:
        attempted: Gives the flow that is run for each attempt: the calls that it yields are sent, once, and its result
            is the answer. It yields nothing else.
        clock: Tells the time.
        timer: Tells seconds that only grow, for time limits.
        sleep: Is told how long to wait, and need not.
    """

    attempted: Callable[[Attempt], Flow[Response]]
    clock: Callable[[], datetime]
    timer: Callable[[], float]
    sleep: Callable[[float], None]


class SurroundedConnection(Connection):
    """A connection with other surroundings. Its delays have no jitter, and its requests ask what they consume."""

    def __init__(self, config: DynamoDBConfig, surroundings: Surroundings) -> None:
        """Open nothing yet."""
        super().__init__(config)
        self._surroundings = surroundings
        self._policy = replace(self._policy, jitter=_whole)
        self.driver = SyncDriver(
            _Lane(self._lane, self._attempted),
            self._policy,
            timeout=config.deadline_seconds,
            reports_capacity=True,
            server=self._server,
            clock=surroundings.clock,
            timer=surroundings.timer,
            sleep=surroundings.sleep,
        )

    def _attempted(self, call: Call, time_left: float | None) -> Flow[Response]:
        return self._surroundings.attempted(Attempt(call, clients.endpoint_of(self.config), time_left))

    def _new_async_driver(self) -> AsyncDriver:
        import asyncio

        from dynamodb_wrapper.transport.async_driver import AsyncDriver

        async def sleep(seconds: float) -> None:
            self._surroundings.sleep(seconds)
            await asyncio.sleep(0)  # other tasks have their turn, as they would

        return AsyncDriver(
            _AsyncLane(self._new_async_lane(), self._attempted),
            self._policy,
            timeout=self.config.deadline_seconds,
            reports_capacity=True,
            server=self._server,
            clock=self._surroundings.clock,
            timer=self._surroundings.timer,
            sleep=sleep,
        )


_Attempted = Callable[[Call, float | None], Flow[Response]]


class _Lane:
    """A lane whose attempts are flows around those of another."""

    def __init__(self, lane: Lane, attempted: _Attempted) -> None:
        self._lane = lane
        self._attempted = attempted

    def send(self, call: Call, time_left: float | None = None) -> Response:
        def outcome_of(effect: Effect) -> Response:
            return self._lane.send(_call_of(effect), time_left)

        try:
            return run_flow(self._attempted(call, time_left), outcome_of)
        except DynamoDBWrapperError as error:
            error.context.update(context_of(call))
            raise

    def open_ahead(self, connections: int, time_left: float) -> int:
        return self._lane.open_ahead(connections, time_left)


class _AsyncLane:
    """The same for event loops."""

    def __init__(self, lane: AsyncLane, attempted: _Attempted) -> None:
        self._lane = lane
        self._attempted = attempted

    async def send(self, call: Call, time_left: float | None = None) -> Response:
        from dynamodb_wrapper.transport.async_driver import run_flow

        def outcome_of(effect: Effect) -> Awaitable[Response]:
            return self._lane.send(_call_of(effect), time_left)

        try:
            return await run_flow(self._attempted(call, time_left), outcome_of)
        except DynamoDBWrapperError as error:
            error.context.update(context_of(call))
            raise

    async def open_ahead(self, connections: int, time_left: float) -> int:
        return await self._lane.open_ahead(connections, time_left)

    async def aclose(self) -> None:
        await self._lane.aclose()

    def forget(self) -> None:
        self._lane.forget()


def _call_of(effect: Effect) -> Call:
    assert isinstance(effect, Call)  # all that an attempt yields
    return effect


def _whole() -> float:
    return 1.0
