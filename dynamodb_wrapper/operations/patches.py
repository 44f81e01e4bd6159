"""The flow that changes some attributes of one item, atomically."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, Target
from dynamodb_wrapper.exceptions import ConditionFailedError, DynamoDBWrapperError, ExpressionError, ValidationError
from dynamodb_wrapper.expressions import (
    Action,
    Add,
    AnyCondition,
    Condition,
    Encoded,
    Operand,
    Path,
    Remove,
    SetIfMissing,
    as_condition,
    every,
)
from dynamodb_wrapper.operations import evolving, upserts, writes
from dynamodb_wrapper.operations.derived_changes import Change, derived_changes
from dynamodb_wrapper.operations.effects import Call, Flow, Response, now, sent
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.key_parts import KeyParts, StalePartsError, until_as_read
from dynamodb_wrapper.operations.plain_patches import plain_patch
from dynamodb_wrapper.operations.requests import Update
from dynamodb_wrapper.operations.versions import of_this_schema, wrong_version
from dynamodb_wrapper.operations.writes import Guarding, KeyValues, Write, is_present, unless_foreign

T = TypeVar("T", bound=BaseModel)

Changes = Mapping[str | Path, object]
"""What to change: a field name, dotted path or ``F`` path, to a new value or an action."""


def patch(
    entity: Entity[T],
    key: KeyValues,
    changes: Changes | None,
    fields: Mapping[str, object],
    *,
    when: AnyCondition | None,
    upsert: bool,
) -> Flow[T]:
    """Change attributes of an item in one ``UpdateItem`` and return the new model.

    Where an index key is made of a field that changes and of one that is not given, that one is read before.

    Raises:
        ItemNotFoundError: There is no item (and ``upsert`` was not asked for).
        ConditionFailedError: ``when`` was false; the stored item is in ``.item``.
        UniqueViolationError: Another item has a unique value that the patch gives.
        ExpressionError: A change cannot be made; says which and why.
        ValidationError: A value is not one for its field.
    """
    if changes is None and when is None and not upsert and (plain := plain_patch(entity, tuple(fields))) is not None:
        call = plain.call(key, fields)
        if call is not None:
            return (yield from _patched_plainly(entity, key, fields, call))
    unknown = () if upsert or not entity.declaration.templates else _parts_to_read(entity, key, changes, fields)
    if not unknown:
        write = yield from patch_write(entity, key, changes, fields, when=when, upsert=upsert)
        response = yield from evolving.send(write)
        return _patched(entity, response["Attributes"])

    def attempt(parts: KeyParts) -> Flow[Response]:
        write = yield from patch_write(entity, key, changes, fields, when=when, upsert=upsert, parts=parts)
        return (yield from evolving.send(write))

    response = yield from until_as_read(entity, entity.key(*key), unknown, attempt)
    return _patched(entity, response["Attributes"])


def _patched_plainly(entity: Entity[T], key: KeyValues, fields: Mapping[str, object], call: Call) -> Flow[T]:
    try:
        response = yield from sent(call)
    except ConditionFailedError as error:
        write = yield from patch_write(entity, key, None, fields, when=None, upsert=False)
        response = yield from writes.in_spite_of(error, write)
    return _patched(entity, response["Attributes"])


def patch_write(
    entity: Entity[T],
    key: KeyValues,
    changes: Changes | None,
    fields: Mapping[str, object],
    *,
    when: AnyCondition | None,
    upsert: bool,
    parts: KeyParts | None = None,
) -> Flow[Write[T]]:
    """Return the write that changes attributes of an item.

    Args:
        entity: The model in its table.
        key: The item's key.
        changes: What to change.
        fields: What to change, by field.
        when: The condition.
        upsert: Whether there may be no item.
        parts: The parts of index keys that were read because they are not given; the write is only over those.

    Raises:
        ExpressionError: A change cannot be made; says which and why.
        ValidationError: A value is not one for its field.
    """
    merged = _merged(entity, key, changes, fields)
    time = (yield from now()) if _has_times(entity) else None
    known = entity.fields_of_key(*key) if upsert else parts.values if parts is not None else {}
    condition = when
    if parts is not None:
        condition = every(None if when is None else as_condition(when), parts.unchanged)
    request = patch_request(entity, entity.key(*key), merged, when=condition, upsert=upsert, time=time, known=known)
    # What only this patch has: the time that it sets, to the microsecond.
    mark = {target.names[0]: change.wire for target, change in request.changes if isinstance(change, _Now)}

    def refused(error: ConditionFailedError) -> DynamoDBWrapperError:
        is_foreign = writes.is_foreign(entity, error)
        if not upsert and (error.item is None or is_foreign):
            return writes.not_found(entity, request.readable_key, error)
        if (problem := wrong_version(entity, error)) is not None:
            return problem
        if parts is not None and parts.are_stale(error.item):
            return StalePartsError("the parts of an index key were changed by another writer", error)
        message = writes.FOREIGN if is_foreign else _why_false(entity, request, error)
        return writes.failed_condition(ConditionFailedError, message, entity, request.readable_key, error)

    def proof(stored: Item | None) -> bool | None:
        if stored is None:
            return False if when is None else None
        return True if mark and stored.items() >= mark.items() else None

    # An upsert may leave a unique field to its default, so it is read for as well.
    is_guarded = upsert or not entity.unique_attributes.isdisjoint(target.names[0] for target, _ in request.changes)
    guarding = writes.guarding_of(entity, Guarding.READ if is_guarded else Guarding.NONE)
    return Write(entity, request, refused, proof, guarding=guarding)


def lasting_write(
    entity: Entity[T],
    key: KeyValues,
    changes: Changes | None,
    fields: Mapping[str, object],
    *,
    when: AnyCondition | None,
    upsert: bool,
) -> Flow[Write[T]]:
    """Return the write as `patch_write` does, to be sent later: what the caller does to lists meanwhile is not in it.

    Raises:
        ExpressionError: A change cannot be made; says which and why.
        ValidationError: A value is not one for its field.
    """
    return patch_write(entity, key, deepcopy(changes), deepcopy(fields), when=when, upsert=upsert)


def _patched(entity: Entity[T], item: Item) -> T:
    """Return the model of the item a patch left behind.

    An action (``Add``, say) can take a value past what the model allows, and only the answer shows it.
    """
    try:
        return entity.decode(item)
    except ValidationError as error:
        error.message = f"the patch was applied, but {error.message}"
        raise


def patch_request(
    entity: Entity[T],
    key: Item,
    changes: Changes,
    *,
    when: AnyCondition | None,
    upsert: bool,
    time: datetime | None,
    known: Mapping[str, object] | None = None,
) -> Update:
    """Return the request of a patch, with the version, the times and derived attributes kept right.

    Args:
        entity: The model in its table.
        key: The wire key.
        changes: What to change.
        when: The condition.
        upsert: Whether there may be no item.
        time: The time it is.
        known: Fields whose values are known though they do not change, and are in no attribute of the key.
    """
    planned = _Plan(entity).of(changes)
    if not planned:
        raise ExpressionError("a patch needs at least one change")
    has_fields = _has_fields(entity, [change.root for change in planned])
    if upsert:
        entity.check_written_key(key)
        upserts.refuse_fragment(entity, planned)
        upserts.refuse_underived(entity, planned)
        planned += list(upserts.index_defaults(entity, planned))
        planned += [
            Change(name, entity.codec.target((name,)), value)
            for name, value in (known or {}).items()
            if name not in entity.declaration.table_key.fields
        ]
    planned += list(_managed_changes(entity, planned, upsert=upsert, time=time))
    full = [(change.target, change.encoded or change.value) for change in planned]
    if entity.declaration.derived:
        full += derived_changes(entity, planned, {**entity.known_by_key(key), **(known or {})}, upsert=upsert)
    condition = every(_is_patchable(entity, upsert=upsert), has_fields, None if when is None else as_condition(when))
    return Update(
        entity.table_name,
        entity.codec,
        entity.readable_key(key),
        key,
        tuple(full),
        condition,
        repeatable=entity.declaration.version is None,
        read=entity.codec.answer_reader("Attributes"),
    )


def _is_patchable(entity: Entity[T], *, upsert: bool) -> Condition | None:
    """Return the condition that there is an item of ours of this schema version; or, in an upsert, no item."""
    condition = of_this_schema(entity)
    if upsert:
        return unless_foreign(entity, None if condition is None else writes.is_absent(entity) | condition)
    return every(is_present(entity), condition)


def _has_fields(entity: Entity[T], names: Collection[str]) -> Condition | None:
    """Return the condition that the item is of a model that has these fields, where there are several models.

    Raises:
        ExpressionError: None of them has all of these.
    """
    values = entity.codec.told_by_having(names)
    if values is None:
        return None
    if not values:
        raise ExpressionError(f"no model of {entity.codec.model_class.__name__} has all of {', '.join(names)}")
    return Path(entity.codec.fixed[0]).in_(values)


def _why_false(entity: Entity[T], request: Update, error: ConditionFailedError) -> str:
    """Return why the condition of a patch was false, as far as the stored item tells."""
    model = entity.stored_model(error)
    roots = [entity.codec.member(str(target.names[0])) for target, _ in request.changes]
    missing = [root.name for root in roots if root and model is not None and root.name not in type(model).model_fields]
    if missing:
        return f"the item is a {type(model).__name__}, which has no {', '.join(missing)}"
    return "the condition of the patch was false"


class _Plan:
    """Resolves the caller's changes, refusing those a patch may not make."""

    def __init__(self, entity: Entity[T]) -> None:
        self._entity = entity

    def of(self, changes: Changes) -> list[Change]:
        """Return the changes, resolved and checked."""
        return [
            self._resolved((name,) if isinstance(name, str) else name.steps, value) for name, value in changes.items()
        ]

    def _resolved(self, steps: tuple[str | int, ...], value: object) -> Change:
        codec = self._entity.codec
        target = codec.target(steps)
        member = codec.member(str(target.names[0]))
        if target.names[0] in self._entity.unique_attributes and value is not Remove:
            self._refuse_action(target, value)
        root = member.name if member else str(target.names[0])
        if (reason := self._entity.unpatchable.get(root)) is not None:
            raise ExpressionError(f"{root!r} {reason}", {root: reason})
        if value is Remove:
            value = Remove()
        if member is not None and len(target.names) == 1:
            return self._whole(root, target, value)
        if isinstance(value, Remove):
            self._refuse_hole(target)
        return Change(root, target, value)

    def _refuse_action(self, target: Target, value: object) -> None:
        """Refuse to change a unique value, or what it is unique within, in a way whose outcome only DynamoDB knows."""
        if len(target.names) > 1 or (isinstance(value, Action) and not isinstance(value, Remove)):
            raise ExpressionError(
                f"{target.label!r} decides which unique values the item has, so a patch sets it to a plain value or "
                "removes it",
                {target.label: "unique"},
            )

    def _refuse_hole(self, target: Target) -> None:
        """Refuse to remove a required field of a nested model: the item could not be read any more."""
        model = self._entity.codec.target(target.names[:-1]).shape.model if len(target.names) > 1 else None
        member = model.find(str(target.names[-1])) if model is not None else None
        if member is not None and member.info.is_required():
            raise ExpressionError(
                f"{target.label!r} is required by the model, so it cannot be removed", {target.label: "required"}
            )

    def _whole(self, root: str, target: Target, value: object) -> Change:
        """Return the change of a whole field, checked; a value that is stored by absence becomes a removal."""
        codec = self._entity.codec
        is_removed = isinstance(value, Remove) or (value is None and codec.is_left_out(root, value))
        if is_removed and not codec.may_be_absent(root):
            raise ExpressionError(f"{root!r} is required by the model, so it cannot be removed", {root: "required"})
        if isinstance(value, SetIfMissing) and codec.is_left_out(root, value.value):
            reason = "is stored by leaving it out, so there is nothing to set where it is missing"
            raise ExpressionError(f"{root!r}: {value.value!r} {reason}", {root: reason})
        if isinstance(value, SetIfMissing) and target.names[0] in self._entity.key_tags:
            self._entity.check_key_attribute(str(target.names[0]), target.written(value.value))
        if isinstance(value, Action):
            return Change(root, target, value)
        wire = target.written(value)
        if target.names[0] in self._entity.key_tags:
            self._entity.check_key_attribute(str(target.names[0]), wire, absent=codec.is_left_out(root, value))
        if codec.is_left_out(root, value):
            return Change(root, target, Remove())
        is_expression = isinstance(value, Condition | Operand)  # refused where it would be written
        return Change(root, target, value, None if is_expression else Encoded(wire))


def _merged(entity: Entity[T], key: KeyValues, changes: Changes | None, fields: Mapping[str, object]) -> Changes:
    if changes is not None and not isinstance(changes, Mapping):
        raise ExpressionError(f"changes is {changes!r:.80}: must be a mapping of places to new values or actions")
    for name in changes or ():
        if not isinstance(name, str | Path):
            raise ExpressionError(f"a change is named by a field name or a path like F.address.city, not {name!r}")
    if entity.declaration.sort_key is None and isinstance(key[1], Mapping) and changes is None:
        raise ExpressionError(
            f"the second positional argument of patch() is the sort key, which {entity.table_name!r} does not have: "
            "pass changes by name, patch(pk, changes={...})"
        )
    twice = [name for name in changes or () if isinstance(name, str) and name in fields]
    if twice:
        raise ExpressionError(f"{', '.join(sorted(twice))} stands in both changes= and the keyword arguments")
    merged: dict[str | Path, object] = dict(changes or {})
    merged.update(fields)
    return merged


def _has_times(entity: Entity[T]) -> bool:
    return entity.declaration.updated_at is not None or entity.declaration.created_at is not None


def _parts_to_read(
    entity: Entity[T], key: KeyValues, changes: Changes | None, fields: Mapping[str, object]
) -> tuple[str, ...]:
    """Return the fields that index keys are made of beside those that change, and that the caller does not give."""
    declaration = entity.declaration
    given = {change.root for change in _Plan(entity).of(_merged(entity, key, changes, fields))}
    moved = given | {name for name in (declaration.updated_at,) if name is not None}
    known = moved | entity.known_by_key(entity.key(*key)).keys()
    made = [
        entry.fields
        for entry in declaration.templates.values()
        if entry.attribute not in entity.table_key_attributes and moved & set(entry.fields)
    ]
    return tuple(dict.fromkeys(name for names in made for name in names if name not in known))


def _managed_changes(
    entity: Entity[T], planned: Iterable[Change], *, upsert: bool, time: datetime | None
) -> Iterable[Change]:
    declaration, given = entity.declaration, {change.root for change in planned}
    managed: dict[str | None, object] = {declaration.version: Add(1)}
    if entity.evolution is not None:
        managed[entity.evolution.options.attribute] = entity.evolution.current
    if declaration.updated_at not in given:
        managed[declaration.updated_at] = time
    if upsert and declaration.created_at not in given:
        managed[declaration.created_at] = SetIfMissing(time)
    return [_managed(name, entity.codec.target((name,)), value) for name, value in managed.items() if name is not None]


def _managed(name: str, target: Target, value: object) -> Change:
    return Change(name, target, value, _Now(target.written(value)) if isinstance(value, datetime) else None)


class _Now(Encoded):
    """The time that a patch sets."""

    __slots__ = ()
