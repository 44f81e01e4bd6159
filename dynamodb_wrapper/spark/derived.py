"""What a repository writes beside an item's fields - keys made of them, index keys, its kind - made for rows, too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from dynamodb_wrapper.codec import Derived, Part, RefusedValueError, Template, Wire, from_json, to_json
from dynamodb_wrapper.codec.templates import fitting, shard_text
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.spark.options import Options

Entry = Derived | Template
R = TypeVar("R")


def key_columns(entity: Entity[Any]) -> tuple[str, ...]:
    """Return the columns that tell the table's key: those of the fields it is made of."""
    return tuple(map(entity.codec.attribute, entity.declaration.key_fields))


def derived_entries(entity: Entity[Any], options: Options, columns: Collection[str]) -> list[Entry]:
    """Return what is derived from rows with these columns: all of it, or what an update changes.

    The schema version is among it, too. It, and a `Derived` attribute, may be a column; then that is taken as it is.

    Raises:
        ValidationError: The frame has a column of the name of a key that is made of fields, or of the kind, or lacks
            one that is needed.
    """
    kind = entity.declaration.kind
    own = {*entity.declaration.templates, *([] if kind is None else [kind.attribute])}
    derived = tuple(entry for entry in entity.codec.derived if entry.attribute in own or entry.attribute not in columns)
    if given := sorted(own.intersection(columns)):
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
        derived = (*keys, *(entry for entry in derived if entry not in keys and changed & set(_columns(entity, entry))))
    for entry in derived:
        needed = _columns(entity, entry)
        if missing := [name for name in needed if name not in columns]:
            raise ValidationError(
                f"{options.repository} makes {entry.attribute!r} of {', '.join(needed)}, and the frame has no "
                f"{', '.join(missing)}: items would be missing from an index, or be where they do not belong. "
                "Add to the frame what is missing",
                dict.fromkeys(missing, "missing"),
            )
    return list(derived)


def _columns(entity: Entity[Any], entry: Entry) -> tuple[str, ...]:
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
        self._makers = [_Maker(entity, entry, options) for entry in derived_entries(entity, options, columns)]
        self._columns = list(columns)
        self._updates = options.write_mode == "update"
        self._codec = entity.codec
        self._fixed = [name for name in map(entity.codec.attribute, entity.codec.fixed) if name in columns]

    def made(self, fragments: Sequence[pa.Array], refused: dict[int, str]) -> Made:
        """Return what is derived from columns of JSON; notes in ``refused`` the rows of which it cannot be."""
        made = Made()
        texts = dict(zip(self._columns, fragments, strict=True))
        for name in self._fixed:
            self._check_fixed(name, texts[name].to_pylist(), refused)
        for maker in self._makers:
            given = [texts[name].to_pylist() for name in maker.columns]
            rows = zip(*given, strict=True) if given else [()] * len(fragments[0])
            made.values[maker.attribute] = self._column(maker, rows, made.removed, refused)
        return made

    def _column(
        self,
        maker: _Maker,
        rows: Iterable[tuple[str | None, ...]],
        removed: dict[int, list[str]],
        refused: dict[int, str],
    ) -> pa.Array:
        known: dict[tuple[str | None, ...], str | ValidationError | None] = {}  # partition keys come again and again
        values: list[str | None] = []
        for number, given in enumerate(rows):
            if given not in known:
                known[given] = maker.made(given)
            value = known[given]
            if isinstance(value, ValidationError):
                refused.setdefault(number, value.message)
                value = None
            elif value is None and self._updates and not maker.is_skipped(given):
                removed.setdefault(number, []).append(maker.attribute)
            values.append(value)
        return pa.array(values, pa.string())

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
            self._codec.decode_partial({name: wire})
        except ValidationError as error:
            return f"{name!r} says which model a row is: {error.message}"
        return None


class _Maker:
    """Makes one derived attribute of the JSON of the fields that it is made of.

    Attributes:
        attribute: Its name.
        columns: The columns of the fields.
    """

    def __init__(self, entity: Entity[Any], entry: Entry, options: Options) -> None:
        self.attribute = entry.attribute
        self.columns = _columns(entity, entry)
        self._entity = entity
        self._entry = entry
        self._is_key = entry.attribute in entity.table_key_attributes
        keys = key_columns(entity)
        self._changed = [place for place, name in enumerate(self.columns) if name not in keys]
        updates = options.write_mode == "update"
        self._skips = updates and options.nulls == "skip"
        has_defaults = not (updates and options.nulls == "null")
        self._defaults = [self._default(name) if has_defaults else None for name in entry.fields]
        if isinstance(entry, Template):
            self._places = [entry.fields.index(name) for name in entry.names]
            self._when_places = [entry.fields.index(name) for name in entry.when_fields]
            self._checked = [number for number, part in enumerate(entry.parts) if not self._is_as_given(part)]
            self._default_wires = [self._stored(place, self._defaults[place]) for place in self._places]

    def is_skipped(self, given: Sequence[str | None]) -> bool:
        """Whether an update leaves alone all the fields that it is made of."""
        return self._skips and bool(self._changed) and all(given[place] is None for place in self._changed)

    def made(self, given: Sequence[str | None]) -> str | ValidationError | None:
        """Return its JSON, None for none, or why there can be none."""
        if None in given:
            missing = ", ".join(name for name, text in zip(self.columns, given, strict=True) if text is None)
            if self._is_key:
                return ValidationError(f"key {self.attribute!r} cannot be made: {missing} cannot be null")
            if self.is_skipped(given):
                return None
            if self._skips:
                return ValidationError(
                    f"{self.attribute!r} is made of {', '.join(self.columns)}, and what is stored of {missing} is not "
                    "known here: it is null, and nulls are skipped"
                )
        wires = [None if text is None else from_json(text) for text in given]
        try:
            if isinstance(self._entry, Template):
                wire = self._key(self._entry, wires)
            else:
                derive, values = self._entity.codec.derive, self._values(wires, range(len(wires)))
                wire = self._asked(partial(derive, self._entry, values))
            if wire is not None:
                self._entity.check_key_attribute(self.attribute, wire)
        except RefusedValueError as refused:
            return refused.as_validation_error(owner=f"key of table {self._entity.table_name!r}")
        except ValidationError as error:
            return error
        return None if wire is None else to_json(wire).decode()

    def _key(self, template: Template, wires: Sequence[Wire | None]) -> Wire | None:
        if self._when_places:
            values = self._values(wires, self._when_places)
            if not self._asked(partial(template.applies, dict(zip(template.when_fields, values, strict=True)))):
                return None
        parts = [wires[place] or default for place, default in zip(self._places, self._default_wires, strict=True)]
        times = self._entity.codec.times
        text = template.text(parts, times)
        due = list(parts)
        for number in self._checked:
            place = self._places[number]
            due[number] = self._stored(place, self._value(place, parts[number]))
        if due != parts and (other := template.text(due, times)) != text:
            raise ValidationError(
                f"{self.attribute!r} would be {text!r}, and the repository, whose model changes such values, would "
                f"look for it under {other!r}: change them before"
            )
        return None if text is None else {"S": text}

    def _asked(self, function: Callable[[], R]) -> R:
        """Return what a function of the repository's says of a row."""
        try:
            return function()
        except DynamoDBWrapperError:
            raise
        except Exception as error:  # whatever it does not expect, of a null for example, is wrong with that row
            reason = f"{type(error).__name__}: {error}"
            raise ValidationError(f"{self.attribute!r} cannot be computed: {reason}", original_error=error) from error

    def _is_as_given(self, part: Part) -> bool:
        """Whether a model stores a field as any row has it: text, or a number that stands in the key by its digits."""
        kind = self._entity.codec.stored_as_it_is(part.name)
        return kind is str or (kind is int and part.form == "number" and part.width > 0)

    def _values(self, wires: Sequence[Wire | None], places: Iterable[int]) -> list[object]:
        """Return the values of fields as a model would have them."""
        return [self._value(place, wires[place]) for place in places]

    def _value(self, place: int, wire: Wire | None) -> object:
        if wire is None:
            return self._defaults[place]
        found = self._entity.codec.decode_partial({self.columns[place]: wire})
        return found[self._entry.fields[place]]

    def _stored(self, place: int, value: object) -> Wire | None:
        return None if value is None else self._entity.codec.target((self._entry.fields[place],)).store(value)

    def _default(self, name: str) -> object:
        info = self._entity.declaration.model_class.model_fields[name]
        return None if info.is_required() else info.get_default(call_default_factory=False)
