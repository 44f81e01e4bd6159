"""Where the key templates of a repository are stored: each `Key` gets its attribute, and becomes a model's template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from dynamodb_wrapper.codec import Derived, Key, ModelCodec, Template
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations import key_templates
from dynamodb_wrapper.operations.indexes import Index, Projection
from dynamodb_wrapper.repositories.patterns import AccessPattern, ParentPattern, Part
from dynamodb_wrapper.repositories.single_table import SingleTable


@dataclass(slots=True)
class NamedKeys:
    """The keys of one repository, named.

    Attributes:
        owner: The repository class, for errors.
        model_class: The model.
        table: The table that the repository shares, if it does.
        derived: What is stored beside the fields, by attribute.
    """

    owner: str
    model_class: type[BaseModel]
    table: SingleTable | None = None
    derived: dict[str, Derived | Template] = field(default_factory=dict)
    _table: dict[Key, str] = field(default_factory=dict)

    def table_part(self, part: str | Key, default: str, *, is_sorted: bool) -> str:
        """Return the name of a part of the table's key: the field, or the template's attribute.

        Raises:
            DeclarationError: The template cannot work.
        """
        if not isinstance(part, Key):
            if self.table is not None:
                raise DeclarationError(f'{self.owner}: in {self.table!r} keys are templates: Key("{{{part}}}")')
            return part
        attribute = self._attribute(part, default)
        self._table[part] = attribute
        self._add(key_templates.template_of(part, attribute, self.model_class, is_sorted=is_sorted))
        return attribute

    def index(self, pattern: AccessPattern) -> Index:
        """Return the index of a pattern.

        Raises:
            DeclarationError: A template cannot work, or two are stored in one attribute.
        """
        name = pattern.index.name
        partition, sort = ("pk", "sk") if name is None else (f"{name}_pk", f"{name}_sk")
        projection = pattern.index.projection
        if self.table is not None:
            partition, sort = self._in_table(self.table, pattern)
            projection = projection if name is None else self._carried(self.table, name, projection)
        return replace(
            pattern.index,
            projection=projection,
            partition=self._parts(pattern.partition, partition, is_sorted=False),
            sort=self._parts(pattern.sort, sort, is_sorted=True),
        )

    def _in_table(self, table: SingleTable, pattern: AccessPattern) -> tuple[str, str]:
        """Return the attributes that a shared table has for the key of a pattern."""
        name = pattern.index.name
        try:
            attributes = table.key_of(name)
        except DeclarationError as error:
            error.message = f"{self.owner}: {error.message}"
            raise
        parts = (*pattern.partition, *pattern.sort)
        if len(pattern.keys) != len(parts) or len(parts) != len(attributes):
            raise DeclarationError(
                f"{self.owner}: the key of index {name!r} of {table!r} is {', '.join(attributes)}, and a pattern on it "
                f"has a Key for each{_example(pattern)}"
            )
        if pattern.index.local != (name in table.local_indexes):
            kind = "local" if name in table.local_indexes else "global"
            mend = "a tree needs a global one" if isinstance(pattern, ParentPattern) else f"local={kind == 'local'}"
            raise DeclarationError(f"{self.owner}: index {name!r} of {table!r} is {kind}: {mend}")
        return attributes[0], attributes[-1]

    def _carried(self, table: SingleTable, index: str, wanted: Projection) -> Projection:
        """Return what of the model an index of a shared table carries; its pattern may say what it counts on.

        Raises:
            DeclarationError: It counts on more, or on less than everything where everything is carried.
        """
        codec: ModelCodec[Any] = ModelCodec.shared(self.model_class)
        carried = table.carried_by(index)
        if carried is None and wanted != "ALL":
            raise DeclarationError(
                f"{self.owner}: index {index!r} is one for all that is in {table!r}, and carries whole items; what it "
                f"carries instead is said there, as in projections={{{index!r}: ...}}"
            )
        if carried is None:
            return "ALL"
        named = wanted if isinstance(wanted, tuple) else ()
        if missing := [name for name in named if codec.attribute(name) not in carried]:
            raise DeclarationError(
                f"{self.owner}: index {index!r} of {table!r} does not carry {', '.join(missing)}; it carries "
                f"{', '.join(sorted(carried)) or 'keys only'}, as projections={{{index!r}: ...}} says"
            )
        return tuple(name for name in self.model_class.model_fields if codec.attribute(name) in carried) or "KEYS_ONLY"

    def _attribute(self, part: Key, default: str) -> str:
        if self.table is not None and part.attribute not in (None, default):
            raise DeclarationError(f"{self.owner}: {part!r} is stored in {default!r}, as {self.table!r} says")
        return part.attribute or default

    def _parts(self, parts: Iterable[Part], default: str, *, is_sorted: bool) -> tuple[str, ...]:
        return tuple(self._part(part, default, is_sorted=is_sorted) for part in parts)

    def _part(self, part: Part, default: str, *, is_sorted: bool) -> str:
        if isinstance(part, Derived):
            self._add(part)
            return part.attribute
        if not isinstance(part, Key):
            return part
        # What equals the table's key is the table's key, unless a shared table says where it is.
        attribute = self._attribute(part, default if self.table is not None else self._table.get(part, default))
        self._add(key_templates.template_of(part, attribute, self.model_class, is_sorted=is_sorted))
        return attribute

    def _add(self, entry: Derived | Template) -> None:
        if self.derived.setdefault(entry.attribute, entry) != entry:
            raise DeclarationError(
                f"{self.owner}: two keys are stored in the attribute {entry.attribute!r}; give one of them another, as "
                'in Key(..., attribute="name")'
                if isinstance(entry, Template)
                else f"{self.owner}: derived attribute {entry.attribute!r} is declared twice, differently"
            )


def _example(pattern: AccessPattern) -> str:
    """Return, for a pattern of a tree, how its partition is made, as the end of a sentence."""
    if not isinstance(pattern, ParentPattern):
        return ""
    fields = "#".join(f"{{{name}}}" for name in (*pattern.within, pattern.parent))
    return f': partition=Key("{fields}"), and sort=Key(...) where it has a sort key'
