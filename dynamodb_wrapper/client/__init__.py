"""The document-level client: DynamoDB's operations on plain dicts, over the same flows and pools as repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.lazy import exported

if TYPE_CHECKING:
    from dynamodb_wrapper.client.async_document_client import AsyncDocumentClient
    from dynamodb_wrapper.client.document_client import DocumentClient
    from dynamodb_wrapper.client.options import get_async_dynamodb_client, get_dynamodb_client
    from dynamodb_wrapper.operations.document_batches import BatchSummary
    from dynamodb_wrapper.operations.trees import TreeMetadata, TreeWithMetadata
else:
    __getattr__, __dir__ = exported(
        __name__,
        {
            "dynamodb_wrapper.client.async_document_client": "AsyncDocumentClient",
            "dynamodb_wrapper.client.document_client": "DocumentClient",
            "dynamodb_wrapper.client.options": "get_async_dynamodb_client get_dynamodb_client",
            "dynamodb_wrapper.operations.document_batches": "BatchSummary",
            "dynamodb_wrapper.operations.trees": "TreeMetadata TreeWithMetadata",
        },
    )

__all__ = [
    "AsyncDocumentClient",
    "BatchSummary",
    "DocumentClient",
    "TreeMetadata",
    "TreeWithMetadata",
    "get_async_dynamodb_client",
    "get_dynamodb_client",
]
