"""Items of other schema versions, as they are read: brought up to date, or told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.spark.items import Rejected
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.tables import Table, entity_of


class Upcaster:
    """Brings items to the repository's schema version.

    Args:
        entity: The model in its table.
        options: The options of the read: with ``on_mismatch`` ``quarantine``, an item that cannot be brought up to date
            is left out; else it is an error.
        rejected: Takes the items that are left out.
    """

    def __init__(self, entity: Entity[Any], options: Options, rejected: Callable[[Rejected], object]) -> None:
        assert entity.evolution is not None
        self._entity = entity
        self._attribute = entity.evolution.options.attribute
        self._leaves_out = options.on_mismatch == "quarantine"
        self._rejected = rejected

    @classmethod
    def of(
        cls, table: Table, options: Options, config: DynamoDBConfig, rejected: Callable[[Rejected], object]
    ) -> Upcaster | None:
        """Return what brings the items of a table up to date; None where they have no versions."""
        entity = None if table.versions is None else entity_of(options, config)
        return None if entity is None else cls(entity, options, rejected)

    def items(self, items: Iterable[Item]) -> list[Item]:
        """Return the items as they are in the current version, without those that are left out.

        Raises:
            SchemaVersionError: One is newer than known, or older than read, and that is to fail.
            ValidationError: An upcaster failed, and that is to fail.
        """
        return [current for item in items if (current := self.item(item)) is not None]

    def item(self, item: Item, whole: Item | None = None) -> Item | None:
        """Return an item as it is in the current version; None if it is left out.

        Args:
            item: The item.
            whole: What is left out instead of it, where it is a part of that.
        """
        try:
            return dict(self._entity.current_item(item))
        except ValidationError as error:
            if not self._leaves_out:
                raise
            self._rejected(Rejected(self._attribute, error.message, item if whole is None else whole))
            return None
