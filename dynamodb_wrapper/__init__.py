"""Pydantic models in Amazon DynamoDB: typed, safe repositories over one shared connection pool.

Importing this package creates no client, reads no environment and imports neither boto3 nor botocore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.lazy import exported

if TYPE_CHECKING:
    from dynamodb_wrapper.client import (
        AsyncDocumentClient,
        BatchSummary,
        DocumentClient,
        get_async_dynamodb_client,
        get_dynamodb_client,
    )
    from dynamodb_wrapper.codec import Derived, EpochSeconds, Key, KeyedList, PartialItem, SchemaOptions, Sharded
    from dynamodb_wrapper.config import DynamoDBConfig
    from dynamodb_wrapper.exceptions import (
        AccessDeniedError,
        BatchIncompleteError,
        CancellationReason,
        ConditionFailedError,
        ConnectionError,
        CorruptResponseError,
        CredentialsError,
        DeadlineExceededError,
        DeclarationError,
        DynamoDBWrapperError,
        ExpressionError,
        IdempotentParameterMismatchError,
        InvalidCursorError,
        ItemAlreadyExistsError,
        ItemNotFoundError,
        ItemTooLargeError,
        LimitExceededError,
        MultipleItemsFoundError,
        SchemaVersionError,
        ServerError,
        StoredItemError,
        TableInUseError,
        TableNotFoundError,
        ThrottlingError,
        ThrottlingReason,
        TransactionCanceledError,
        TransactionConflictError,
        UniqueViolationError,
        ValidationError,
        VersionConflictError,
        WriteOutcomeUnknownError,
    )
    from dynamodb_wrapper.expressions import (
        Add,
        Append,
        Condition,
        Delete,
        F,
        Prepend,
        Remove,
        SetIfMissing,
    )
    from dynamodb_wrapper.models import (
        DataFormat,
        DataQualityResult,
        LogLevel,
        PipelineConfig,
        PipelineRunEvent,
        PipelineRunLog,
        RunStatus,
        StageInfo,
        TableConfig,
        TableMetrics,
        TableType,
    )
    from dynamodb_wrapper.operations.batches import BatchProgress
    from dynamodb_wrapper.operations.capacity import ConsumedCapacity, TableCapacity
    from dynamodb_wrapper.operations.charts import EntityChart
    from dynamodb_wrapper.operations.copies import CopyReport
    from dynamodb_wrapper.operations.declaration import Unique
    from dynamodb_wrapper.operations.explanations import QueryExplanation
    from dynamodb_wrapper.operations.gathering import Collection
    from dynamodb_wrapper.operations.migrations import MigrationExample, MigrationFailure, MigrationReport
    from dynamodb_wrapper.operations.queries import Page
    from dynamodb_wrapper.operations.recalling import CacheInfo
    from dynamodb_wrapper.operations.table_diff import TableChanges, TableDiff, TableDifference
    from dynamodb_wrapper.operations.table_options import TableOptions
    from dynamodb_wrapper.operations.trees import TreeMetadata, TreeNode, TreeWithMetadata
    from dynamodb_wrapper.repositories import (
        AccessPattern,
        AsyncBaseDynamoRepository,
        AsyncBatch,
        AsyncCollectionQuery,
        AsyncLoaded,
        AsyncLoader,
        AsyncParallelScan,
        AsyncPipelineConfigRepository,
        AsyncPipelineRunEventsRepository,
        AsyncPipelineRunLogsRepository,
        AsyncQuery,
        AsyncTableConfigRepository,
        AsyncTransaction,
        BaseDynamoRepository,
        Batch,
        CollectionQuery,
        GetRequest,
        Loaded,
        Loader,
        ParallelScan,
        ParentPattern,
        PipelineConfigRepository,
        PipelineRunEventsRepository,
        PipelineRunLogsRepository,
        Query,
        SingleTable,
        TableConfigRepository,
        Transaction,
        WriteRequest,
        async_transact_get,
        async_transact_write,
        async_transaction,
        cloudformation_template,
        iam_policy,
        terraform_configuration,
        transact_get,
        transact_write,
        transaction,
    )
    from dynamodb_wrapper.transport import (
        AWSServices,
        Cache,
        DynamoDBSingleton,
        HealthReport,
        RequestCounts,
        RequestEvent,
        RequestMetrics,
        Subscription,
        aws_services,
        configure,
        get_all_tables,
        get_bedrock_client,
        get_cognito_client,
        get_dynamodb_resource,
        get_s3_client,
        get_table,
        health_check,
        health_report,
        observe,
        register_tables,
        reset_connection,
    )
else:
    __getattr__, __dir__ = exported(
        __name__,
        {
            "dynamodb_wrapper.client": """
                AsyncDocumentClient BatchSummary DocumentClient get_async_dynamodb_client get_dynamodb_client
            """,
            "dynamodb_wrapper.codec": "Derived EpochSeconds Key KeyedList PartialItem SchemaOptions Sharded",
            "dynamodb_wrapper.config": "DynamoDBConfig",
            "dynamodb_wrapper.exceptions": """
                AccessDeniedError BatchIncompleteError CancellationReason ConditionFailedError ConnectionError
                CorruptResponseError CredentialsError DeadlineExceededError DeclarationError
                DynamoDBWrapperError ExpressionError IdempotentParameterMismatchError InvalidCursorError
                ItemAlreadyExistsError ItemNotFoundError ItemTooLargeError LimitExceededError
                MultipleItemsFoundError SchemaVersionError ServerError StoredItemError TableInUseError
                TableNotFoundError ThrottlingError ThrottlingReason TransactionCanceledError TransactionConflictError
                UniqueViolationError ValidationError VersionConflictError WriteOutcomeUnknownError
            """,
            "dynamodb_wrapper.expressions": "Add Append Condition Delete F Prepend Remove SetIfMissing",
            "dynamodb_wrapper.models": """
                DataFormat DataQualityResult LogLevel PipelineConfig PipelineRunEvent PipelineRunLog RunStatus
                StageInfo TableConfig TableMetrics TableType
            """,
            "dynamodb_wrapper.operations.batches": "BatchProgress",
            "dynamodb_wrapper.operations.capacity": "ConsumedCapacity TableCapacity",
            "dynamodb_wrapper.operations.charts": "EntityChart",
            "dynamodb_wrapper.operations.copies": "CopyReport",
            "dynamodb_wrapper.operations.declaration": "Unique",
            "dynamodb_wrapper.operations.explanations": "QueryExplanation",
            "dynamodb_wrapper.operations.gathering": "Collection",
            "dynamodb_wrapper.operations.migrations": "MigrationExample MigrationFailure MigrationReport",
            "dynamodb_wrapper.operations.queries": "Page",
            "dynamodb_wrapper.operations.recalling": "CacheInfo",
            "dynamodb_wrapper.operations.table_diff": "TableChanges TableDiff TableDifference",
            "dynamodb_wrapper.operations.table_options": "TableOptions",
            "dynamodb_wrapper.operations.trees": "TreeMetadata TreeNode TreeWithMetadata",
            "dynamodb_wrapper.repositories": """
                AccessPattern AsyncBaseDynamoRepository AsyncBatch AsyncCollectionQuery AsyncLoaded AsyncLoader
                AsyncParallelScan CollectionQuery SingleTable
                AsyncPipelineConfigRepository AsyncPipelineRunEventsRepository AsyncPipelineRunLogsRepository
                AsyncQuery AsyncTableConfigRepository AsyncTransaction BaseDynamoRepository Batch GetRequest
                Loaded Loader ParallelScan ParentPattern PipelineConfigRepository PipelineRunEventsRepository
                PipelineRunLogsRepository Query TableConfigRepository Transaction WriteRequest
                async_transact_get async_transact_write async_transaction transact_get transact_write
                transaction cloudformation_template iam_policy terraform_configuration
            """,
            "dynamodb_wrapper.transport": """
                AWSServices Cache DynamoDBSingleton HealthReport RequestCounts RequestEvent RequestMetrics
                Subscription aws_services configure get_all_tables get_bedrock_client get_cognito_client
                get_dynamodb_resource get_s3_client get_table health_check health_report observe
                register_tables reset_connection
            """,
        },
    )

__version__ = "0.1.0"

__all__ = [
    "AWSServices",
    "AccessDeniedError",
    "AccessPattern",
    "Add",
    "Append",
    "AsyncBaseDynamoRepository",
    "AsyncBatch",
    "AsyncCollectionQuery",
    "AsyncDocumentClient",
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
    "BatchIncompleteError",
    "BatchProgress",
    "BatchSummary",
    "Cache",
    "CacheInfo",
    "CancellationReason",
    "Collection",
    "CollectionQuery",
    "Condition",
    "ConditionFailedError",
    "ConnectionError",
    "ConsumedCapacity",
    "CopyReport",
    "CorruptResponseError",
    "CredentialsError",
    "DataFormat",
    "DataQualityResult",
    "DeadlineExceededError",
    "DeclarationError",
    "Delete",
    "Derived",
    "DocumentClient",
    "DynamoDBConfig",
    "DynamoDBSingleton",
    "DynamoDBWrapperError",
    "EntityChart",
    "EpochSeconds",
    "ExpressionError",
    "F",
    "GetRequest",
    "HealthReport",
    "IdempotentParameterMismatchError",
    "InvalidCursorError",
    "ItemAlreadyExistsError",
    "ItemNotFoundError",
    "ItemTooLargeError",
    "Key",
    "KeyedList",
    "LimitExceededError",
    "Loaded",
    "Loader",
    "LogLevel",
    "MigrationExample",
    "MigrationFailure",
    "MigrationReport",
    "MultipleItemsFoundError",
    "Page",
    "ParallelScan",
    "ParentPattern",
    "PartialItem",
    "PipelineConfig",
    "PipelineConfigRepository",
    "PipelineRunEvent",
    "PipelineRunEventsRepository",
    "PipelineRunLog",
    "PipelineRunLogsRepository",
    "Prepend",
    "Query",
    "QueryExplanation",
    "Remove",
    "RequestCounts",
    "RequestEvent",
    "RequestMetrics",
    "RunStatus",
    "SchemaOptions",
    "SchemaVersionError",
    "ServerError",
    "SetIfMissing",
    "Sharded",
    "SingleTable",
    "StageInfo",
    "StoredItemError",
    "Subscription",
    "TableCapacity",
    "TableChanges",
    "TableConfig",
    "TableConfigRepository",
    "TableDiff",
    "TableDifference",
    "TableInUseError",
    "TableMetrics",
    "TableNotFoundError",
    "TableOptions",
    "TableType",
    "ThrottlingError",
    "ThrottlingReason",
    "Transaction",
    "TransactionCanceledError",
    "TransactionConflictError",
    "TreeMetadata",
    "TreeNode",
    "TreeWithMetadata",
    "Unique",
    "UniqueViolationError",
    "ValidationError",
    "VersionConflictError",
    "WriteOutcomeUnknownError",
    "WriteRequest",
    "async_transact_get",
    "async_transact_write",
    "async_transaction",
    "aws_services",
    "cloudformation_template",
    "configure",
    "get_all_tables",
    "get_async_dynamodb_client",
    "get_bedrock_client",
    "get_cognito_client",
    "get_dynamodb_client",
    "get_dynamodb_resource",
    "get_s3_client",
    "get_table",
    "health_check",
    "health_report",
    "iam_policy",
    "observe",
    "register_tables",
    "reset_connection",
    "terraform_configuration",
    "transact_get",
    "transact_write",
    "transaction",
]
