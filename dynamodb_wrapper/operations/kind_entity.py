"""A model in a table that it shares with others: what is another's is not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Wire
from dynamodb_wrapper.exceptions import ConditionFailedError
from dynamodb_wrapper.expressions import Condition, Stored
from dynamodb_wrapper.operations.template_entity import TemplateEntity

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class KindEntity(TemplateEntity[T]):
    """An entity whose items are told from others in the table by what an attribute says."""

    def found(self, item: Mapping[str, Wire] | T) -> T | None:  # type: ignore[override]  # where there are others
        """Return the model of an item that was read; None for an item of another kind."""
        return None if isinstance(item, Mapping) and not self.is_ours(item) else self.decode(item)

    @property
    def told_by(self) -> tuple[tuple[str], ...]:
        """The attributes that are read along to tell whether there is an item, and whose it is."""
        assert self.declaration.kind is not None
        return ((self.partition_attribute,), (self.declaration.kind.attribute,))

    def is_ours(self, item: Mapping[str, Wire]) -> bool:
        """Whether an item is one of this model."""
        kind = self.declaration.kind
        return kind is not None and item.get(kind.attribute) == kind.wire

    @cached_property
    def only_ours(self) -> Condition | None:  # type: ignore[override]  # where there are others
        """The condition that an item is one of this model."""
        kind = self.declaration.kind
        return None if kind is None else Stored(kind.attribute, kind.wire)

    def stored_model(self, error: ConditionFailedError) -> T | None:
        """Return the stored item that a failed condition came with, as a model; None when it is none of ours."""
        is_ours = isinstance(error.item, Mapping) and self.is_ours(error.item)
        return super().stored_model(error) if is_ours else None
