"""Repositories: models in, models out."""

from __future__ import annotations

from dynamodb_wrapper.repositories.async_base import AsyncBaseDynamoRepository
from dynamodb_wrapper.repositories.async_batching import AsyncBatch
from dynamodb_wrapper.repositories.async_loading import AsyncLoaded, AsyncLoader
from dynamodb_wrapper.repositories.async_patterns import AsyncBoundAccessPattern
from dynamodb_wrapper.repositories.async_pipeline_config import AsyncPipelineConfigRepository
from dynamodb_wrapper.repositories.async_pipeline_run_events import AsyncPipelineRunEventsRepository
from dynamodb_wrapper.repositories.async_pipeline_run_logs import AsyncPipelineRunLogsRepository
from dynamodb_wrapper.repositories.async_query import AsyncQuery
from dynamodb_wrapper.repositories.async_scanning import AsyncParallelScan
from dynamodb_wrapper.repositories.async_table_config import AsyncTableConfigRepository
from dynamodb_wrapper.repositories.async_transactions import (
    AsyncTransaction,
    async_transact_get,
    async_transact_write,
    async_transaction,
)
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
from dynamodb_wrapper.repositories.tables_as_code import cloudformation_template, iam_policy, terraform_configuration
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
    "AsyncBaseDynamoRepository",
    "AsyncBatch",
    "AsyncBoundAccessPattern",
    "AsyncLoaded",
    "AsyncLoader",
    "AsyncParallelScan",
    "AsyncPipelineConfigRepository",
    "AsyncPipelineRunEventsRepository",
    "AsyncPipelineRunLogsRepository",
    "AsyncQuery",
    "AsyncTableConfigRepository",
    "AsyncTransaction",
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
    "async_transact_get",
    "async_transact_write",
    "async_transaction",
    "cloudformation_template",
    "iam_policy",
    "terraform_configuration",
    "transact_get",
    "transact_write",
    "transaction",
]
