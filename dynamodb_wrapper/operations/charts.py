"""The chart of an entity: which questions its table answers, by which key, and what an answer costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.sizes import positive

READ_UNIT_BYTES = 4096
"""AWS, "Read and write capacity": a read unit reads up to 4 KB strongly consistent, or twice that eventually."""
PAGE_BYTES = 1024 * 1024
"""AWS, "Quotas": what one request of a query or scan reads at most, before it filters."""

_TYPES = {"S": "text", "N": "number", "B": "bytes"}


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One attribute of a key.

    Attributes:
        attribute: Its stored name.
        type: ``"text"``, ``"number"`` or ``"bytes"``.
        fields: The fields it comes from.
        derived: Whether it is computed from these, rather than the field itself.
        sparse: Whether items may lack it, and are then not in the index.
    """

    attribute: str
    type: str
    fields: tuple[str, ...]
    derived: bool = False
    sparse: bool = False

    def __str__(self) -> str:
        derived = f" from {', '.join(self.fields)}" if self.derived else ""
        return f"{self.attribute} ({self.type}{derived}{', sparse' if self.sparse else ''})"


@dataclass(frozen=True, slots=True)
class ReadUnits:
    """What a page of a query costs in read units: of 1 MB, the largest, or of as many items as were asked about."""

    eventually: float
    consistently: float | None

    def __str__(self) -> str:
        strong = "" if self.consistently is None else f" ({self.consistently:g} consistently)"
        return f"{self.eventually:g}{strong}"


@dataclass(frozen=True, slots=True)
class ChartedPattern:
    """One question the table answers.

    Attributes:
        names: What the repository calls it; none for a key or an index without an access pattern of its own.
        index: The index's name; None for the table itself.
        kind: Whether that is the table, a global or a local index.
        partition: The parts of the partition key, all of which a query gives.
        sort: The parts of the sort key, which a query gives left to right.
        projection: ``"ALL"``, or the attributes the index carries.
        consistent: Whether it can be read strongly consistent.
        read_units: What a page costs.
    """

    names: tuple[str, ...]
    index: str | None
    kind: Literal["table", "global index", "local index"]
    partition: tuple[KeyPart, ...]
    sort: tuple[KeyPart, ...]
    projection: Literal["ALL"] | tuple[str, ...]
    consistent: bool
    read_units: ReadUnits


@dataclass(frozen=True, slots=True)
class EntityChart:
    """What a repository keeps in its table, and which questions that answers.

    Attributes:
        repository: The repository class.
        model: The model class.
        table_name: The physical table.
        patterns: The table's own key first, then the indexes.
        page: What a page is in the estimates of read units.
        managed: Fields the library takes care of, by what they are for.
        unique: Fields with unique values, each with those it is unique within.
        schema: The JSON Schema of an item, see `to_json_schema`.
    """

    repository: str
    model: str
    table_name: str
    patterns: tuple[ChartedPattern, ...]
    page: str
    managed: Mapping[str, str] = field(default_factory=dict)
    unique: tuple[tuple[str, ...], ...] = ()
    schema: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_text(self) -> str:
        """Return the chart as aligned text, for a terminal."""
        rows = [_HEADINGS, *map(_row, self.patterns)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([f"{self.model} in {self.table_name} ({self.repository})", "", *table, "", *self._notes()])

    def to_markdown(self) -> str:
        """Return the chart as Markdown, with a table of the patterns."""
        rows = [_HEADINGS, ["---"] * len(_HEADINGS), *map(_row, self.patterns)]
        table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        notes = [f"- {note}" for note in self._notes()]
        title = f"## {self.model}"
        return "\n".join([title, "", f"`{self.table_name}`, kept by `{self.repository}`.", "", *table, "", *notes, ""])

    def to_json(self) -> str:
        """Return the chart as JSON text; ``schema`` in it is the JSON Schema of an item."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def to_json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of an item: the model's, by stored names, with derived attributes.

        ``x-dynamodb-type`` of a property names the DynamoDB types its values have (``"S"``, ``"N"``, ``"M"``, ...).
        """
        return dict(self.schema)

    def _notes(self) -> list[str]:
        notes = [f"{purpose}: {name}" for purpose, name in self.managed.items()]
        notes += [f"unique: {fields[0]}" + _within(fields[1:]) for fields in self.unique]
        return [*notes, f"read units are of {self.page}"]


_HEADINGS = ["Pattern", "Reads", "Partition key", "Sort key", "Carries", "Consistent", "Read units"]


def charted(
    entity: Entity[Any],
    names: Mapping[str, Index],
    *,
    page_size: int,
    item_bytes: int | None = None,
) -> EntityChart:
    """Return the chart of an entity.

    Args:
        entity: The entity.
        names: Its access patterns, by what the repository calls them.
        page_size: How many items a page has.
        item_bytes: How large an item is; None for pages of 1 MB, whatever is in them.

    Raises:
        ValidationError: One of them is no positive number.
    """
    items = positive("page_size", page_size)
    size = None if item_bytes is None else positive("item_bytes", item_bytes)
    declaration = entity.declaration
    page_bytes = PAGE_BYTES if size is None else min(PAGE_BYTES, items * size)
    managed = {
        "optimistic lock": declaration.version,
        "expires by": declaration.ttl,
        "set on creation": declaration.created_at,
        "moved by every write": declaration.updated_at,
    }
    return EntityChart(
        repository=declaration.owner,
        model=entity.codec.model_class.__name__,
        table_name=entity.table_name,
        patterns=tuple(
            _pattern(entity, index, [name for name, bound in names.items() if bound == index], page_bytes)
            for index in (declaration.table_key, *declaration.indexes)
        ),
        page="a page of 1 MB" if size is None else f"a page of {items} items of {size:,} bytes",
        managed={purpose: entity.codec.attribute(name) for purpose, name in managed.items() if name is not None},
        unique=tuple(entry.fields for entry in declaration.unique),
        schema=_schema(entity),
    )


def read_units(size: int, *, can_be_consistent: bool) -> ReadUnits:
    """Return what reading so many bytes costs: query and scan round the sum of a page up, not each item."""
    units = ceil(size / READ_UNIT_BYTES)
    return ReadUnits(units / 2, float(units) if can_be_consistent else None)


def _pattern(entity: Entity[Any], index: Index, names: Sequence[str], page_bytes: int) -> ChartedPattern:
    is_global = index.name is not None and not index.local
    parts = {name: _part(entity, name, is_sparse=index.name is not None) for name in index.fields}
    return ChartedPattern(
        names=tuple(names),
        index=index.name,
        kind="table" if index.name is None else "global index" if is_global else "local index",
        partition=tuple(parts[name] for name in index.partition),
        sort=tuple(parts[name] for name in index.sort),
        projection=_carried(entity, index),
        consistent=not is_global,
        read_units=read_units(page_bytes, can_be_consistent=not is_global),
    )


def _part(entity: Entity[Any], name: str, *, is_sparse: bool) -> KeyPart:
    derived = next((entry for entry in entity.declaration.derived if entry.attribute == name), None)
    attribute = entity.codec.attribute(name)
    member = entity.codec.member(name)
    may_lack = derived is not None or (member is not None and member.shape.nullable)
    fields = (name,) if derived is None else derived.fields
    is_optional = is_sparse and attribute not in entity.table_key_attributes and may_lack
    return KeyPart(attribute, _TYPES[entity.key_tags[attribute]], fields, derived is not None, is_optional)


def _carried(entity: Entity[Any], index: Index) -> Literal["ALL"] | tuple[str, ...]:
    if index.projection == "ALL":
        return "ALL"
    extra = () if index.projection == "KEYS_ONLY" else index.projection
    keys = (*entity.table_key_attributes, *entity.key_attributes(index))
    return tuple(dict.fromkeys((*keys, *(entity.codec.attribute(name) for name in extra))))


def _row(pattern: ChartedPattern) -> list[str]:
    return [
        ", ".join(pattern.names) or "-",
        "table" if pattern.index is None else f"{pattern.kind} {pattern.index}",
        ", ".join(map(str, pattern.partition)),
        ", ".join(map(str, pattern.sort)) or "-",
        "everything" if pattern.projection == "ALL" else ", ".join(pattern.projection),
        "possible" if pattern.consistent else "no",
        str(pattern.read_units),
    ]


def _within(fields: Sequence[str]) -> str:
    return f" within {', '.join(fields)}" if fields else ""


# --- the schema of an item ------------------------------------------------------------------------------------------


class _Lenient(GenerateJsonSchema):
    """Describes what has no JSON Schema as anything, instead of refusing the model."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:
        return {"description": f"no JSON Schema: {error_info}"}


def _schema(entity: Entity[Any]) -> dict[str, Any]:
    """Return the model's schema by stored names, with the DynamoDB types."""
    schema: dict[str, Any] = entity.codec.model_class.model_json_schema(
        by_alias=True, mode="serialization", schema_generator=_Lenient
    )
    # A model that contains itself is only referred to; old versions of Pydantic do so within allOf.
    references = schema.get("allOf", [schema])
    if len(references) == 1 and "$ref" in references[0]:
        schema = {**schema["$defs"][references[0]["$ref"].rpartition("/")[2]], "$defs": schema["$defs"]}
    properties: dict[str, Any] = dict(schema.get("properties", {}))
    for member in entity.codec.shape.by_name.values():
        if member.info.exclude is True:
            continue
        known = properties.get(member.attribute, {})
        if member.name in entity.declaration.stored_forms:
            known = {"description": "stored in a form of its own"}
        tags = sorted(member.shape.tags)
        properties[member.attribute] = {**known, "x-dynamodb-type": tags} if tags else known
    for entry in entity.declaration.derived:
        kind = "number" if entry.tag == "N" else "string"
        properties[entry.attribute] = {
            "type": kind,
            "description": f"derived from {', '.join(entry.fields) or 'the model'}",
            "readOnly": True,
            "x-dynamodb-type": [entry.tag],
        }
    return {**schema, "properties": properties}
