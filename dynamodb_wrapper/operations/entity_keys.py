"""The keys of a model in its table: values as callers have them, and as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, ModelCodec, Wire, read_any
from dynamodb_wrapper.exceptions import ExpressionError, ValidationError
from dynamodb_wrapper.operations import key_values
from dynamodb_wrapper.operations.declaration import GUARD_PREFIX, Declaration
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.key_values import SURELY_SHORT

if TYPE_CHECKING:
    from dynamodb_wrapper.operations.sort_conditions import Partition

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class EntityKeys(Generic[T]):
    """What names the items of one model in one physical table.

    Attributes:
        table_name: The physical table name.
        declaration: Keys, indexes, managed fields.
        codec: The model's codec.
    """

    table_name: str
    declaration: Declaration
    codec: ModelCodec[T]

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

    def located(self, item: Mapping[str, Wire]) -> dict[str, object]:
        """Return the context of errors about an item: its table and key."""
        key = {name: item[name] for name in self.table_key_attributes if name in item}
        return {"table_name": self.table_name, "key": self.readable_key(key)}
