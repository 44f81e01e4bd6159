"""The async skin as a blocking one, so that one suite is about both.

A case is written against the blocking skin. Under the skin ``async`` it makes the same repositories and gets async
ones behind `Blocking`: each call runs its coroutine on an event loop in a thread of its own, and waits for it there.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import cache
from types import ModuleType, new_class
from typing import Any

import pytest

from dynamodb_wrapper import client, repositories
from dynamodb_wrapper.repositories import AsyncBaseDynamoRepository, BaseDynamoRepository
from dynamodb_wrapper.repositories.declarations import model_argument
from dynamodb_wrapper.transport import RetryPolicy, SyncDriver
from dynamodb_wrapper.transport.async_driver import AsyncDriver
from dynamodb_wrapper.transport.thread_lane import ThreadLane
from tests import servers

SKINS = ("sync", "async")


def chosen() -> list[str]:
    """The skins of CONTRACT_SKINS, in its order."""
    names = [name.strip() for name in os.environ.get("CONTRACT_SKINS", "sync,async").split(",") if name.strip()]
    if unknown := set(names) - set(SKINS):
        raise ValueError(f"CONTRACT_SKINS names {sorted(unknown)}; it can name {list(SKINS)}")
    return names


def runs_on(skin: str, server: str | None) -> bool:
    """Whether the skin's cases run on a server: all that are asked for; else, to save time, async ones on the last."""
    return skin == "sync" or "CONTRACT_SKINS" in os.environ or server in (None, servers.chosen()[-1])


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="contract-loop", daemon=True)
        self._thread.start()

    @property
    def thread(self) -> int | None:
        """What `threading.get_ident` says on the loop."""
        return self._thread.ident

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for what an awaitable gives, in the caller's context."""
        assert threading.current_thread() is not self._thread, "the event loop would wait for itself"
        return asyncio.run_coroutine_threadsafe(_awaited(awaitable), self._loop).result()

    def close(self) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


class Blocking:
    """Something async that is used as if it were blocking; what it gives that is async is wrapped as well."""

    def __init__(self, loop: Loop, subject: Any) -> None:
        self.__dict__.update(_loop=loop, _subject=subject)

    def __getattr__(self, name: str) -> Any:
        return self._blocking(getattr(self._subject, name))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._subject, name, value)

    def __repr__(self) -> str:
        return repr(self._subject)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._blocking(self._subject(*args, **kwargs))

    def __iter__(self) -> Iterator[Any]:
        return self._iterated(aiter(self._subject))

    def __enter__(self) -> Any:
        return self._blocking(self._subject.__aenter__())

    def __exit__(self, *exc_info: Any) -> Any:
        return self._loop.run(self._subject.__aexit__(*exc_info))

    def _blocking(self, value: Any) -> Any:
        if hasattr(value, "__anext__"):
            return self._iterated(value)
        if inspect.iscoroutine(value):
            return self._blocking(self._loop.run(value))
        is_ours = ".async_" in type(value).__module__ or isinstance(value, AsyncBaseDynamoRepository)
        return Blocking(self._loop, value) if is_ours or inspect.ismethod(value) else value

    def _iterated(self, iterator: AsyncIterator[Any]) -> Iterator[Any]:
        end = object()
        try:
            while (item := self._loop.run(anext(iterator, end))) is not end:
                yield item
        finally:
            self._loop.run(iterator.aclose())  # type: ignore[attr-defined]


def driver_over(lane: Any, policy: RetryPolicy, *, like: Any) -> Any:
    """Return a driver over a blocking lane, of the skin that a repository has."""
    return AsyncDriver(ThreadLane(lane, at_most=8), policy) if isinstance(like, Blocking) else SyncDriver(lane, policy)


TWINS: dict[type, type] = {
    repositories.PipelineConfigRepository: repositories.AsyncPipelineConfigRepository,
    repositories.TableConfigRepository: repositories.AsyncTableConfigRepository,
    repositories.PipelineRunLogsRepository: repositories.AsyncPipelineRunLogsRepository,
    repositories.PipelineRunEventsRepository: repositories.AsyncPipelineRunEventsRepository,
}

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "transact_write": repositories.async_transact_write,
    "transact_get": repositories.async_transact_get,
    "transaction": repositories.async_transaction,
    "get_dynamodb_client": client.get_async_dynamodb_client,
}


@cache
def async_twin(blocking: type[BaseDynamoRepository[Any]]) -> Any:
    """Return the async repository class that declares what a blocking one does."""
    if blocking in TWINS:
        return TWINS[blocking]
    declared: dict[str, Any] = {}
    for base in reversed(blocking.__mro__):
        if base.__module__.startswith("tests."):
            declared |= {name: value for name, value in vars(base).items() if _is_declared(name)}
    base = next((TWINS[base] for base in blocking.__mro__ if base in TWINS), None)
    model: Any = model_argument(blocking)
    return new_class(
        blocking.__name__, (base or AsyncBaseDynamoRepository[model],), {}, lambda body: body.update(declared)
    )


def _is_declared(name: str) -> bool:
    return name not in ("_declaration", "_driver") and not (name.startswith("__") and name.endswith("__"))


_loop: Loop | None = None  # while a test of the async skin runs


def _made(cls: type, config: Any = None, *_: object) -> Any:
    """Make what a class makes, or, under the async skin, its twin; without a configuration it is being copied.

    Classes outside of this suite may be made from more than a configuration.
    """
    if _loop is None or config is None:
        return object.__new__(cls)
    return Blocking(_loop, async_twin(cls)(config))


def use(skin: str, loop: Loop, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test have a skin."""
    monkeypatch.setattr(f"{__name__}._loop", loop if skin == "async" else None)
    if skin == "async":
        BaseDynamoRepository.__new__ = _made  # type: ignore[assignment] # once and for all: it cannot be taken away
        for name, function in FUNCTIONS.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, Blocking(loop, function))
