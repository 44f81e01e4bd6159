"""A model in a table whose keys are made of fields: callers give fields, and keys are made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, RefusedValueError, Template, Wire, read_any
from dynamodb_wrapper.codec.templates import fitting, shard_text
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.expressions import Condition, Path
from dynamodb_wrapper.operations import key_values
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.sort_conditions import Partition, SortTemplate

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class TemplateEntity(Entity[T]):
    """An entity with key templates.

    A key is given as ``(pk, sk)``: first what the partition key is made of, then what the sort key is made of beyond
    that. Where that is one field, it is the field's value; where it is several, a tuple or list of values, or a mapping
    by field; where it is none, nothing. A mapping of all the fields as ``pk`` is a key, too.
    """

    def _made_of(self, name: str) -> tuple[str, ...]:
        template = self.declaration.templates.get(name)
        return (name,) if template is None else template.names

    def key(self, pk: object, sk: object = None) -> Item:
        """Return the wire key for field values as the caller has them.

        Raises:
            ValidationError: A part is missing, superfluous, empty, too long or of the wrong type; says which.
        """
        plain = self._plain_fields
        wires = {
            name: (plain[name](value) if name in plain else None) or self.field_wire(name, value)
            for name, value in self._named(pk, sk).items()
        }
        return {
            attribute: self._key_wire(name, [wires[field] for field in made_of])
            for name, attribute, made_of in self._table_key
        }

    @cached_property
    def _table_key(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """The parts of the table's key: names, stored names, and the fields that each is made of."""
        return [(name, self.codec.attribute(name), self._made_of(name)) for name in self.declaration.table_key.fields]

    @cached_property
    def _plain_fields(self) -> dict[str, Callable[[object], Wire | None]]:
        """What writes the values of key fields that are plainly right."""
        return {name: key_values.plain_writer(self.codec.stored_as_it_is(name)) for name in self.declaration.key_fields}

    def field_wire(self, name: str, value: object) -> Wire:
        """Return the stored form of a field's value that a key is made of.

        Raises:
            ValidationError: It is None, or can never be there.
        """
        if value is None:
            raise ValidationError(f"key {name!r} of table {self.table_name!r} cannot be None", {name: "None"})
        try:
            return self.codec.target((name,)).compared(value)
        except ValidationError as error:
            raise ValidationError(
                f"key {name!r} of table {self.table_name!r} cannot be {value!r}: "
                + "; ".join(map(str, error.errors.values())),
                {name: f"{value!r} is not what the field holds"},
                error,
            ) from error

    def _key_wire(self, name: str, wires: Sequence[Wire]) -> Wire:
        template = self.declaration.templates.get(name)
        if template is None:
            wire = wires[0]
        else:
            try:
                wire = {"S": template.text(wires, self.codec.times) or ""}
            except RefusedValueError as refused:
                raise refused.as_validation_error(owner=self._owner) from None
        self._check_key_part(self.codec.attribute(name), wire)
        return wire

    @property
    def _owner(self) -> str:
        return _owner(self)

    def _named(self, pk: object, sk: object) -> dict[str, object]:
        first, second = self.declaration.key_groups
        if sk is None and isinstance(pk, Mapping) and pk.keys() == {*first, *second}:
            return dict(pk)
        return {**self._group(first, pk), **self._group(second, sk)}

    def _group(self, names: tuple[str, ...], given: object) -> dict[str, object]:
        if len(names) == 1 and not isinstance(given, Mapping):
            return {names[0]: given}
        if not names and given is None:
            return {}
        if names and isinstance(given, Mapping) and given.keys() == set(names):
            return dict(given)
        if len(names) > 1 and isinstance(given, tuple | list) and len(given) == len(names):
            return dict(zip(names, given, strict=True))
        raise ValidationError(f"{self._expected_key}; not {given!r:.120}", dict.fromkeys(names, "missing"))

    @property
    def _expected_key(self) -> str:
        halves = [
            names[0] if len(names) == 1 else f"({', '.join(names)})" for names in self.declaration.key_groups if names
        ]
        fields = ", ".join(name for names in self.declaration.key_groups for name in names)
        return f"a key of table {self.table_name!r} is {' and '.join(halves)}, or a mapping of {fields}"

    def key_values(self, key: object) -> tuple[object, object]:
        """Return the values of a key given as one: the first half where there is no second, a pair, or a mapping.

        Raises:
            ValidationError: It has another form.
        """
        if not self.declaration.key_groups[1] or isinstance(key, Mapping):
            return key, None
        if isinstance(key, tuple | list) and len(key) == 2:
            return key[0], key[1]
        raise ValidationError(f"{self._expected_key}; not {key!r:.120}")

    def fields_of_key(self, pk: object, sk: object = None) -> dict[str, object]:
        """Return the fields of a caller's key, typed as the model's."""
        wires = {
            self.codec.attribute(name): self.field_wire(name, value) for name, value in self._named(pk, sk).items()
        }
        return dict(self.codec.decode_partial(wires))

    def _read_key(self, key: Mapping[str, Wire]) -> Item | None:
        """Return the stored values of the fields that a wire key tells; None where it is not made as ours are."""
        wires: Item = {}
        for name in self.declaration.table_key.fields:
            template, attribute = self.declaration.templates.get(name), self.codec.attribute(name)
            if attribute not in key:
                return None
            if template is None:
                wires[attribute] = key[attribute]
                continue
            found = template.read(str(key[attribute].get("S", "")), self.codec.times)
            if found is None:
                return None
            wires |= {self.codec.attribute(field): wire for field, wire in found.items()}
        return wires

    def known_by_key(self, key: Item) -> Mapping[str, object]:
        """Return the fields that a wire key tells, typed as the model's."""
        return self.codec.decode_partial(self._read_key(key) or {})

    def readable_key(self, key: Mapping[str, Wire]) -> dict[str, object]:
        """Return a wire key as the fields it is made of, for errors; as it is stored where it does not tell them."""
        wires = self._read_key(key) or {}
        members = self.codec.shape.by_attribute
        fields = {members[name].name: members[name].shape.read(wire) for name, wire in wires.items()}
        is_told = fields.keys() >= set(self.declaration.key_fields)
        return fields if is_told else {name: read_any(wire) for name, wire in key.items()}

    def _changed_of_key(self, before: Mapping[str, Wire], after: Mapping[str, Wire]) -> list[str]:
        """Return the attributes that make another key of an item: of the key itself, or of what it is made of."""
        parts = [self.codec.attribute(name) for name in self.declaration.key_fields]
        changed = [name for name in parts if after.get(name) != before.get(name)]
        made = [name for name in self.declaration.table_key.fields if name in self.declaration.templates]
        is_same = not changed or all(after.get(name) == self._made(name, after) for name in made)
        return super()._changed_of_key(before, after) or ([] if is_same else changed)

    def _made(self, name: str, item: Mapping[str, Wire]) -> Wire:
        """Return a part of the table's key as an item's fields make it."""
        wires = [item.get(self.codec.attribute(field)) for field in self._made_of(name)]
        with fitting(self._owner):
            return {"S": self.declaration.templates[name].text(wires, self.codec.times) or ""}

    def told_by_key(self, index: Index) -> frozenset[str]:
        """Return the stored names of fields that an index tells beside what it carries: those its keys are made of."""
        templates = self.declaration.templates
        made = [templates[name] for name in (*self.declaration.table_key.fields, *index.fields) if name in templates]
        return frozenset(self.codec.attribute(name) for template in made for name in template.told)

    def with_told(self, item: Item) -> Item:
        """Return an item with the fields that its keys tell, where it has not got them."""
        told: Item = {}
        for name, template in self.declaration.templates.items():
            if name in item:
                found = template.read(str(item[name].get("S", "")), self.codec.times) or {}
                told |= {self.codec.attribute(field): wire for field, wire in found.items()}
        return told | item

    def check_written_key(self, key: Item) -> None:
        """Refuse a key that the model would refuse, where an item may be made under it.

        Raises:
            ValidationError: A part is not what its field takes.
        """
        for name, value in self.known_by_key(key).items():
            self.codec.target((name,)).written(value)

    def check_keys(self, item: Item) -> None:
        """Refuse an item whose key attributes DynamoDB would refuse.

        Raises:
            ValidationError: A part of the table's key is None, or a key attribute is empty, too long or of the wrong
                type.
        """
        for name, attribute, made_of in self._table_key:
            if attribute in item:
                continue
            missing = [part for part in made_of if self.codec.attribute(part) not in item]
            if missing:
                raise ValidationError(
                    f"key {name!r} of table {self.table_name!r} cannot be made: {', '.join(missing)} cannot be None",
                    dict.fromkeys(missing, "missing"),
                )
        super().check_keys(item)

    # --- queries ------------------------------------------------------------------------------------------------

    def partition_fields(self, index: Index) -> tuple[str, ...]:
        """Return the fields whose values name one partition of a key."""
        return tuple(dict.fromkeys(name for part in index.partition for name in self.declaration.asked_of(part)))

    def partition(self, index: Index, values: Sequence[object]) -> Partition:
        """Return what reads one partition, or all of its shards, given a value for each of `partition_fields`.

        Raises:
            ValidationError: A value is not what the key holds.
        """
        given = dict(zip(self.partition_fields(index), values, strict=True))
        wires = {name: self.field_wire(name, value) for name, value in given.items()}
        conditions: list[Condition] = []
        shards: tuple[Condition, ...] = ()
        for name in index.partition:
            template = self.declaration.templates.get(name)
            if template is not None:
                texts = partition_texts(self, template, [wires[field] for field in template.asked])
                conditions.append(Path(name) == texts[0])
                shards = tuple(Path(name) == text for text in texts) if len(texts) > 1 else ()
            else:
                self.key_part(name, given[name])
                conditions.append(Path(name) == given[name])
        sort_key = None
        if len(index.sort) == 1 and (made := self.declaration.templates.get(index.sort[0])) is not None:
            known = {name: wire for name, wire in wires.items() if self._is_known(name, index, made)}
            sort_key = SortTemplate(made, known, self.field_wire, self.codec.times, self._owner)
        return Partition(tuple(conditions), sort_key, shards)

    def _is_known(self, name: str, index: Index, made: Template) -> bool:
        """Whether one partition has one value of a field, as far as a sort key's template tells values apart."""
        template = self.declaration.templates.get(index.partition[0])
        if template is None:
            return True
        part = template.parts[template.names.index(name)]
        return part.is_exact and (part.form != "text" or template.case in (None, made.case))


def partition_texts(entity: Entity[Any], template: Template, wires: Sequence[Wire]) -> list[str]:
    """Return the key of a partition, or of each of its shards, for stored values of what is asked for.

    Raises:
        ValidationError: A value cannot stand in a key.
    """
    with fitting(_owner(entity)):
        text = template.prefix(wires, entity.codec.times)
    texts = [text + shard_text(number) for number in range(template.shards)] or [text]
    entity.check_key_attribute(template.attribute, {"S": texts[0]})
    return texts


def _owner(entity: Entity[Any]) -> str:
    return f"key of table {entity.table_name!r}"
