"""The document-level client: DynamoDB's operations on plain dicts, over the same flows and pools as repositories."""

from __future__ import annotations

from dynamodb_wrapper.client.async_document_client import AsyncDocumentClient
from dynamodb_wrapper.client.document_client import DocumentClient
from dynamodb_wrapper.client.options import get_async_dynamodb_client, get_dynamodb_client
from dynamodb_wrapper.operations.document_batches import BatchSummary
from dynamodb_wrapper.operations.trees import TreeMetadata, TreeWithMetadata

__all__ = [
    "AsyncDocumentClient",
    "BatchSummary",
    "DocumentClient",
    "TreeMetadata",
    "TreeWithMetadata",
    "get_async_dynamodb_client",
    "get_dynamodb_client",
]
