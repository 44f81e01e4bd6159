"""Where the key templates of a repository are stored: each `Key` gets its attribute, and becomes a model's template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pydantic import BaseModel

from dynamodb_wrapper.codec import Derived, Key, Template
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations.declaration import Index
from dynamodb_wrapper.operations.key_templates import template_of
from dynamodb_wrapper.repositories.patterns import AccessPattern, Part


@dataclass(slots=True)
class NamedKeys:
    """The keys of one repository, named.

    Attributes:
        owner: The repository class, for errors.
        model_class: The model.
        derived: What is stored beside the fields, by attribute.
    """

    owner: str
    model_class: type[BaseModel]
    derived: dict[str, Derived | Template] = field(default_factory=dict)
    _table: dict[Key, str] = field(default_factory=dict)

    def table_part(self, part: str | Key, default: str, *, is_sorted: bool) -> str:
        """Return the name of a part of the table's key: the field, or the template's attribute.

        Raises:
            DeclarationError: The template cannot work.
        """
        if not isinstance(part, Key):
            return part
        attribute = part.attribute or default
        self._table[part] = attribute
        self._add(template_of(part, attribute, self.model_class, is_sorted=is_sorted))
        return attribute

    def index(self, pattern: AccessPattern) -> Index:
        """Return the index of a pattern.

        Raises:
            DeclarationError: A template cannot work, or two are stored in one attribute.
        """
        name = pattern.index.name
        return replace(
            pattern.index,
            partition=self._parts(pattern.partition, "pk" if name is None else f"{name}_pk", is_sorted=False),
            sort=self._parts(pattern.sort, "sk" if name is None else f"{name}_sk", is_sorted=True),
        )

    def _parts(self, parts: Iterable[Part], default: str, *, is_sorted: bool) -> tuple[str, ...]:
        return tuple(self._part(part, default, is_sorted=is_sorted) for part in parts)

    def _part(self, part: Part, default: str, *, is_sorted: bool) -> str:
        if isinstance(part, Derived):
            self._add(part)
            return part.attribute
        if not isinstance(part, Key):
            return part
        attribute = part.attribute or self._table.get(part, default)  # what equals the table's key is the table's key
        self._add(template_of(part, attribute, self.model_class, is_sorted=is_sorted))
        return attribute

    def _add(self, entry: Derived | Template) -> None:
        if self.derived.setdefault(entry.attribute, entry) != entry:
            raise DeclarationError(
                f"{self.owner}: two keys are stored in the attribute {entry.attribute!r}; give one of them another, as "
                'in Key(..., attribute="name")'
                if isinstance(entry, Template)
                else f"{self.owner}: derived attribute {entry.attribute!r} is declared twice, differently"
            )
