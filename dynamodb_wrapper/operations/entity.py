"""A model in its table: what every flow needs to know to read and write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import (
    Evolution,
    Item,
    ModelCodec,
    Wire,
    check_size,
    from_json,
    item_json,
    read_any,
    surely_fits,
)
from dynamodb_wrapper.codec.pydantic_internals import assign
from dynamodb_wrapper.exceptions import ConditionFailedError, ExpressionError, StoredItemError, ValidationError
from dynamodb_wrapper.operations import key_values
from dynamodb_wrapper.operations.declaration import GUARD_PREFIX, Declaration
from dynamodb_wrapper.operations.effects import AnswerReader, ItemsReader
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.key_values import SURELY_SHORT

if TYPE_CHECKING:
    from dynamodb_wrapper.expressions import Condition
    from dynamodb_wrapper.operations.plain_patches import PlainPatch
    from dynamodb_wrapper.operations.recalling import AnswerCache
    from dynamodb_wrapper.operations.sort_conditions import Partition

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Entity(Generic[T]):
    """One model in one physical table.

    Attributes:
        table_name: The physical table name.
        declaration: Keys, indexes, managed fields.
        codec: The model's codec.
        cursor_secret: What cursors are signed with.
        evolution: The schema versions of its items, with what brings older ones up to date; None without versions.
        cache: Where answers about the table are kept; None for nowhere.
    """

    table_name: str
    declaration: Declaration
    codec: ModelCodec[T]
    cursor_secret: str | None = field(default=None, repr=False)
    evolution: Evolution | None = field(default=None, repr=False)
    cache: AnswerCache | None = field(default=None, repr=False, compare=False)

    def in_zones(self, *, assumed: str | None = None, shown: str | None = None) -> Entity[T]:
        """Return this entity with datetimes read as, or shown in, other zones."""
        if assumed is None and shown is None:
            return self
        return replace(self, codec=self.codec.in_zones(assumed=assumed, shown=shown))

    @cached_property
    def key_tags(self) -> dict[str, str]:
        """The type tag of every attribute that is part of a key, the table's or an index's."""
        derived = {entry.attribute: entry.tag for entry in self.declaration.derived}
        tags: dict[str, str] = {}
        for index in (self.declaration.table_key, *self.declaration.indexes):
            for name in index.fields:
                member = self.codec.member(name)
                known = member.shape.tags if member else frozenset((derived[name],))
                tags[self.codec.attribute(name)] = next(iter(known), "S")
        return tags

    @cached_property
    def partition_attribute(self) -> str:
        """The stored name of the partition key."""
        return self.codec.attribute(self.declaration.partition_key)

    @cached_property
    def table_key_attributes(self) -> tuple[str, ...]:
        """The stored names of the table's key."""
        return self.key_attributes(self.declaration.table_key)

    def key_attributes(self, index: Index) -> tuple[str, ...]:
        """Return the stored names of a key's parts."""
        return tuple(self.codec.attribute(name) for name in index.fields)

    @cached_property
    def unique_attributes(self) -> frozenset[str]:
        """The stored names that decide which unique values an item has."""
        return frozenset(self.codec.attribute(name) for entry in self.declaration.unique for name in entry.fields)

    @cached_property
    def plain_patches(self) -> dict[tuple[str, ...], PlainPatch | None]:
        """What `plain_patch` has found out, by the names of fields."""
        return {}

    @cached_property
    def unpatchable(self) -> Mapping[str, str]:
        """Fields and attributes that no patch may change, with the reason."""
        declaration = self.declaration
        reasons = dict.fromkeys(declaration.key_fields, "is part of the key, which cannot change")
        for entry in declaration.derived:
            reasons[entry.attribute] = f"is derived from {', '.join(entry.fields) or 'the model'}; change those"
        reasons |= dict.fromkeys(self.codec.fixed, "says which model the item is; write another item instead")
        for name in self.codec.shape.computed:
            reasons[name] = "is computed by the model; change what it is computed from"
        if self.evolution is not None:
            name = declaration.schema_version or self.evolution.options.attribute
            reasons[name] = "is the schema version, which is written by itself"
        if declaration.version is not None:
            reasons[declaration.version] = "is the version, which moves by itself"
        return reasons

    # --- keys ---------------------------------------------------------------------------------------------------

    def key(self, pk: object, sk: object = None) -> Item:
        """Return the wire key for key values as the caller has them.

        Raises:
            ValidationError: A part is missing, superfluous, empty, too long or of the wrong type; says which.
        """
        declaration = self.declaration
        if declaration.sort_key is None and sk is not None:
            raise ValidationError(
                f"table {self.table_name!r} has no sort key, but one was given: {sk!r}",
                {"sort_key": "not part of this table"},
            )
        if declaration.sort_key is not None and sk is None:
            raise ValidationError(
                f"table {self.table_name!r} has the sort key {declaration.sort_key!r}, and no value was given for it",
                {declaration.sort_key: "missing"},
            )
        return {
            attribute: plain(value) or self.key_part(name, value)
            for (name, attribute, plain), value in zip(self._key_parts, (pk, sk), strict=False)
        }

    def key_values(self, key: object) -> tuple[object, object]:
        """Return the values of a key given as one: a partition value, a pair with the sort value, or a mapping of both.

        Raises:
            ValidationError: It has another form.
        """
        fields = self.declaration.table_key.fields
        if key.__class__ is tuple and len(key) == len(fields) == 2:  # the commonest
            return key
        if isinstance(key, Mapping):
            values = [key.get(name, key.get(self.codec.attribute(name))) for name in fields]
            if len(key) == len(fields) and None not in values:
                return values[0], values[1] if len(values) > 1 else None
        elif len(fields) == 1:
            return key, None
        elif isinstance(key, tuple | list) and len(key) == 2:
            return key[0], key[1]
        expected = f"a pair ({', '.join(fields)})" if len(fields) > 1 else f"a value of {fields[0]}"
        raise ValidationError(
            f"a key of table {self.table_name!r} is {expected}, or a mapping of {' and '.join(fields)}; "
            f"not {key!r:.120}",
            dict.fromkeys(fields, "missing"),
        )

    def fields_of_key(self, pk: object, sk: object = None) -> dict[str, object]:
        """Return the fields that a caller's key gives beyond what `known_by_key` tells, typed as the model's."""
        return {}

    def known_by_key(self, key: Item) -> Mapping[str, object]:
        """Return the fields that a wire key tells, typed as the model's."""
        return self.codec.decode_partial(key)

    def partition_fields(self, index: Index) -> tuple[str, ...]:
        """Return the fields whose values name one partition of a key."""
        return index.partition

    def partition(self, index: Index, values: Sequence[object]) -> Partition | None:
        """Return what reads a partition of a key that templates make; None for one of plain fields."""
        return None

    def told_by_key(self, index: Index) -> frozenset[str]:
        """Return the stored names of fields that an index tells beside what it carries: those its keys are made of."""
        return frozenset()

    def with_told(self, item: Item) -> Item:
        """Return an item with the fields that its keys tell, where it has not got them."""
        return item

    @cached_property
    def batch_reader(self) -> ItemsReader | None:
        """How answers with many items of this table may be read; None when their keys could not be told from models."""
        fields = self.declaration.table_key.fields
        read = self.codec.answer_reader("Responses")
        if read is None or not self.codec.keeps_as_stored(fields):
            return None
        parts = [(name, self.codec.attribute(name)) for name in fields]

        def key_of(model: BaseModel) -> Item:
            values = model.__dict__
            return {attribute: key_values.wire_of_plain(values[name]) for name, attribute in parts}

        return ItemsReader(read, key_of)

    @cached_property
    def _key_parts(self) -> tuple[tuple[str, str, Callable[[object], Wire | None]], ...]:
        """The table's key: fields, their stored names, and what writes the values that are plainly right."""
        parts = []
        for name in self.declaration.table_key.fields:
            kind = None if self.declaration.unique else self.codec.stored_as_it_is(name)
            parts.append((name, self.codec.attribute(name), key_values.plain_writer(kind)))
        return tuple(parts)

    def check_written_key(self, key: Item) -> None:
        """Refuse a key that the model would refuse, where an item may be made under it.

        Raises:
            ValidationError: A part is not what its field takes.
        """
        for attribute, value in self.readable_key(key).items():
            self.codec.target((attribute,)).written(value)

    def key_part(self, name: str, value: object) -> Wire:
        """Return the wire form of one part of a key.

        Raises:
            ValidationError: It is None, empty, too long or of the wrong type.
        """
        if value is None:
            raise ValidationError(f"key {name!r} of table {self.table_name!r} cannot be None", {name: "None"})
        try:
            wire = self.codec.target((name,)).compared(value)
        except ExpressionError as error:
            kind = key_values.TYPE_NAMES[self.key_tags[self.codec.attribute(name)]]
            reasons = "; ".join(map(str, error.errors.values()))
            raise ValidationError(
                f"key {name!r} of table {self.table_name!r} cannot be {value!r}: it is declared as {kind} ({reasons})",
                {name: f"{value!r} is not what the key holds"},
                error,
            ) from error
        self._check_key_part(self.codec.attribute(name), wire)
        return wire

    def key_of(self, item: Mapping[str, Wire]) -> Item:
        """Return the wire key of an item."""
        return {attribute: item[attribute] for attribute in self.table_key_attributes}

    def readable_key(self, key: Mapping[str, Wire]) -> dict[str, object]:
        """Return a wire key as the caller would write it, for errors."""
        members = self.codec.shape.by_attribute
        return {
            name: members[name].shape.read(wire) if name in members else read_any(wire) for name, wire in key.items()
        }

    def check_keys(self, item: Item) -> None:
        """Refuse an item whose key attributes DynamoDB would refuse.

        Raises:
            ValidationError: A table key is missing, or a key attribute is empty, too long or of the wrong type.
        """
        for attribute in self.table_key_attributes:
            if attribute not in item:
                raise ValidationError(
                    f"key {attribute!r} of table {self.table_name!r} cannot be None", {attribute: "missing"}
                )
        guards_are_possible = bool(self.declaration.unique)
        for attribute, tag in self.key_tags.items():
            wire = item.get(attribute)
            if wire is None:
                continue
            text = wire.get("S")
            is_plain = tag == "S" and text and len(text) <= SURELY_SHORT and not guards_are_possible
            if not is_plain:
                self._check_key_part(attribute, wire)

    def check_key_attribute(self, attribute: str, wire: Wire, *, absent: bool = False) -> None:
        """Refuse a value DynamoDB would refuse for a key attribute; one that is left out is no value.

        Raises:
            ValidationError: It is empty, too long or of the wrong type.
        """
        if not absent:
            self._check_key_part(attribute, wire)

    def _check_key_part(self, attribute: str, wire: Wire) -> None:
        is_sort_key = attribute in self.table_key_attributes and attribute != self.partition_attribute
        problem = key_values.problem_of(
            wire,
            tag=self.key_tags.get(attribute),
            most_bytes=key_values.MAX_SORT_KEY_BYTES if is_sort_key else key_values.MAX_PARTITION_KEY_BYTES,
            kept_prefix=GUARD_PREFIX if self.declaration.unique and attribute == self.partition_attribute else None,
        )
        if problem:
            raise ValidationError(
                f"key {attribute!r} of table {self.table_name!r} {problem}: {read_any(wire)!r:.80}",
                {attribute: problem},
            )

    # --- items --------------------------------------------------------------------------------------------------

    def check_class(self, model: object) -> None:
        """Refuse what is no model of this entity, a plain dict for example.

        Raises:
            ValidationError: It is of another class; says which.
        """
        if not isinstance(model, self.codec.classes):
            expected = self.codec.model_class
            raise ValidationError(f"expected a {expected.__name__}, got a {type(model).__name__}: {model!r:.80}")

    def encode(self, model: T) -> Item:
        """Return the item of a model, its keys and size checked."""
        return self._encoded(model)[0]

    def _encoded(self, model: T) -> tuple[Item, bytes]:
        item = self.codec.encode(model)
        self.check_keys(item)
        return item, item_json(item, table_name=self.table_name, key=lambda: self.readable_key(self.key_of(item)))

    def encode_json(self, model: T) -> tuple[Item, bytes]:
        """Return the key of a model's item, and the whole of it as JSON, keys and size checked."""
        written = self.codec.encode_at_once(model, self._written_keys)
        if written is None:
            item, text = self._encoded(model)
            return self.key_of(item), text
        keys, text = written
        self.check_keys(keys)
        key = self.key_of(keys)
        if not surely_fits(text):
            check_size(from_json(text), text, table_name=self.table_name, key=lambda: self.readable_key(key))
        return key, text

    @cached_property
    def _written_keys(self) -> tuple[str, ...]:
        return tuple(self.key_tags)

    def decode(self, item: Mapping[str, Wire] | T) -> T:
        """Return the model of an item that was read; a lane may have made it already (see `Call.read`).

        Raises:
            StoredItemError: It does not validate; names table, key and fields.
        """
        if item.__class__ is self.codec.model_class or not isinstance(item, Mapping):
            return item
        try:
            return self.codec.decode(item if self.evolution is None else self._upcast(self.evolution, item))
        except ValidationError as error:
            error.context.update(self.located(item))
            raise

    found = decode
    """What `decode` returns; None for an item under a key of ours that is another model's."""

    @cached_property
    def item_reader(self) -> AnswerReader | None:
        """How a lane may read the answer with one item."""
        return self.codec.answer_reader("Item")

    @property
    def told_by(self) -> tuple[tuple[str], ...]:
        """The attributes that tell whether there is an item, and whose it is."""
        return ((self.partition_attribute,),)

    def is_ours(self, item: Mapping[str, Wire]) -> bool:
        """Whether an item is one of this model."""
        return True

    only_ours: ClassVar[Condition | None] = None
    """The condition that an item is one of this model; None in a table that has no others."""

    @cached_property
    def has_older_forms(self) -> bool:
        """Whether stored items may have other attributes than the model."""
        return self.evolution is not None and bool(self.evolution.upcasters)

    @cached_property
    def writes_back(self) -> bool:
        """Whether older items that are read are to be written back."""
        return self.evolution is not None and self.evolution.options.write_back

    def current_item(self, item: Mapping[str, Wire]) -> Mapping[str, Wire]:
        """Return an item as it is in the current schema version; without versions, as it is.

        Raises:
            SchemaVersionError: It is of a version that is not read; names table and key.
            StoredItemError: An upcaster failed; names table and key.
        """
        try:
            return item if self.evolution is None else self._upcast(self.evolution, item)
        except ValidationError as error:
            error.context.update(self.located(item))
            raise

    def _upcast(self, evolution: Evolution, item: Mapping[str, Wire]) -> Mapping[str, Wire]:
        upcast = evolution.upcast(item)
        changed = [] if upcast is item else self._changed_of_key(item, upcast)
        if changed:
            names = ", ".join(map(repr, changed))
            raise StoredItemError(
                f"an upcaster changed {names} of the key, which cannot change in place; copy_to() makes new keys",
                dict.fromkeys(changed, "changed by an upcaster"),
            )
        return upcast

    def _changed_of_key(self, before: Mapping[str, Wire], after: Mapping[str, Wire]) -> list[str]:
        """Return the attributes that make another key of an item than it is stored under."""
        return [name for name in self.table_key_attributes if after.get(name) != before.get(name)]

    def located(self, item: Mapping[str, Wire]) -> dict[str, object]:
        """Return the context of errors about an item: its table and key."""
        key = {name: item[name] for name in self.table_key_attributes if name in item}
        return {"table_name": self.table_name, "key": self.readable_key(key)}

    def stored_model(self, error: ConditionFailedError) -> T | None:
        """Return the stored item that a failed condition came with, as a model; None when it is no valid one."""
        if not isinstance(error.item, Mapping):
            return None
        try:
            return self.decode(error.item)
        except ValidationError:
            return None

    def with_values(self, model: T, values: Mapping[str, object]) -> T:
        """Return a copy of the model with these field values, the original unchanged."""
        return model.model_copy(update=dict(values)) if values else model

    def settle(self, model: T, values: Mapping[str, object]) -> T:
        """Set on the caller's model what a write has settled, and return it; a frozen model is copied."""
        if model.model_config.get("frozen"):
            return self.with_values(model, values)
        assign(model, dict(values))
        return model
