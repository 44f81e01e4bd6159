"""The method of a repository that reads items of several kinds."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, ModelCodec, upcaster_names
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations import gathering, kind_entity, selection
from dynamodb_wrapper.operations.declaration import Declaration
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.repositories import collections
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.transport import SyncDriver

T = TypeVar("T", bound=BaseModel)
C = TypeVar("C", bound="gathering.Collection")


class CollectionFoundation(RepositoryFoundation[T]):
    """What repositories of both colours know of the other kinds in their table."""

    def _gathering(self, collection: type[C]) -> gathering.Gathering[C]:
        table, mine = self.single_table, self._entity
        if table is None:
            raise DeclarationError(f"{type(self).__name__} shares no table: a collection is of a single_table")
        entities = (
            mine if other.kind == mine.declaration.kind else self._entity_of(other, table.owners[kind])
            for kind, other in table.declarations.items()
        )
        return gathering.Gathering.of(collection, table.kind, entities)

    def _entity_of(self, other: Declaration, owner: type[Any]) -> Entity[Any]:
        """Return what reads the items of another repository of the table."""
        times = self._entity.codec.times
        codec: ModelCodec[Any] = other.codec_for(other.model_class, times)
        evolution = None
        if other.evolution is not None:
            evolution = other.evolution.bound(self._upcasting(owner), times)
        return kind_entity.KindEntity(self.table_name, other, codec, self._entity.cursor_secret, evolution)

    def _upcasting(self, owner: type[Any]) -> object:
        """Return what has the upcasters of another repository: its class, or one of it where they are methods."""
        statics = [inspect.getattr_static(owner, name) for name in upcaster_names(owner)]
        if all(isinstance(upcaster, staticmethod | classmethod) for upcaster in statics):
            return owner
        try:
            inspect.signature(owner).bind(self.config)
        except TypeError as error:
            raise DeclarationError(
                f"{owner.__name__} is not made of a configuration alone, so its upcasters cannot be called from here: "
                "make them static methods"
            ) from error
        made: object = owner(self.config)
        return made

    def _partition(self, partition: Sequence[object], index: str | None) -> selection.Selection[Item]:
        table = self._table_entity
        key = table.declaration.table_key if index is None else table.declaration.index(index)
        if key.projection != "ALL":
            raise DeclarationError(
                f"{type(self).__name__}: a collection has whole items, which {index!r} does not carry"
            )
        chosen = self._selection(index).from_key(*partition)
        if chosen.shards:
            raise DeclarationError(f"{type(self).__name__}: a collection is read from one partition, not from shards")
        return selection.Selection(table, key, dict, key_conditions=chosen.partition)


class CollectionMethods(CollectionFoundation[T]):
    """Reads items of several kinds with one query."""

    _driver: SyncDriver

    def collection(self, into: type[C], *partition: object, index: str | None = None) -> collections.CollectionQuery[C]:
        """Return a lazy query for everything in one partition of the shared table, whatever it is.

        ::

            class CustomerItems(Collection):
                customers: list[Customer]
                orders: list[Order]

            found = customers.collection(CustomerItems, "c1").all()
            found.orders, found.unknown

        Args:
            into: The collection: a class with a list for each model.
            partition: The partition, as `query` takes it.
            index: The name of an index that this repository declares a pattern on.

        Raises:
            DeclarationError: The repository shares no table, or the collection has a model that is not in it.
            ValidationError: A partition value is missing, or not what the key holds.
        """
        found = self._gathering(into)
        return collections.CollectionQuery(self._driver, self._partition(partition, index), found)
