"""Flows that change trees, each in an order that leaves a readable tree after every single write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import (
    BatchIncompleteError,
    ConditionFailedError,
    ConnectionError,
    DynamoDBWrapperError,
    ItemNotFoundError,
    TransactionCanceledError,
    UniqueViolationError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.expressions import Condition, Path, every
from dynamodb_wrapper.operations import evolving, items, patches, writes
from dynamodb_wrapper.operations.effects import Flow, call, emit, together
from dynamodb_wrapper.operations.key_parts import KeyParts
from dynamodb_wrapper.operations.parents import Family
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.sizes import positive
from dynamodb_wrapper.operations.trees import grow
from dynamodb_wrapper.operations.writes import KeyValues, Write

T = TypeVar("T", bound=BaseModel)

MAX_LEVELS_ABOVE = 99
"""AWS, "TransactWriteItems": 100 actions; one changes the node, the others check the nodes above it."""
_MOVE_ATTEMPTS = 5
_DELETE_PASSES = 5
"""Each one after the first finds what other writers added during the one before."""


# --- orphans --------------------------------------------------------------------------------------------------------


def orphans(family: Family[T], *, concurrency: int) -> Flow[None]:
    """Emit the models whose parent does not exist; one page of the index is in memory at a time."""
    positive("concurrency", concurrency)
    # In the index the children of one parent stand together, and roots do not stand at all.
    selection = family.placed(Selection(family.entity, family.link.index, dict))
    start_key: Item | None = None
    while True:
        response = yield from call("Scan", selection.params(start_key=start_key))
        found = yield from _orphans_among(family, response.get("Items", []), concurrency)
        yield from emit(found)
        start_key = response.get("LastEvaluatedKey")
        if start_key is None:
            return


def _orphans_among(family: Family[T], children: Iterable[Item], concurrency: int) -> Flow[list[T]]:
    pairs = [(child, key) for child in children if (key := family.key_of_parent(child)) is not None]
    keys = {family.identity(key): key for _, key in pairs}
    found = yield from together((family.stored(key, placed_only=True) for key in keys.values()), at_most=concurrency)
    parents = dict(zip(keys, found, strict=True))
    suspects = [child for child, key in pairs if not family.is_child(child, parents[family.identity(key)])]
    # The index may lag behind: what was deleted, or moved, is no orphan.
    stored = yield from together(
        (family.stored(family.entity.key_of(child)) for child in suspects), at_most=concurrency
    )
    pairs_now = zip(suspects, stored, strict=True)
    there = [now for child, now in pairs_now if now is not None and family.placement(now) == family.placement(child)]
    return (yield from evolving.results(family.entity, family.entity.decode, there))


# --- move -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Above:
    """A node above the new place, as it was read; without an item, the end of a line that hangs in the air."""

    key: Item
    item: Item | None


def move(family: Family[T], node: object, new_parent: object | None) -> Flow[T]:
    """Hang a node, with everything below it, under another node (None: make it a root), and return its model.

    One transaction changes the node's parent and checks that the nodes above its new place are still where they were
    read, so that two moves at the same time cannot make a cycle.

    Raises:
        ItemNotFoundError: The node, or its new parent, does not exist.
        ValidationError: The new parent is the node or below it, in a cycle, too deep, or out of the node's scope.
        UniqueViolationError: A value that is unique below one parent is taken there.
        TransactionCanceledError: Other writers kept moving the nodes above the new place, or something else about the
            node forbids it.
    """
    entity, values = family.entity, family.key_values(node)
    key = entity.key(*values)
    parent_key = None if new_parent is None else entity.key(*family.key_values(new_parent))
    before: tuple[Item, list[_Above]] | None = None
    failure: TransactionCanceledError | None = None
    for _ in range(_MOVE_ATTEMPTS):
        item = yield from family.stored(key)
        if item is None:
            raise ItemNotFoundError(entity.table_name, entity.readable_key(key))
        line = yield from _line_above(family, item, parent_key)
        parent = line[0].item if line else None
        if family.is_child(item, parent) or (parent is None and family.key_of_parent(item) is None):
            return entity.decode(item)
        if before == (item, line):
            break  # what was read has not changed, so it is something else that forbids the move
        before = item, line
        moving = yield from _moving(family, values, item, parent)
        try:
            yield from evolving.write([moving, *(_unmoved(family, above) for above in line)])
        except TransactionCanceledError as error:
            if all(reason.code != "ConditionalCheckFailed" for reason in error.reasons):
                raise
            failure = error
        else:
            return (yield from _read_back(family, values))
    assert failure is not None
    raise next((reason.error for reason in failure.reasons if isinstance(reason.error, UniqueViolationError)), failure)


def _read_back(family: Family[T], values: KeyValues) -> Flow[T]:
    try:
        moved = yield from items.get(family.entity, values, consistent=True)
    except ConnectionError as error:  # the class of those that say that nothing was written
        message = f"the node was moved, but then it could not be read: {error.message}"
        key = family.entity.readable_key(family.entity.key(*values))
        unknown = WriteOutcomeUnknownError(message, error, error.context, key=key)
        raise unknown.answered(operation="GetItem", request_id=error.request_id, code=error.code) from error
    if moved is None:  # moved, and then deleted by another writer
        raise ItemNotFoundError(family.entity.table_name, family.entity.readable_key(family.entity.key(*values)))
    return moved


def _line_above(family: Family[T], item: Item, parent_key: Item | None) -> Flow[list[_Above]]:
    """Read the nodes above a new place, from the new parent up to its root.

    Raises:
        ItemNotFoundError: The new parent does not exist.
        ValidationError: The item cannot hang there.
    """
    entity = family.entity
    name, refused = repr(family.named(item)), f"cannot move under {parent_key and family.named(parent_key)!r}"
    line: list[_Above] = []
    key = parent_key
    while key is not None:
        if key == entity.key_of(item):
            raise ValidationError(f"{name} {refused}: that is the node itself, or a node below it")
        if any(above.key == key for above in line):
            raise ValidationError(f"{name} {refused}: there the tree is a cycle, with no root above it")
        if len(line) == MAX_LEVELS_ABOVE:
            raise ValidationError(
                f"{name} {refused}: more than {MAX_LEVELS_ABOVE} nodes are above the new place, and one transaction, "
                "which keeps concurrent moves from making a cycle, cannot check more"
            )
        found = yield from family.stored(key, placed_only=True)
        line.append(_Above(key, found))
        if found is None:
            break
        key = family.key_of_parent(found)
    if line and line[0].item is None:
        raise ItemNotFoundError(entity.table_name, entity.readable_key(line[0].key))
    if line and line[0].item is not None and family.scope(line[0].item) != family.scope(item):
        raise ValidationError(
            f"{name} {refused}: parent and child share {', '.join(family.link.within)}, and these differ; to take a "
            "subtree there, create its nodes anew, parents first, and then delete_subtree() the old ones"
        )
    return line


def _moving(family: Family[T], values: KeyValues, item: Item, parent: Item | None) -> Flow[Write[T]]:
    """Return the write that changes an item's parent, and what is derived from it."""
    entity, link = family.entity, family.link
    value: object = None
    if parent is not None:
        renamed = {family.attribute(link.parent): family.told(parent)[family.attribute(link.id)]}
        value = entity.codec.decode_partial(renamed)[link.parent]
    moved = {link.parent, entity.declaration.updated_at}
    made = [entry.fields for entry in entity.declaration.derived if moved & set(entry.fields)]
    beside = {name for fields in made for name in fields} - moved - {*entity.declaration.key_fields}
    model = entity.decode(item)
    # What is derived from the parent is made anew, over those other parts of it that were read.
    parts = KeyParts(
        {family.attribute(name): item.get(family.attribute(name)) for name in sorted(beside)},
        {name: getattr(model, name) for name in sorted(beside)},
    )
    return (
        yield from patches.patch_write(entity, values, {link.parent: value}, {}, when=None, upsert=False, parts=parts)
    )


def _unmoved(family: Family[T], above: _Above) -> Write[T]:
    """Return the check that a node still is where it was read; or, if there was none, that there still is none."""
    entity = family.entity
    values = family.values_of(above.key)
    if above.item is None:
        gone = writes.is_absent(entity) if entity.only_ours is None else ~entity.only_ours
        check = writes.check(entity, values, gone)
        # What is another model's is no node, and may be there.
        return replace(check, request=replace(check.request, condition=gone))
    placed = family.lineage_of(above.item)
    names = [name for name in (family.link.parent, *family.link.within) if name not in entity.declaration.key_fields]
    condition = every(writes.is_present(entity), *(_is(name, placed.get(name)) for name in names))
    assert condition is not None
    return writes.check(entity, values, condition)


def _is(name: str, value: object) -> Condition:
    path = Path(name)
    return path.not_exists() | path.is_type("NULL") if value is None else path == value


# --- delete ---------------------------------------------------------------------------------------------------------


def delete(family: Family[T], root: object, *, concurrency: int) -> Flow[int]:
    """Delete a node and everything below it, the deepest level first and the node last; return how many there were.

    After the first pass children that other writers have added meanwhile are looked for, under every node deleted.
    Where the node is gone already, what is left below it is deleted.

    Raises:
        BatchIncompleteError: Other writers kept adding children; the node is still there.
        DynamoDBWrapperError: Another error; ``context["deleted"]`` is how many were deleted before it.
    """
    positive("concurrency", concurrency)
    deleted: list[Item] = []
    try:
        yield from _delete(family, root, deleted, concurrency)
    except DynamoDBWrapperError as error:
        if deleted and not isinstance(error, BatchIncompleteError):
            error.context["deleted"] = len(deleted)
            error.message += f"; {len(deleted)} nodes were deleted before: run it again, and it finishes"
        raise
    return len(deleted)


def _delete(family: Family[T], root: object, deleted: list[Item], concurrency: int) -> Flow[None]:
    """Delete a node and everything below it, noting each that is deleted."""
    entity = family.entity
    key = entity.key(*family.key_values(root))
    item = yield from family.stored(key, placed_only=True)
    above: list[Item] = [key if item is None else item]
    for _ in range(_DELETE_PASSES):
        levels = yield from _below(family, above, concurrency)
        if not any(levels):
            break
        above = [*above, *(yield from _delete_levels(family, levels, deleted, concurrency))]
    else:
        raise BatchIncompleteError(
            f"{len(deleted)} nodes below {family.named(key)!r} were deleted, but other writers kept adding some; "
            "the node is still there, run it again",
            context={"table_name": entity.table_name, "key": entity.readable_key(key)},
            unprocessed=[family.named(key)],
            done=len(deleted),
        )
    if item is not None:
        if (yield from items.delete(entity, family.values_of(key), when=None)):
            deleted.append(item)
        late = yield from _below(family, above[:1], concurrency)  # added between the last look and the delete
        yield from _delete_levels(family, late, deleted, concurrency)


def _below(family: Family[T], roots: Sequence[Item], concurrency: int) -> Flow[list[list[Item]]]:
    """Return what is below some nodes now, level by level.

    The index may lag behind, so each node is read once more: one that was moved elsewhere is left alone, with all that
    is below it.
    """
    grown = yield from grow(
        roots,
        lambda node: family.children_of(node, placed_only=True),
        family.identity,
        max_depth=None,
        at_most=concurrency,
    )
    nodes = [node for level in grown.levels[1:] for node in level]
    found = yield from together(
        (family.stored(family.entity.key_of(node), placed_only=True) for node in nodes), at_most=concurrency
    )
    stored = dict(zip(map(family.identity, nodes), found, strict=True))
    levels: list[list[Item]] = []
    below = list(roots)
    while below:
        links = [(child, parent) for parent in below for child in grown.children.get(family.identity(parent), ())]
        now = [(child, parent, stored[family.identity(child)]) for child, parent in links]
        levels.append([item for _, parent, item in now if item is not None and family.is_child(item, parent)])
        # A node that is gone is no node, but what is below it is still to be found.
        below = [child for child, parent, item in now if item is None or family.is_child(item, parent)]
    return levels


def _delete_levels(
    family: Family[T], levels: Sequence[Sequence[Item]], deleted: list[Item], concurrency: int
) -> Flow[list[Item]]:
    """Delete levels of nodes, the last one first; return the nodes that are gone, and note those deleted here."""
    gone: list[Item] = []
    for level in reversed(levels):
        outcomes = yield from together((_delete_node(family, node, deleted) for node in level), at_most=concurrency)
        gone += [node for node, is_gone in zip(level, outcomes, strict=True) if is_gone]
    return gone


def _delete_node(family: Family[T], node: Item, deleted: list[Item]) -> Flow[bool]:
    """Delete a node, and note it if it was there; False if it was moved since it was read, and so is left alone."""
    entity, name = family.entity, family.link.parent
    in_place = _is(name, family.lineage_of(node).get(name))
    values = family.values_of(entity.key_of(node))
    try:
        if (yield from items.delete(entity, values, when=writes.is_absent(entity) | in_place)):
            deleted.append(node)  # one operation, so threads need no lock
    except ConditionFailedError:
        return False
    return True
