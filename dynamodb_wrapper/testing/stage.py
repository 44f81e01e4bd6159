"""One test's DynamoDB: a configuration, its clock, its faults, and what was sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.effects import Flow, Response, sent
from dynamodb_wrapper.testing.clock import Clock
from dynamodb_wrapper.testing.faults import Faults
from dynamodb_wrapper.testing.requests import Requests, SentRequest
from dynamodb_wrapper.testing.tables import Tables
from dynamodb_wrapper.transport.embedded import drop_embedded
from dynamodb_wrapper.transport.sharing import connections_made_by
from dynamodb_wrapper.transport.surroundings import Attempt, SurroundedConnection, Surroundings

_is_off_stage: ContextVar[bool] = ContextVar("dynamodb_wrapper_off_stage", default=False)


class Stage:
    """What the fixtures of one test share.

    Attributes:
        config: Repositories of this configuration, made while `entered`, have the clock and the faults.
        clock: Their time.
        faults: What befalls their requests.
        requests: What they sent.
        tables: Makes repositories with their tables.
    """

    def __init__(self, config: DynamoDBConfig) -> None:
        self.config = config
        self.clock = Clock()
        self.faults = Faults(self.clock)
        self.requests = Requests()
        self.tables = Tables(config, self.clock, off_stage)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Take over the connections to the endpoint of the configuration; an embedded server is empty afterwards."""
        clock = self.clock
        surroundings = Surroundings(self._attempted, clock.read, clock.timer, self._pause)
        make = partial(SurroundedConnection, surroundings=surroundings)
        try:
            with connections_made_by(make, self.config.endpoint_url):
                yield
        finally:
            if self.config.is_embedded and self.config.endpoint_url is not None:
                drop_embedded(self.config.endpoint_url.partition("://")[2])

    def _pause(self, seconds: float) -> None:
        if _is_off_stage.get():
            time.sleep(seconds)
        else:
            self.clock.sleep(seconds)

    def _attempted(self, attempt: Attempt) -> Flow[Response]:
        if _is_off_stage.get():
            return (yield from sent(attempt.call))
        fault = self.faults.take(attempt.call)
        answer: Response = {}
        outcome = "given up"  # by whoever waited
        try:
            answer = yield from sent(attempt.call) if fault is None else fault.injection(attempt)
            outcome = "ok"
            return answer
        except DynamoDBWrapperError as error:
            outcome = error.code or type(error).__name__
            raise
        finally:
            capacity = ConsumedCapacity.of(attempt.call.operation, answer)
            self.requests.note(SentRequest.of(attempt.call, capacity, outcome))


@contextmanager
def off_stage() -> Iterator[None]:
    """Send what follows without faults, and without a note of it."""
    token = _is_off_stage.set(True)
    try:
        yield
    finally:
        _is_off_stage.reset(token)
