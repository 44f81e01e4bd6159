"""The two skins are one: the same public names, parameters and docstrings, but for what the colour itself changes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dynamodb_wrapper import client, repositories
from dynamodb_wrapper.repositories.async_transactions import AsyncTransactionMethods
from dynamodb_wrapper.repositories.transactions import TransactionMethods

TWINS: dict[type, type] = {
    repositories.BaseDynamoRepository: repositories.AsyncBaseDynamoRepository,
    repositories.PipelineConfigRepository: repositories.AsyncPipelineConfigRepository,
    repositories.TableConfigRepository: repositories.AsyncTableConfigRepository,
    repositories.PipelineRunLogsRepository: repositories.AsyncPipelineRunLogsRepository,
    repositories.PipelineRunEventsRepository: repositories.AsyncPipelineRunEventsRepository,
    repositories.Query: repositories.AsyncQuery,
    repositories.CollectionQuery: repositories.AsyncCollectionQuery,
    repositories.BoundAccessPattern: repositories.AsyncBoundAccessPattern,
    repositories.ParallelScan: repositories.AsyncParallelScan,
    repositories.Batch: repositories.AsyncBatch,
    repositories.Loader: repositories.AsyncLoader,
    repositories.Loaded: repositories.AsyncLoaded,
    repositories.Transaction: repositories.AsyncTransaction,
    client.DocumentClient: client.AsyncDocumentClient,
    TransactionMethods: AsyncTransactionMethods,
}

FUNCTIONS: dict[Callable[..., object], Callable[..., object]] = {
    repositories.transact_write: repositories.async_transact_write,
    repositories.transact_get: repositories.async_transact_get,
    repositories.transaction: repositories.async_transaction,
    client.get_dynamodb_client: client.get_async_dynamodb_client,
}

# Names that Python itself gives another form where there is an event loop.
RENAMED = {"close": "aclose", "__enter__": "__aenter__", "__exit__": "__aexit__", "__iter__": "__aiter__"}

# What only one skin has, and why.
ONLY_ASYNC = {("AsyncLoaded", "__await__")}  # a handle is awaited itself

# The words in which docstrings may differ: what an async one says, and what it stands for.
WORDS = (
    ("an ``async with``", "a ``with``"),
    ("async with", "with"),
    ("async for", "for"),
    ("async_", ""),
    ("_async_", "_"),
    ("Async", ""),
    ("on the event loop", "in the calling thread"),
    ("each in a task", "each in a thread"),
    ("share between tasks", "share between threads"),
    ("leaves no task behind", "leaves no thread behind"),
    ("await loader.load", "loader.load"),
    ("await customers.collection", "customers.collection"),
)

# Those that explain the colour itself.
OF_THEIR_OWN = {"Loader", "Loader.load"}

DUNDERS = {
    "__init__",
    "__call__",
    "__iter__",
    "__enter__",
    "__exit__",
    "__await__",
    "__aiter__",
    "__aenter__",
    "__aexit__",
}

pairs = pytest.mark.parametrize(("blocking", "other"), TWINS.items(), ids=lambda cls: cls.__name__)


def members(cls: type) -> dict[str, Any]:
    """Return what users see of a class: public names and the special methods they call by syntax."""
    return {
        name: value
        for base in reversed(cls.__mro__)
        if base.__module__.startswith("dynamodb_wrapper.")
        for name, value in vars(base).items()
        if (name in DUNDERS or not name.startswith("_")) and name not in vars(object).keys() - DUNDERS
    }


def methods(blocking: type, other: type) -> Iterator[tuple[str, Any, Any]]:
    theirs = members(other)
    for name, value in members(blocking).items():
        twin = theirs[RENAMED.get(name, name)]
        if callable(value) and not isinstance(value, type):
            yield name, value, twin


@pairs
def test_the_names_are_the_same(blocking: type, other: type) -> None:
    expected = {RENAMED.get(name, name) for name in members(blocking)}
    only_async = {name for owner, name in ONLY_ASYNC if owner == other.__name__}
    assert set(members(other)) - only_async == expected
    assert len(expected) >= 1


@pairs
def test_the_parameters_are_the_same(blocking: type, other: type) -> None:
    for name, method, twin in methods(blocking, other):
        assert parameters(twin) == parameters(method), f"{blocking.__name__}.{name}"


@pairs
def test_what_waits_is_awaited_and_nothing_else(blocking: type, other: type) -> None:
    for name, method, twin in methods(blocking, other):
        assert not inspect.iscoroutinefunction(method), f"{blocking.__name__}.{name}"
        returned, expected = annotation(twin), annotation(method)
        if "Iterator[" in expected:
            assert returned == f"Async{expected}", f"{other.__name__}.{name}"
            assert not inspect.iscoroutinefunction(twin), f"{other.__name__}.{name}"
        elif method is twin:
            continue
        else:
            is_lazy = returned.startswith("Async") or name == "__init__"
            assert returned.replace("Async", "") == expected, f"{other.__name__}.{name}"
            assert inspect.iscoroutinefunction(twin) == (not is_lazy), f"{other.__name__}.{name}"


@pairs
def test_the_docstrings_are_the_same(blocking: type, other: type) -> None:
    if blocking.__name__ not in OF_THEIR_OWN:
        assert without_colour(other.__doc__) == without_colour(blocking.__doc__)
    for name, method, twin in methods(blocking, other):
        place = f"{blocking.__name__}.{name}"
        if place not in OF_THEIR_OWN:
            assert without_colour(twin.__doc__) == without_colour(method.__doc__), place


@pytest.mark.parametrize(("function", "twin"), FUNCTIONS.items(), ids=lambda function: function.__name__)
def test_functions_are_the_same(function: Callable[..., object], twin: Callable[..., object]) -> None:
    assert twin.__name__.replace("async_", "") == function.__name__
    assert parameters(twin) == parameters(function)
    assert without_colour(twin.__doc__) == without_colour(function.__doc__)


def test_every_async_name_has_a_twin_here() -> None:
    for module in (repositories, client):
        for name in module.__all__:
            if name.startswith("Async"):
                assert getattr(module, name) in TWINS.values(), name
            if name.startswith("async_") or "_async_" in name:
                assert getattr(module, name) in FUNCTIONS.values(), name


def parameters(function: Callable[..., object]) -> list[tuple[str, object, object, str]]:
    """Return the parameters of a function: names, kinds, defaults and types."""
    return [
        (
            parameter.name,
            parameter.kind,
            parameter.default,
            without_modules(parameter.annotation).replace("Async", "").replace("Sync", ""),
        )
        for parameter in inspect.signature(function).parameters.values()
    ]


def annotation(function: Callable[..., object]) -> str:
    return without_modules(inspect.signature(function).return_annotation)


def without_modules(hint: object) -> str:
    """Return a type hint without the modules that it names: what is lazy in one skin may not be in the other."""
    return re.sub(r"\b[a-z_]+\.(?=[A-Z])", "", str(hint))


def without_colour(text: str | None) -> str:
    """Return a docstring as it reads without the words of its colour, line breaks and indentation."""
    text = text or ""
    for said, meant in WORDS:
        text = text.replace(said, meant)
    return re.sub(r"\s+", " ", text).strip()
