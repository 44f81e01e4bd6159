"""Flows of a run's log messages: the first in the run's own item, the rest in the table of events.

An item holds 400 KB, and a run may log for days. So the item takes messages as long as they are few and short; with the
first one that is not, and for all after it, the table of events is used. What is in the item is always the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from dynamodb_wrapper.codec import Item, item_bytes
from dynamodb_wrapper.exceptions import (
    BatchIncompleteError,
    ConditionFailedError,
    ItemNotFoundError,
    TableNotFoundError,
    ValidationError,
)
from dynamodb_wrapper.expressions import Add, AnyCondition, Append, Condition, F
from dynamodb_wrapper.models import LogMessage, PipelineRunEvent, PipelineRunLog
from dynamodb_wrapper.operations import batches, items, patches, queries
from dynamodb_wrapper.operations.batches import Entry
from dynamodb_wrapper.operations.effects import Flow, call, now
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import delete_entry, put_entry
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.writes import KeyValues

Runs = Entity[PipelineRunLog]
Events = Entity[PipelineRunEvent]

INLINE_MESSAGES = 100
INLINE_MESSAGE_BYTES = 1_000
"""A run's own item takes so many messages of at most so many bytes each: 100 KB of its 400."""

_COUNTER = 0
"""The sequence number that is no message: there the table of events counts the numbers given out for a run."""
_ATTEMPTS = 8
"""Against other writers of the same run; each failed attempt means that another writer went ahead."""


def start(runs: Runs, events: Events, values: Mapping[str, object]) -> Flow[PipelineRunLog]:
    """Create a run from its fields; log messages that do not fit into its item become events.

    Raises:
        ItemAlreadyExistsError: There is a run with that id; it is in ``.item``.
        ValidationError: A value is wrong or missing, or a field unknown.
    """
    run = runs.codec.made(values)
    prepared = yield from _prepared(events, run.run_id, run.log_messages)
    inline = len(_fitting(prepared, INLINE_MESSAGES))
    created = yield from items.create_from(runs, {**values, "log_messages": run.log_messages[:inline]})
    if inline == len(prepared):
        return created
    return (yield from add(runs, events, run.run_id, run.log_messages[inline:]))


def add(runs: Runs, events: Events, run_id: str, messages: Iterable[LogMessage]) -> Flow[PipelineRunLog]:
    """Add messages to a run, in order and after all that are there, and return the run.

    Raises:
        ItemNotFoundError: There is no such run.
        ValidationError: A message is neither text nor a record, or too large; nothing was written.
        BatchIncompleteError: Some messages were not written; their events are in ``.unprocessed``.
    """
    if isinstance(messages, str | Mapping):
        raise ValidationError("messages is a list of messages, not one", {"messages": "not a list"})
    messages = list(messages)
    prepared = yield from _prepared(events, run_id, messages)
    run, inline = yield from _into_item(runs, run_id, messages, prepared)
    yield from _write_events(events, run_id, prepared[inline:])
    return run


def read(runs: Runs, events: Events, run_id: str) -> Flow[list[LogMessage]]:
    """Read all messages of a run, in order.

    Raises:
        ItemNotFoundError: There is no such run.
    """
    run = yield from items.get_attributes(runs, (run_id, None), ["log_messages"], consistent=True)
    if run is None:
        raise ItemNotFoundError(runs.table_name, runs.readable_key(runs.key(run_id)))
    numbered = Selection(events, events.declaration.table_key, events.decode, consistent=True).from_key(run_id)
    rest = yield from queries.collected(numbered.sorted_by(lambda sequence: sequence > _COUNTER, last=True))
    return [*run.get("log_messages", []), *(event.message for event in rest)]


def reports_of(run_id: str) -> str:
    """Return the partition of the events that are what the tasks of a run report, and no messages of it."""
    return f"{run_id}#tasks"


def delete_run(runs: Runs, events: Events, key: KeyValues, *, when: AnyCondition | None) -> Flow[bool]:
    """Delete a run, then its messages beyond the item and its tasks' reports; True if the run was there.

    Run again after a kill, it finishes.

    Raises:
        ConditionFailedError: ``when`` was false; nothing was deleted.
        BatchIncompleteError: The run is deleted, some of its messages are not; their keys are in ``.unprocessed``.
    """
    was_there = yield from items.delete(runs, key, when=when)
    everything = Selection(events, events.declaration.table_key, events.decode, consistent=True)
    keys: list[Item] = []
    for partition in (key[0], reports_of(str(key[0]))):
        try:
            found = yield from queries.collected(everything.from_key(partition))
        except TableNotFoundError:  # nothing was ever written beyond the items
            return was_there
        keys += [events.key(partition, event.sequence) for event in found]
    deletes = [Entry(events.table_name, each, delete_entry(each), events.readable_key(each)) for each in keys]
    try:
        yield from batches.write(deletes)
    except BatchIncompleteError as error:
        error.context["run_id"] = key[0]
        raise
    return was_there


def _into_item(
    runs: Runs, run_id: str, messages: Sequence[LogMessage], prepared: Sequence[Item]
) -> Flow[tuple[PipelineRunLog, int]]:
    """Put the first messages into the run's item and note how many are to follow; return the run and their number.

    Tried as if the item held none yet; if it has too little room for that, again with what the answer says of it.
    """
    free = INLINE_MESSAGES
    for _ in range(_ATTEMPTS):
        inline = len(_fitting(prepared, free))
        if inline == 0:
            break
        changes: patches.Changes = {
            "log_messages": Append(list(messages[:inline])),
            "log_event_count": Add(len(prepared) - inline),
        }
        try:
            room = _has_room_for(inline)
            return (yield from patches.patch(runs, (run_id, None), changes, {}, when=room, upsert=False)), inline
        except ConditionFailedError as error:
            free = _free_places(error.item)
    noted = {"log_event_count": Add(len(prepared))}
    return (yield from patches.patch(runs, (run_id, None), None, noted, when=None, upsert=False)), 0


def _prepared(events: Events, run_id: str, messages: Sequence[LogMessage]) -> Flow[list[Item]]:
    """Return each message as the item of an event, still without its number."""
    time = yield from now()
    return [
        events.encode(
            events.codec.made({"run_id": run_id, "sequence": _COUNTER, "message": message, "created_at": time})
        )
        for message in messages
    ]


def _fitting(prepared: Sequence[Item], free: int) -> list[Item]:
    """Return the first messages that a run's item takes when it has so many places left."""
    fitting = []
    for event in prepared[: max(free, 0)]:
        if item_bytes({"": event["message"]}) > INLINE_MESSAGE_BYTES:
            break
        fitting.append(event)
    return fitting


def _has_room_for(count: int) -> Condition:
    """Return the condition that a run has no events yet, and places for so many messages."""
    has_no_events = F.log_event_count.not_exists() | (F.log_event_count == 0)
    has_places = F.log_messages.not_exists() | (F.log_messages.size() <= INLINE_MESSAGES - count)
    return has_no_events & has_places


def _free_places(run: object) -> int:
    """Return how many messages a run's item can still take; none when it is not known."""
    if not isinstance(run, PipelineRunLog) or run.log_event_count:
        return 0
    return INLINE_MESSAGES - len(run.log_messages)


def _write_events(events: Events, run_id: str, prepared: Sequence[Item]) -> Flow[None]:
    if not prepared:
        return
    last = yield from _reserved(events, run_id, len(prepared))
    numbered = [
        {**event, "sequence": {"N": str(number)}}
        for number, event in enumerate(prepared, start=last - len(prepared) + 1)
    ]
    puts = [Entry(events.table_name, events.key_of(item), put_entry(item), item) for item in numbered]
    try:
        yield from batches.write(puts)
    except BatchIncompleteError as error:
        error.context["run_id"] = run_id
        error.unprocessed = [events.decode(cast(Item, item)) for item in error.unprocessed]
        raise


def _reserved(events: Events, run_id: str, count: int) -> Flow[int]:
    """Return the last of so many sequence numbers that are given out to nobody else."""
    request = patches.patch_request(
        events,
        events.key(run_id, _COUNTER),
        {"last_sequence": Add(count)},
        when=None,
        upsert=True,
        time=(yield from now()),
    )
    single = request.as_call()
    # Repeatable although it adds: numbers reserved twice are a gap, and a gap does no harm.
    response = yield from call(single.operation, single.params, repeatable=True, key=single.key)
    last = events.decode(response["Attributes"]).last_sequence
    assert last is not None
    return last
