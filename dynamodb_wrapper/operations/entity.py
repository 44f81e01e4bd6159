"""A model in its table: what every flow needs to know to read and write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import (
    Evolution,
    Item,
    Wire,
    check_size,
    from_json,
    item_json,
    surely_fits,
)
from dynamodb_wrapper.codec.pydantic_internals import assign
from dynamodb_wrapper.exceptions import ConditionFailedError, StoredItemError, ValidationError
from dynamodb_wrapper.operations import key_values
from dynamodb_wrapper.operations.effects import AnswerReader, ItemsReader
from dynamodb_wrapper.operations.entity_keys import EntityKeys

if TYPE_CHECKING:
    from dynamodb_wrapper.expressions import Condition
    from dynamodb_wrapper.operations.plain_patches import PlainPatch
    from dynamodb_wrapper.operations.recalling import AnswerCache

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Entity(EntityKeys[T]):
    """One model in one physical table.

    Attributes:
        cursor_secret: What cursors are signed with.
        evolution: The schema versions of its items, with what brings older ones up to date; None without versions.
        cache: Where answers about the table are kept; None for nowhere.
    """

    cursor_secret: str | None = field(default=None, repr=False)
    evolution: Evolution | None = field(default=None, repr=False)
    cache: AnswerCache | None = field(default=None, repr=False, compare=False)

    def in_zones(self, *, assumed: str | None = None, shown: str | None = None) -> Entity[T]:
        """Return this entity with datetimes read as, or shown in, other zones."""
        if assumed is None and shown is None:
            return self
        return replace(self, codec=self.codec.in_zones(assumed=assumed, shown=shown))

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
