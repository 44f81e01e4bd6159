"""Partition keys that begin with given fields, as the patterns that IAM compares keys with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dynamodb_wrapper.codec import Template
from dynamodb_wrapper.codec.templates import cased, escaped
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index

_VARIABLE = re.compile(r"(\$\{[^{}]+\})")
_WILDCARD = re.compile(r"[*?]")


def patterns_of(entities: Sequence[Entity[Any]], given: Mapping[str, str]) -> list[str]:
    """Return the patterns of all keys, of tables and of indexes, that begin with these fields.

    Args:
        entities: What is in the tables.
        given: Fields and their values: texts, in which ``${aws:PrincipalTag/tenant}`` and the like are variables.

    Raises:
        ValidationError: The partition key of a table does not begin with all of them, or a value cannot stand in it.
    """
    values: Mapping[str, object] = given
    for name, value in values.items():
        if not isinstance(value, str) or not value:
            raise ValidationError(
                f"leading_keys has texts, not {value!r:.80} for {name!r}", {"leading_keys": "no text"}
            )
    patterns = []
    for entity in entities:
        of_table = _pattern(entity, entity.declaration.table_key, given)
        if of_table is None:
            raise ValidationError(
                f"the partition key of a {entity.codec.model_class.__name__} does not begin with "
                f"{', '.join(given) or 'a field'}, so leading_keys cannot be about it",
                {"leading_keys": ", ".join(given)},
            )
        of_indexes = (_pattern(entity, index, given) for index in entity.declaration.indexes)
        patterns += [of_table, *(pattern for pattern in of_indexes if pattern is not None)]
    return list(dict.fromkeys(patterns))


def begins_with(entity: Entity[Any], index: Index, given: Mapping[str, str]) -> bool:
    """Whether the partition key of an index begins with all of these fields."""
    return _pattern(entity, index, given) is not None


def _pattern(entity: Entity[Any], index: Index, given: Mapping[str, str]) -> str | None:
    name, *others = index.partition
    if others:  # AWS does not say what the condition sees of a key of several attributes
        return None
    template = entity.declaration.templates.get(name)
    if template is None:
        return _as_text(given[name]) if given.keys() == {name} else None
    leading = template.names[: len(given)]
    if not given or set(leading) != given.keys():
        return None
    text = template.literals[0]
    for number, part in enumerate(leading):
        text += _part(template, number, given[part]) + template.literals[number + 1]
    return text if len(leading) == len(template.names) else f"{text}*"


def _part(template: Template, number: int, value: str) -> str:
    """Return a value as a key has it."""
    part = template.parts[number]
    has_variables = bool(_VARIABLE.search(value))
    if part.form in ("datetime", "shard") or part.width or (template.case and has_variables):
        raise ValidationError(
            f"{part.name!r} is not written into the key {template.source!r} as it is, so a policy cannot compare it: "
            "give leading_keys as patterns",
            {"leading_keys": part.name},
        )
    pieces = _VARIABLE.split(cased(value, template.case) if not has_variables else value)
    return "".join(piece if number % 2 else _as_text(escaped(piece)) for number, piece in enumerate(pieces))


def _as_text(value: str) -> str:
    """Return a value in which nothing is a wildcard."""
    return _WILDCARD.sub(lambda found: f"${{{found[0]}}}", value)
