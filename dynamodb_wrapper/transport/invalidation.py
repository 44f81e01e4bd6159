"""What caches learn of writes: every call that may change items of a table is seen here, whoever sends it.

Calls are told by the name of the physical table alone, wherever the table is: one that is taken for another costs a
reading, one that is overlooked would be a wrong answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol
from weakref import ref

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, WriteOutcomeUnknownError
from dynamodb_wrapper.operations.effects import Call, Flow, Params, Response, sent
from dynamodb_wrapper.transport.forks import ForkSafeLock

Changed = Sequence[Item] | None
"""Items of a table that a call may change, each as far as the call names it; None when it does not say which."""

_OF_ONE_ITEM = frozenset(("PutItem", "UpdateItem", "DeleteItem"))
_OF_A_TABLE = frozenset(("CreateTable", "DeleteTable"))
_OF_ANYTHING = frozenset(("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"))
_CHANGING = _OF_ONE_ITEM | _OF_A_TABLE | _OF_ANYTHING | {"BatchWriteItem", "TransactWriteItems"}


class Watcher(Protocol):
    """Something that keeps answers about one table."""

    @property
    def elsewhere(self) -> Hashable | None:
        """What tells watchers apart that keep answers outside of this process; None for one that keeps none there."""
        ...

    def drop(self, changed: Changed, *, is_settled: bool = True) -> None:
        """Forget answers that are in this process, and those that are being read.

        Args:
            changed: What they are about.
            is_settled: Whether the write is over; else it may still come.
        """
        ...

    def begin(self, changed: Changed) -> Flow[None]:
        """Let nobody use the answers that are elsewhere while the write is on its way."""
        ...

    def end(self, changed: Changed) -> Flow[None]:
        """Let answers be kept elsewhere again, but not those from before the write."""
        ...

    def leave(self, changed: Changed) -> None:
        """Do without a server, at once, what `end` does, as far as that can be; the write may still come."""
        ...


watchers: dict[str, tuple[ref[Watcher], ...]] = {}
"""By the name of the table, as long as they live; empty in a program without caches, which pays for a look at it."""
_lock = ForkSafeLock()


def watch(table_name: str, watcher: Watcher) -> None:
    """Let a watcher know of every write to a table, for as long as it lives."""
    name = plain_name(table_name)
    with _lock:  # what is under a name is replaced as a whole: it is read without the lock
        for known, entries in list(watchers.items()):
            if all(entry() is None for entry in entries):
                del watchers[known]
        alive = [entry for entry in watchers.get(name, ()) if entry() is not None]
        watchers[name] = (*alive, ref(watcher))


def forget_all() -> None:
    """Let every watcher forget everything: a server inside of the process was emptied."""
    for watcher in _watching(list(watchers)):
        watcher.drop(None)
        watcher.leave(None)


def change_by(call: Call) -> Flow[Response] | None:
    """Return the flow that sends a call and keeps caches right; None for a call that changes nothing they have."""
    if call.operation not in _CHANGING:
        return None
    watched = [(watcher, changed) for name, changed in _changes(call).items() for watcher in _watching((name,))]
    return guarded(call, watched) if watched else None


def guarded(call: Call, watched: Sequence[tuple[Watcher, Changed]]) -> Flow[Response]:
    """Send a call, and have watchers forget before and after it what it may change, however it ends."""
    distinct = {watcher.elsewhere: (watcher, changed) for watcher, changed in watched}
    remote = [pair for elsewhere, pair in distinct.items() if elsewhere is not None]
    for watcher, changed in watched:
        watcher.drop(changed)
    for watcher, changed in remote:
        yield from watcher.begin(changed)
    try:
        response = yield from sent(call)
    except BaseException as error:
        is_settled = isinstance(error, DynamoDBWrapperError) and not _may_come(error)
        for watcher, changed in watched:
            watcher.drop(changed, is_settled=is_settled)
        if not is_settled:
            for watcher, changed in remote:
                watcher.leave(changed)
            raise
        yield from _ended(call, remote)
        raise
    for watcher, changed in watched:
        watcher.drop(changed)
    yield from _ended(call, remote)
    return response


def _ended(call: Call, remote: Iterable[tuple[Watcher, Changed]]) -> Flow[None]:
    try:
        for watcher, changed in remote:
            yield from watcher.end(changed)
    except BaseException as interruption:
        for watcher, changed in remote:
            watcher.leave(changed)
        if not isinstance(interruption, GeneratorExit):
            interruption.add_note(f"DynamoDB had answered {call.operation}: its caller was interrupted after that")
        raise


def _may_come(error: DynamoDBWrapperError) -> bool:
    """Whether a write that failed may have been applied, or be applied yet."""
    return isinstance(error, WriteOutcomeUnknownError) or "lost_answers" in error.context


def _watching(names: Iterable[str]) -> list[Watcher]:
    found = (entry() for name in names for entry in watchers.get(name, ()))
    return [watcher for watcher in found if watcher is not None]


def plain_name(table_name: str) -> str:
    """Return the name of a table, which may be given as an ARN."""
    return table_name.rpartition("/")[2] if table_name.startswith("arn:") else table_name


def _changes(call: Call) -> dict[str, Changed]:
    """Return what a call may change, by the plain names of tables."""
    changes: dict[str, Changed] = {}
    try:
        for name, changed in _changes_named_by(call).items():
            name, before = plain_name(name), changes.get(plain_name(name), ())
            changes[name] = None if before is None or changed is None else (*before, *changed)
    except (KeyError, TypeError, AttributeError):  # no request of ours, and none that DynamoDB will take
        return dict.fromkeys(list(watchers))
    return changes


def _changes_named_by(call: Call) -> dict[str, Changed]:
    """Return what a call may change, by tables as the call names them."""
    params = call.params
    if call.operation in _OF_ONE_ITEM:
        item = params.get("Item") or params.get("Key")
        return {params["TableName"]: None if item is None else (item,)}
    if call.operation in _OF_A_TABLE:
        return {params["TableName"]: None}
    if call.operation == "BatchWriteItem":
        # Beside a ready body, the parameters may name the tables only.
        requests = params["RequestItems"]
        return {name: [_item_of_entry(entry) for entry in entries] or None for name, entries in requests.items()}
    if call.operation == "TransactWriteItems":
        return _changes_by_actions(params)
    return dict.fromkeys(list(watchers))


def _item_of_entry(entry: Params) -> Item:
    item: Item = entry["PutRequest"]["Item"] if "PutRequest" in entry else entry["DeleteRequest"]["Key"]
    return item


def _changes_by_actions(params: Params) -> dict[str, Changed]:
    changes: dict[str, Any] = {}
    for action in params["TransactItems"]:
        for kind, part in action.items():
            if kind != "ConditionCheck":
                changes.setdefault(part["TableName"], []).append(part["Item"] if kind == "Put" else part["Key"])
    return changes
