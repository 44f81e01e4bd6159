"""`BaseDynamoRepository`: subclass it for an entity, and read and write Pydantic models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar, overload

from pydantic import BaseModel

from dynamodb_wrapper import expressions
from dynamodb_wrapper.codec import PartialItem
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.operations import dynamodb_keywords, items, patches, queries
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.repositories import query as reading
from dynamodb_wrapper.repositories.batching import BatchMethods
from dynamodb_wrapper.repositories.caching import CacheMethods
from dynamodb_wrapper.repositories.gathering import CollectionMethods
from dynamodb_wrapper.repositories.migrating import MigrationMethods
from dynamodb_wrapper.repositories.patterns import BoundAccessPattern
from dynamodb_wrapper.repositories.scanning import ScanMethods
from dynamodb_wrapper.repositories.tables import TableMethods
from dynamodb_wrapper.repositories.transactions import TransactionMethods
from dynamodb_wrapper.repositories.trees import TreeMethods

T = TypeVar("T", bound=BaseModel)


class BaseDynamoRepository(
    TransactionMethods[T],
    BatchMethods[T],
    CollectionMethods[T],
    ScanMethods[T],
    TreeMethods[T],
    MigrationMethods[T],
    CacheMethods[T],
    TableMethods[T],
):
    """Reads and writes models of one class in one table.

    Declare the table in a subclass, with class attributes or with properties of the same names::

        class OrderRepository(BaseDynamoRepository[Order]):
            table_name = "orders"
            primary_key = "customer_id"
            sort_key = "order_id"
            by_status = AccessPattern("by_status", partition="status", sort="placed_at")

    A wrong declaration is refused when the class is made. Repositories are cheap and safe to share between threads:
    all of one configuration use one connection pool.

    The class attributes it may declare are those of `RepositoryFoundation`.
    """

    def __init__(self, config: DynamoDBConfig) -> None:
        """Use a configuration; nothing is opened or read before the first request.

        Raises:
            ValidationError: ``config`` is no `DynamoDBConfig`.
            DeclarationError: The class declares no usable table.
        """
        super().__init__(config)
        self._driver = self._connection.driver

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets of the connection, which every repository of this configuration uses.

        Whoever uses it next, this repository or another, connects anew.
        """
        self._connection.disconnect()

    # --- one item -----------------------------------------------------------------------------------------------

    def create(self, model: T) -> T:
        """Write a new item and return the model, never overwriting one.

        Sets the version (to 1), ``created_at`` and ``updated_at`` on the model once the write has succeeded; a frozen
        model is returned as a copy.

        Raises:
            ItemAlreadyExistsError: An item with that key exists; it is in ``.item``.
            ValidationError: The model holds what DynamoDB cannot store.
        """
        return self._driver.run(items.create(self._entity, model))

    def put(self, model: T) -> T:
        """Write an item, replacing what is there, and return the model.

        Raises:
            VersionConflictError: The repository is versioned, and another writer changed the item since it was read.
            ValidationError: The model holds what DynamoDB cannot store.
        """
        return self._driver.run(items.put(self._entity, model))

    @overload
    def get(self, pk: object, sk: object = None, *, consistent: bool = False, attributes: None = None) -> T | None: ...

    @overload
    def get(
        self, pk: object, sk: object = None, *, consistent: bool = False, attributes: Sequence[str | expressions.Path]
    ) -> PartialItem | None: ...

    def get(
        self,
        pk: object,
        sk: object = None,
        *,
        consistent: bool = False,
        attributes: Sequence[str | expressions.Path] | None = None,
    ) -> T | PartialItem | None:
        """Return the item under a key as a model, or None.

        Args:
            pk: The partition key's value.
            sk: The sort key's value, if the table has one.
            consistent: Read strongly consistent (twice the capacity).
            attributes: Read these attributes only, as a `PartialItem` instead of a model.

        Raises:
            ValidationError: The key is not one of this table, or the stored item is no valid model.
        """
        return self._driver.run(items.read(self._entity, (pk, sk), attributes, consistent=consistent))

    @overload
    def get_or_raise(
        self, pk: object, sk: object = None, *, consistent: bool = False, attributes: None = None
    ) -> T: ...

    @overload
    def get_or_raise(
        self, pk: object, sk: object = None, *, consistent: bool = False, attributes: Sequence[str | expressions.Path]
    ) -> PartialItem: ...

    def get_or_raise(
        self,
        pk: object,
        sk: object = None,
        *,
        consistent: bool = False,
        attributes: Sequence[str | expressions.Path] | None = None,
    ) -> T | PartialItem:
        """Return the item under a key as `get` does, but never None.

        Raises:
            ItemNotFoundError: There is no such item; names table and key.
            ValidationError: The key is not one of this table, or the stored item is no valid model.
        """
        return self._driver.run(items.read_or_raise(self._entity, (pk, sk), attributes, consistent=consistent))

    def get_raw(self, pk: object, sk: object = None, *, consistent: bool = False) -> dict[str, Any] | None:
        """Return everything stored under a key as plain Python values, or None.

        Nothing is validated: the way to look at an item that is no valid model (any more).
        """
        return self._driver.run(items.get_raw(self._entity, (pk, sk), consistent=consistent))

    def exists(self, pk: object, sk: object = None, *, consistent: bool = False) -> bool:
        """Return whether there is an item under a key, without reading its attributes."""
        return self._driver.run(items.exists(self._entity, (pk, sk), consistent=consistent))

    def update(self, model: T) -> T:
        """Replace an existing item and return the model.

        With ``version_attribute``, only the version that was read is replaced, and the model's version moves (by 1)
        once the write has succeeded. Version 0 or None means never stored, so such a model conflicts.

        Raises:
            ItemNotFoundError: There is no item with that key.
            VersionConflictError: Another writer changed the item since it was read; what is stored is in ``.item``.
            ValidationError: The model holds what DynamoDB cannot store.
        """
        return self._driver.run(items.update(self._entity, model))

    def patch(
        self,
        pk: object,
        sk: object = None,
        /,
        changes: Mapping[str | expressions.Path, object] | None = None,
        *,
        when: expressions.AnyCondition | None = None,
        upsert: bool = False,
        **fields: object,
    ) -> T:
        """Change attributes of one item atomically and return the new model.

        Changes are new values or actions: ``patch("c1", "o1", total=Add(5), status="paid", note=Remove())``; places
        inside an attribute go into ``changes``: ``{"address.city": "Bath"}`` or ``{F.address.city: "Bath"}``. The
        version, ``updated_at`` and derived index keys are kept right.

        Args:
            pk: The partition key's value.
            sk: The sort key's value, if the table has one.
            changes: Places to new values or actions.
            when: Change only where this holds.
            upsert: Create the item if there is none; every required field must then be given.
            fields: Fields to new values or actions.

        Raises:
            ItemNotFoundError: There is no such item.
            ConditionFailedError: ``when`` did not hold; what is stored is in ``.item``.
            ValidationError: A value is not one for its field, or a change is not possible.
        """
        return self._driver.run(patches.patch(self._entity, (pk, sk), changes, fields, when=when, upsert=upsert))

    def delete(self, pk: object, sk: object = None, *, when: expressions.AnyCondition | None = None) -> bool:
        """Delete an item; True if one was there.

        When an answer is lost, the delete is repeated; False may then mean that the first try deleted the item.

        Raises:
            ConditionFailedError: ``when`` did not hold; nothing was deleted.
        """
        return self._driver.run(items.delete(self._entity, (pk, sk), when=when))

    # --- many items ---------------------------------------------------------------------------------------------

    def list_all(self) -> list[T]:
        """Read the whole table into a list. For more than a few thousand items, iterate over `scan` instead."""
        return self.scan().all()

    def scan(self, *, index: str | None = None) -> reading.Query[T]:
        """Return a lazy query over every item of the table, or of a declared index (by its name)."""
        return reading.Query(self._driver, self._selection(index))

    def query(self, *partition: object, index: str | None = None) -> reading.Query[T]:
        """Return a lazy query for one partition of the table, or of a declared index (by its name).

        Raises:
            ValidationError: A partition value is missing, or not what the key holds.
        """
        return reading.Query(self._driver, self._selection(index).from_key(*partition))

    def query_by_pk(self, pk: object, **kwargs: Any) -> list[T]:
        """Read every item under a partition key.

        Args:
            pk: The partition key's value (of the index, with ``IndexName``).
            kwargs: DynamoDB's own query keywords: ``Limit`` (how many items are returned), ``ScanIndexForward``,
                ``FilterExpression``, ``KeyConditionExpression`` (on the sort key), ``ConsistentRead``, ``IndexName``,
                ``ExclusiveStartKey``, ``ExpressionAttributeNames``, ``ExpressionAttributeValues``. Expressions are
                strings or boto3 conditions; values are Python values.

        Raises:
            ValidationError: The key or a keyword is not one of this table.
        """
        chosen = dynamodb_keywords.with_keywords(lambda name: self._selection(name).from_key(pk), kwargs)
        return reading.Query(self._driver, chosen).all()

    def count(self, *partition: object, index: str | None = None, where: expressions.AnyCondition | None = None) -> int:
        """Count items on the server: all of the table (or index), or those of one partition."""
        return self._driver.run(queries.count(self._chosen(partition, index, where)))

    # --- time zones ---------------------------------------------------------------------------------------------

    def get_with_timezone(
        self, pk: object, sk: object = None, user_timezone: str | None = None, *, consistent: bool = False
    ) -> T | None:
        """Return the item under a key with its datetimes shown in a zone (None: as `get` does)."""
        return self._driver.run(items.get(self._entity.in_zones(shown=user_timezone), (pk, sk), consistent=consistent))

    def list_all_with_timezone(self, user_timezone: str | None = None) -> list[T]:
        """Read the whole table with datetimes shown in a zone (None: as `list_all` does)."""
        return self._bound(self._entity.declaration.table_key).shown_in(user_timezone).scan().all()

    def create_with_timezone_context(self, model: T, current_timezone: str | None = None) -> T:
        """Write a new item as `create` does, its naive datetimes taken to be in a zone (None: the configured one).

        On the model that is returned they are aware, so that they stay the same instant in later writes.
        """
        return self._driver.run(items.create_in_zone(self._entity, model, current_timezone))

    # --- for access patterns ------------------------------------------------------------------------------------

    def _bound(self, index: Index, *, cached: bool = False) -> BoundAccessPattern[T]:
        return BoundAccessPattern(self._driver, self._entity, index, cached=cached)
