"""What a repository writes beside an item's fields - keys made of them, index keys, its kind - made for rows, too."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from dynamodb_wrapper.codec import Derived, Item, Template, Wire, from_json, to_json
from dynamodb_wrapper.codec.templates import fitting, shard_text
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.spark.options import Options

Entry = Derived | Template


def key_columns(entity: Entity[Any]) -> tuple[str, ...]:
    """Return the columns that tell the table's key: those of the fields it is made of."""
    return tuple(map(entity.codec.attribute, entity.declaration.key_fields))


def derived_entries(entity: Entity[Any], options: Options, columns: Collection[str]) -> list[Entry]:
    """Return what is derived from rows with these columns: all of it, or what an update changes.

    Raises:
        ValidationError: The frame has a column of such a name, or lacks one that it takes.
    """
    derived = entity.declaration.derived
    if given := [entry.attribute for entry in derived if entry.attribute in columns]:
        raise ValidationError(
            f"{options.repository} makes {', '.join(given)} of the fields, and the frame has columns of that name: "
            "leave them out",
            dict.fromkeys(given, "is derived"),
        )
    keys = [entry for entry in derived if entry.attribute in entity.table_key_attributes]
    if options.write_mode == "delete":
        return keys
    if options.write_mode == "update" and not options.upsert:
        changed = set(columns).difference(key_columns(entity))
        derived = (*keys, *(entry for entry in derived if entry not in keys and changed & set(_places(entity, entry))))
    for entry in derived:
        if missing := [name for name in _places(entity, entry) if name not in columns]:
            raise ValidationError(
                f"{options.repository} makes {entry.attribute!r} of {', '.join(_places(entity, entry))}, and the frame "
                f"has no {', '.join(missing)}: items would be missing from an index, or be where they do not belong. "
                "Add to the frame what is missing",
                dict.fromkeys(missing, "missing"),
            )
    return list(derived)


def _places(entity: Entity[Any], entry: Entry) -> tuple[str, ...]:
    return tuple(map(entity.codec.attribute, entry.fields))


def partition_texts(
    entity: Entity[Any], template: Template, values: Iterable[Sequence[object]]
) -> tuple[str, ...] | None:
    """Return the partition keys, of all shards, that a template makes of values of its fields.

    Returns:
        None if a value can stand in no such key, or not be compared exactly: then the table is read as a whole.
    """
    texts: dict[str, None] = {}
    for given in values:
        try:
            wires = [entity.codec.target((name,)).compared(v) for name, v in zip(template.asked, given, strict=True)]
            with fitting(f"key of table {entity.table_name!r}"):
                text = template.prefix(wires, entity.codec.times)
            entity.check_key_attribute(template.attribute, {"S": text + shard_text(0) * bool(template.shards)})
        except ValidationError:
            return None
        texts |= dict.fromkeys([text + shard_text(number) for number in range(template.shards)] or [text])
    return tuple(texts)


@dataclass
class Made:
    """What was derived from a batch of rows.

    Attributes:
        values: By attribute, its values as JSON; null where it is left out.
        removed: By row, the attributes that an update takes away.
    """

    values: dict[str, pa.Array] = field(default_factory=dict)
    removed: dict[int, list[str]] = field(default_factory=dict)


class RowDeriver:
    """Derives attributes of rows, as the codec does of models.

    A field that is null is read with its default, if the model has one that is a plain value; so it is here.

    Args:
        entity: The model in its table.
        options: The options of the write.
        columns: The frame's columns.

    Raises:
        ValidationError: As `derived_entries`.
    """

    def __init__(self, entity: Entity[Any], options: Options, columns: Sequence[str]) -> None:
        self._entity = entity
        self._entries = derived_entries(entity, options, columns)
        self._columns = list(columns)
        self._keys = set(key_columns(entity))
        self._updates = options.write_mode == "update"
        self._skips = self._updates and options.nulls == "skip"
        self._has_defaults = not (self._updates and options.nulls == "null")
        self._fixed = [name for name in map(entity.codec.attribute, entity.codec.fixed) if name in columns]

    def made(self, fragments: Sequence[pa.Array], refused: dict[int, str]) -> Made:
        """Return what is derived from columns of JSON; notes in ``refused`` the rows of which it cannot be."""
        made = Made()
        texts = dict(zip(self._columns, fragments, strict=True))
        count = len(fragments[0])
        for name in self._fixed:
            self._check_fixed(name, texts[name].to_pylist(), refused)
        for entry in self._entries:
            names = _places(self._entity, entry)
            rows = zip(*(texts[name].to_pylist() for name in names), strict=True) if names else [()] * count
            made.values[entry.attribute] = self._column(entry, names, rows, made.removed, refused)
        return made

    def _column(
        self,
        entry: Entry,
        names: Sequence[str],
        rows: Any,
        removed: dict[int, list[str]],
        refused: dict[int, str],
    ) -> pa.Array:
        known: dict[tuple[str | None, ...], str | ValidationError | None] = {}  # partition keys come again and again
        values: list[str | None] = []
        for number, given in enumerate(rows):
            if given not in known:
                known[given] = self._outcome(entry, dict(zip(names, given, strict=True)))
            value = known[given]
            if isinstance(value, ValidationError):
                refused.setdefault(number, value.message)
                value = None
            elif value is None and self._updates and not self._is_skipped(names, given):
                removed.setdefault(number, []).append(entry.attribute)
            values.append(value)
        return pa.array(values, pa.string())

    def _is_skipped(self, names: Sequence[str], given: Sequence[str | None]) -> bool:
        """Whether an update leaves alone all the fields that something is made of."""
        changed = [text for name, text in zip(names, given, strict=True) if name not in self._keys]
        return self._skips and bool(changed) and not any(text is not None for text in changed)

    def _outcome(self, entry: Entry, given: Mapping[str, str | None]) -> str | ValidationError | None:
        """Return the JSON of a derived attribute, None for none, or why there can be none."""
        is_key = entry.attribute in self._entity.table_key_attributes
        missing = [name for name, text in given.items() if text is None]
        if is_key and missing:
            return ValidationError(f"key {entry.attribute!r} cannot be made: {', '.join(missing)} cannot be null")
        if self._is_skipped(tuple(given), tuple(given.values())):
            return None
        if missing and self._skips:
            return ValidationError(
                f"{entry.attribute!r} is made of {', '.join(given)}, and what is stored of {', '.join(missing)} is "
                "not known here: it is null, and nulls are skipped"
            )
        wires: Item = {name: from_json(text) for name, text in given.items() if text is not None}
        try:
            wire = self._wire(entry, wires)
            if wire is not None:
                self._entity.check_key_attribute(entry.attribute, wire)
        except ValidationError as error:
            return error
        return None if wire is None else to_json(wire).decode()

    def _wire(self, entry: Entry, wires: Item) -> Wire | None:
        codec = self._entity.codec
        if isinstance(entry, Derived):
            return codec.derive(entry, list(self._seen(entry.fields, wires).values()))
        if not entry.applies(self._seen(entry.when_fields, wires)):
            return None
        given = [wires.get(codec.attribute(name)) for name in entry.names]
        parts = [wire or self._default_wire(name) for name, wire in zip(entry.names, given, strict=True)]
        with fitting(f"key of table {self._entity.table_name!r}"):
            text, due = (entry.text(wires, codec.times) for wires in (parts, self._as_models_have_it(entry, parts)))
        if text != due:
            raise ValidationError(
                f"{entry.attribute!r} would be {text!r}, and the repository, whose model changes such values, would "
                f"look for it under {due!r}: change them before"
            )
        return None if text is None else {"S": text}

    def _as_models_have_it(self, entry: Template, parts: Sequence[Wire | None]) -> list[Wire | None]:
        """Return what a model stores that was given these values; raises for those that it refuses."""
        codec = self._entity.codec
        names = {codec.attribute(name): name for name in entry.names}
        there = {name: wire for name, wire in zip(names, parts, strict=True) if wire is not None}
        found = codec.decode_partial(there)
        return [codec.target((names[name],)).store(found[names[name]]) if name in there else None for name in names]

    def _seen(self, names: Sequence[str], wires: Item) -> dict[str, object]:
        """Return the values of fields as a model would have them."""
        codec = self._entity.codec
        stored = {codec.attribute(name): name for name in names}
        found = codec.decode_partial({attribute: wires[attribute] for attribute in stored if attribute in wires})
        return {name: found.get(name, self._default(name)) for name in names}

    def _default(self, name: str) -> object:
        info = self._entity.declaration.model_class.model_fields[name]
        return None if info.is_required() or not self._has_defaults else info.get_default(call_default_factory=False)

    def _default_wire(self, name: str) -> Wire | None:
        value = self._default(name)
        return None if value is None else self._entity.codec.target((name,)).store(value)

    def _check_fixed(self, name: str, texts: Sequence[str | None], refused: dict[int, str]) -> None:
        """Refuse rows that do not say, in a union of models, which one they are."""
        reasons: dict[str | None, str | None] = {None: f"{name!r} is null, and says which model a row is"}
        for row, text in enumerate(texts):
            if text not in reasons:
                reasons[text] = self._wrong_field(name, from_json(str(text)))
            if (reason := reasons[text]) is not None:
                refused.setdefault(row, reason)

    def _wrong_field(self, name: str, wire: Wire) -> str | None:
        try:
            self._entity.codec.decode_partial({name: wire})
        except ValidationError as error:
            return f"{name!r} says which model a row is: {error.message}"
        return None
