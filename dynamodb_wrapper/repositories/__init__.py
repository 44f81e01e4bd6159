"""Repositories: models in, models out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.lazy import exported

if TYPE_CHECKING:
    from dynamodb_wrapper.repositories.async_base import AsyncBaseDynamoRepository
    from dynamodb_wrapper.repositories.async_batching import AsyncBatch
    from dynamodb_wrapper.repositories.async_collections import AsyncCollectionQuery
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
    from dynamodb_wrapper.repositories.collecting import Batch
    from dynamodb_wrapper.repositories.collections import CollectionQuery
    from dynamodb_wrapper.repositories.loading import Loaded, Loader
    from dynamodb_wrapper.repositories.patterns import AccessPattern, BoundAccessPattern, ParentPattern
    from dynamodb_wrapper.repositories.pipeline_config import PipelineConfigRepository
    from dynamodb_wrapper.repositories.pipeline_run_events import PipelineRunEventsRepository
    from dynamodb_wrapper.repositories.pipeline_run_logs import PipelineRunLogsRepository
    from dynamodb_wrapper.repositories.query import Query
    from dynamodb_wrapper.repositories.scanning import ParallelScan
    from dynamodb_wrapper.repositories.single_table import SingleTable
    from dynamodb_wrapper.repositories.table_config import TableConfigRepository
    from dynamodb_wrapper.repositories.tables_as_code import (
        cloudformation_template,
        iam_policy,
        terraform_configuration,
    )
    from dynamodb_wrapper.repositories.transactions import (
        GetRequest,
        Transaction,
        WriteRequest,
        transact_get,
        transact_write,
        transaction,
    )
else:
    __getattr__, __dir__ = exported(
        __name__,
        {
            "dynamodb_wrapper.repositories.async_base": "AsyncBaseDynamoRepository",
            "dynamodb_wrapper.repositories.async_batching": "AsyncBatch",
            "dynamodb_wrapper.repositories.async_collections": "AsyncCollectionQuery",
            "dynamodb_wrapper.repositories.async_loading": "AsyncLoaded AsyncLoader",
            "dynamodb_wrapper.repositories.async_patterns": "AsyncBoundAccessPattern",
            "dynamodb_wrapper.repositories.async_pipeline_config": "AsyncPipelineConfigRepository",
            "dynamodb_wrapper.repositories.async_pipeline_run_events": "AsyncPipelineRunEventsRepository",
            "dynamodb_wrapper.repositories.async_pipeline_run_logs": "AsyncPipelineRunLogsRepository",
            "dynamodb_wrapper.repositories.async_query": "AsyncQuery",
            "dynamodb_wrapper.repositories.async_scanning": "AsyncParallelScan",
            "dynamodb_wrapper.repositories.async_table_config": "AsyncTableConfigRepository",
            "dynamodb_wrapper.repositories.async_transactions": """
                AsyncTransaction async_transact_get async_transact_write async_transaction
            """,
            "dynamodb_wrapper.repositories.base": "BaseDynamoRepository",
            "dynamodb_wrapper.repositories.collecting": "Batch",
            "dynamodb_wrapper.repositories.collections": "CollectionQuery",
            "dynamodb_wrapper.repositories.loading": "Loaded Loader",
            "dynamodb_wrapper.repositories.patterns": "AccessPattern BoundAccessPattern ParentPattern",
            "dynamodb_wrapper.repositories.pipeline_config": "PipelineConfigRepository",
            "dynamodb_wrapper.repositories.pipeline_run_events": "PipelineRunEventsRepository",
            "dynamodb_wrapper.repositories.pipeline_run_logs": "PipelineRunLogsRepository",
            "dynamodb_wrapper.repositories.query": "Query",
            "dynamodb_wrapper.repositories.scanning": "ParallelScan",
            "dynamodb_wrapper.repositories.single_table": "SingleTable",
            "dynamodb_wrapper.repositories.table_config": "TableConfigRepository",
            "dynamodb_wrapper.repositories.tables_as_code": """
                cloudformation_template iam_policy terraform_configuration
            """,
            "dynamodb_wrapper.repositories.transactions": """
                GetRequest Transaction WriteRequest transact_get transact_write transaction
            """,
        },
        modules="collecting collections loading query",
    )

__all__ = [
    "AccessPattern",
    "AsyncBaseDynamoRepository",
    "AsyncBatch",
    "AsyncBoundAccessPattern",
    "AsyncCollectionQuery",
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
    "CollectionQuery",
    "GetRequest",
    "Loaded",
    "Loader",
    "ParallelScan",
    "ParentPattern",
    "PipelineConfigRepository",
    "PipelineRunEventsRepository",
    "PipelineRunLogsRepository",
    "Query",
    "SingleTable",
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
