"""The async skin of the document-level client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from dynamodb_wrapper.client.foundation import DESTROYED, ClientFoundation
from dynamodb_wrapper.exceptions import ConnectionError
from dynamodb_wrapper.operations import document_batches, document_trees, documents
from dynamodb_wrapper.operations.batches import BatchOptions, BatchProgress
from dynamodb_wrapper.operations.document_batches import BatchSummary
from dynamodb_wrapper.operations.document_keywords import (
    BatchGetKeywords,
    BatchWriteKeywords,
    DeleteKeywords,
    GetKeywords,
    PutKeywords,
    QueryKeywords,
    ScanKeywords,
    TransactGetKeywords,
    TransactWriteKeywords,
    UpdateKeywords,
)
from dynamodb_wrapper.operations.document_trees import Links
from dynamodb_wrapper.operations.documents import Answer
from dynamodb_wrapper.operations.trees import TreeWithMetadata
from dynamodb_wrapper.transport import HealthReport
from dynamodb_wrapper.transport.health import not_asked

if TYPE_CHECKING:
    from dynamodb_wrapper.transport.async_driver import AsyncDriver


class AsyncDocumentClient(ClientFoundation):
    """DynamoDB's operations on plain dicts: boto3's keywords and answers, with Python values in both.

    Made by `get_async_dynamodb_client`; safe to share between tasks. In answers, whole numbers are int and others
    Decimal, binary is bytes, sets are sets. In requests, a float is stored as its shortest decimal; NaN, infinity,
    empty sets and sets of mixed types are refused. Expressions are text, or boto3's conditions
    (``Attr("total").gt(100)``), or this library's (``F.total > 100``). Table names are physical: no prefix is added.

    What is refused before anything is sent raises `ValidationError`: a keyword that DynamoDB's operation does not have,
    one that is missing or None, a value that cannot be stored.

    Attributes:
        config: The configuration.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.destroy()

    # --- one item -------------------------------------------------------------------------------------------------

    async def get(self, **keywords: Unpack[GetKeywords]) -> Answer:
        """Read one item: ``Item`` is in the answer if there is one.

        Args:
            **keywords: Of boto3's ``get_item``: ``TableName``, ``Key``, ``ConsistentRead``, ...
        """
        return await self._driver.run(documents.perform(self._documents, "GetItem", keywords))

    async def put(self, **keywords: Unpack[PutKeywords]) -> Answer:
        """Write a whole item over what is there.

        Args:
            **keywords: Of boto3's ``put_item``: ``TableName``, ``Item``, ``ConditionExpression``, ``ReturnValues``, ...

        Raises:
            ConditionFailedError: The condition was false; ``item`` is what is stored.
            ItemTooLargeError: The item is over 400 KB.
            WriteOutcomeUnknownError: The answer was lost, and the write has a condition or returns old values, so that
                repeating it does not tell.
        """
        return await self._driver.run(documents.perform(self._documents, "PutItem", keywords))

    async def update(self, **keywords: Unpack[UpdateKeywords]) -> Answer:
        """Change attributes of an item, which is made when there is none and no condition says otherwise.

        Args:
            **keywords: Of boto3's ``update_item``: ``TableName``, ``Key``, ``UpdateExpression``, ``ReturnValues``, ...

        Raises:
            ConditionFailedError: The condition was false; ``item`` is what is stored.
            WriteOutcomeUnknownError: The answer was lost; an update is never sent again then.
        """
        return await self._driver.run(documents.perform(self._documents, "UpdateItem", keywords))

    async def delete(self, **keywords: Unpack[DeleteKeywords]) -> Answer:
        """Delete an item; it is no error when there is none.

        Args:
            **keywords: Of boto3's ``delete_item``: ``TableName``, ``Key``, ``ConditionExpression``, ...

        Raises:
            ConditionFailedError: The condition was false; ``item`` is what is stored.
            WriteOutcomeUnknownError: The answer was lost, and the delete has a condition or returns old values, so that
                repeating it does not tell.
        """
        return await self._driver.run(documents.perform(self._documents, "DeleteItem", keywords))

    # --- many items -----------------------------------------------------------------------------------------------

    async def query(self, **keywords: Unpack[QueryKeywords]) -> Answer:
        """Read one page of items with a partition key: ``Items``, ``Count``, and ``LastEvaluatedKey`` if more follow.

        Args:
            **keywords: Of boto3's ``query``. ``Limit`` is how many items DynamoDB looks at, before it filters. An
                ``ExclusiveStartKey`` of None starts at the beginning.
        """
        return await self._driver.run(documents.perform(self._documents, "Query", keywords))

    async def scan(self, **keywords: Unpack[ScanKeywords]) -> Answer:
        """Read one page of a table or index: ``Items``, ``Count``, and ``LastEvaluatedKey`` if more follow.

        Args:
            **keywords: Of boto3's ``scan``; ``Limit`` and ``ExclusiveStartKey`` as in `query`.
        """
        return await self._driver.run(documents.perform(self._documents, "Scan", keywords))

    def iter_query(self, **keywords: Unpack[QueryKeywords]) -> AsyncIterator[dict[str, Any]]:
        """Yield the items of all pages of a query, reading a page when it is needed.

        Args:
            **keywords: As in `query`; ``Limit`` is the size of a page.
        """
        return self._driver.stream(documents.stream(self._documents, "Query", keywords))

    def iter_scan(self, **keywords: Unpack[ScanKeywords]) -> AsyncIterator[dict[str, Any]]:
        """Yield the items of all pages of a scan, reading a page when it is needed.

        Args:
            **keywords: As in `scan`; ``Limit`` is the size of a page.
        """
        return self._driver.stream(documents.stream(self._documents, "Scan", keywords))

    async def batch_get(self, **keywords: Unpack[BatchGetKeywords]) -> Answer:
        """Read any number of items by key: ``Responses`` has those there are, by table, in the order asked.

        Chunked, and repeated until every key is answered: ``UnprocessedKeys`` is always empty. A key that is asked for
        twice is answered twice.

        Args:
            **keywords: Of boto3's ``batch_get_item``: ``RequestItems``.

        Raises:
            BatchIncompleteError: DynamoDB left keys out too often; ``unprocessed`` has each as a ``RequestItems``.
        """
        return await self._driver.run(document_batches.get(self._documents, keywords))

    async def batch_write(self, **keywords: Unpack[BatchWriteKeywords]) -> Answer:
        """Put and delete any number of items, each on its own: ``UnprocessedItems`` is always empty.

        Chunked and repeated as `batch_operations` is.

        Args:
            **keywords: Of boto3's ``batch_write_item``: ``RequestItems``.

        Raises:
            BatchIncompleteError: DynamoDB left writes out too often; ``unprocessed`` has each as a ``RequestItems``.
        """
        return await self._driver.run(document_batches.write(self._documents, keywords))

    async def batch_operations(
        self,
        operations: Iterable[Mapping[str, Any]],
        *,
        concurrency: int = 4,
        progress: Callable[[BatchProgress], object] | None = None,
    ) -> BatchSummary:
        """Put and delete any number of items of any tables, each on its own, and return how many.

        Sent in chunks, several at a time; what DynamoDB leaves out is sent again. Of several operations on one key the
        last one is done. Each table is asked once for the names of its key (``DescribeTable``). All operations are
        checked, and held in memory, before the first is sent.

        Args:
            operations: Dicts like ``{"type": "put", "tableName": "t", "item": {...}}`` and
                ``{"type": "delete", "table_name": "t", "key": {...}}``.
            concurrency: How many requests are on their way at a time.
            progress: Is told how far the batch is, after each request.

        Raises:
            ValidationError: An operation is not like that, or lacks a key; says which. Nothing was sent.
            BatchIncompleteError: DynamoDB left writes out too often; ``unprocessed`` has the operations not done.
        """
        return await self._driver.run(
            document_batches.operate(self._documents, operations, BatchOptions(concurrency, progress=progress))
        )

    # --- transactions ---------------------------------------------------------------------------------------------

    async def transact_write(self, **keywords: Unpack[TransactWriteKeywords]) -> Answer:
        """Do up to 100 writes and checks together, or none of them.

        Args:
            **keywords: Of boto3's ``transact_write_items``: ``TransactItems``, ``ClientRequestToken``, ... Without a
                token one is made, so that a repeated request is applied once.

        Raises:
            TransactionCanceledError: Nothing was written; ``reasons`` has one entry per action, in order.
        """
        return await self._driver.run(documents.transact_write(self._documents, keywords))

    async def transact_get(self, **keywords: Unpack[TransactGetKeywords]) -> Answer:
        """Read up to 100 items as they are at one moment: ``Responses`` has one entry per action, ``{}`` for no item.

        Args:
            **keywords: Of boto3's ``transact_get_items``: ``TransactItems``, ...

        Raises:
            TransactionCanceledError: Writers were in the way.
        """
        return await self._driver.run(documents.transact_get(self._documents, keywords))

    # --- trees ----------------------------------------------------------------------------------------------------

    @overload
    async def read_tree(
        self,
        table: str,
        root: object,
        *,
        max_depth: int = 10,
        include_metadata: Literal[False] = False,
        id: str = "id",
        parent: str = "parent",
        index: str = "parent-index",
        children: str = "children",
        concurrency: int = 4,
    ) -> dict[str, Any]: ...

    @overload
    async def read_tree(
        self,
        table: str,
        root: object,
        *,
        max_depth: int = 10,
        include_metadata: Literal[True],
        id: str = "id",
        parent: str = "parent",
        index: str = "parent-index",
        children: str = "children",
        concurrency: int = 4,
    ) -> TreeWithMetadata[dict[str, Any]]: ...

    async def read_tree(
        self,
        table: str,
        root: object,
        *,
        max_depth: int = 10,
        include_metadata: bool = False,
        id: str = "id",  # the contract's name
        parent: str = "parent",
        index: str = "parent-index",
        children: str = "children",
        concurrency: int = 4,
    ) -> dict[str, Any] | TreeWithMetadata[dict[str, Any]]:
        """Return an item with the items below it: each a dict of its attributes, its children under ``children``.

        Level by level, one query per item, those of a level run together; children are in the order of the index. The
        root is read consistently; a global index may lag a moment behind. A link back to an item above is cut.

        Args:
            table: The physical table.
            root: The ``id`` of the root, or its primary key as a dict where that has more parts or another name.
            max_depth: How many levels to read, the root's included.
            include_metadata: Whether to return the tree with what it looks like: ``.tree``, and ``.metadata`` with
                ``node_count``, ``depth``, ``root_id``, ``complete``, ``cycles`` and ``orphans``.
            id: The attribute that tells items apart, in the whole table.
            parent: The attribute with the ``id`` of an item's parent.
            index: The index whose partition key is ``parent``; nodes below the root have what it projects.
            children: The name under which a node has its children.
            concurrency: How many queries run at a time.

        Raises:
            ItemNotFoundError: There is no such root.
            ValidationError: An item has an attribute of its own where its children are to be.
        """
        return await self._driver.run(
            document_trees.read(
                self._documents,
                Links(table, id, parent, index, children),
                root,
                max_depth=max_depth,
                include_metadata=include_metadata,
                concurrency=concurrency,
            )
        )

    # --- the client itself ----------------------------------------------------------------------------------------

    async def health_check(self, *, timeout_seconds: float = 5.0) -> bool:
        """Return whether DynamoDB answers now, within the timeout; False once destroyed. Never raises."""
        return (await self.health_report(timeout_seconds=timeout_seconds)).healthy

    async def health_report(self, *, timeout_seconds: float = 5.0, table_name: str | None = None) -> HealthReport:
        """Return how DynamoDB is now, and a table if one is named, within the timeout; never raises.

        Once destroyed, it is not asked: the report says so.
        """
        if self._destroyed:
            return not_asked(ConnectionError(DESTROYED))
        return self._pool.with_lane(
            await self._pool.async_driver.health_report(timeout_seconds=timeout_seconds, table_name=table_name)
        )

    async def destroy(self) -> None:
        """Close the sockets and refuse further use; destroying twice is fine.

        Others that share the pool, repositories for example, connect anew when they are next used.
        """
        if not self._destroyed:
            self._destroyed = True
            await self._pool.async_disconnect()

    @property
    def _driver(self) -> AsyncDriver:
        return self._connection.async_driver.limited(timeout=self._timeout, max_attempts=self._max_attempts)
