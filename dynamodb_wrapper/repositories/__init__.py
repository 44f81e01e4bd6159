"""Repositories: models in, models out."""

from __future__ import annotations

from dynamodb_wrapper.repositories.base import BaseDynamoRepository
from dynamodb_wrapper.repositories.batching import Batch
from dynamodb_wrapper.repositories.loading import Loaded, Loader
from dynamodb_wrapper.repositories.patterns import AccessPattern, BoundAccessPattern, ParentPattern
from dynamodb_wrapper.repositories.pipeline_config import PipelineConfigRepository
from dynamodb_wrapper.repositories.pipeline_run_events import PipelineRunEventsRepository
from dynamodb_wrapper.repositories.pipeline_run_logs import PipelineRunLogsRepository
from dynamodb_wrapper.repositories.query import Query
from dynamodb_wrapper.repositories.scanning import ParallelScan
from dynamodb_wrapper.repositories.table_config import TableConfigRepository
from dynamodb_wrapper.repositories.transactions import (
    GetRequest,
    Transaction,
    WriteRequest,
    transact_get,
    transact_write,
    transaction,
)

__all__ = [
    "AccessPattern",
    "BaseDynamoRepository",
    "Batch",
    "BoundAccessPattern",
    "GetRequest",
    "Loaded",
    "Loader",
    "ParallelScan",
    "ParentPattern",
    "PipelineConfigRepository",
    "PipelineRunEventsRepository",
    "PipelineRunLogsRepository",
    "Query",
    "TableConfigRepository",
    "Transaction",
    "WriteRequest",
    "transact_get",
    "transact_write",
    "transaction",
]
