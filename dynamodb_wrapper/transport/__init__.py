"""The floor that touches the network, threads and clocks: connections, lanes, drivers, retries, error mapping.

Importing it imports neither boto3 nor botocore; both are loaded when the first client is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.lazy import exported

if TYPE_CHECKING:
    from dynamodb_wrapper.transport.async_driver import AsyncDriver
    from dynamodb_wrapper.transport.caching import Cache
    from dynamodb_wrapper.transport.connection import Connection
    from dynamodb_wrapper.transport.drivers import Lane, SyncDriver
    from dynamodb_wrapper.transport.embedded import drop_embedded
    from dynamodb_wrapper.transport.execution import Driver
    from dynamodb_wrapper.transport.health import HealthReport
    from dynamodb_wrapper.transport.metrics import RequestCounts, RequestMetrics
    from dynamodb_wrapper.transport.observers import RequestEvent, Server, Subscription, observe
    from dynamodb_wrapper.transport.other_services import (
        AWSServices,
        aws_services,
        get_bedrock_client,
        get_cognito_client,
        get_dynamodb_resource,
        get_s3_client,
    )
    from dynamodb_wrapper.transport.retry import RetryPolicy, RetryQuota, retried
    from dynamodb_wrapper.transport.sharing import connection_for
    from dynamodb_wrapper.transport.singleton import (
        DynamoDBSingleton,
        configure,
        get_all_tables,
        get_table,
        health_check,
        health_report,
        register_tables,
        reset_connection,
    )

else:
    __getattr__, __dir__ = exported(
        __name__,
        {
            "dynamodb_wrapper.transport.other_services": """
                AWSServices aws_services get_bedrock_client get_cognito_client get_dynamodb_resource
                get_s3_client
            """,
            "dynamodb_wrapper.transport.async_driver": "AsyncDriver",
            "dynamodb_wrapper.transport.caching": "Cache",
            "dynamodb_wrapper.transport.connection": "Connection",
            "dynamodb_wrapper.transport.sharing": "connection_for",
            "dynamodb_wrapper.transport.drivers": "Lane SyncDriver",
            "dynamodb_wrapper.transport.embedded": "drop_embedded",
            "dynamodb_wrapper.transport.execution": "Driver",
            "dynamodb_wrapper.transport.health": "HealthReport",
            "dynamodb_wrapper.transport.metrics": "RequestCounts RequestMetrics",
            "dynamodb_wrapper.transport.observers": "RequestEvent Server Subscription observe",
            "dynamodb_wrapper.transport.retry": "RetryPolicy RetryQuota retried",
            "dynamodb_wrapper.transport.singleton": """
                DynamoDBSingleton configure get_all_tables get_table health_check health_report
                register_tables reset_connection
            """,
        },
    )

__all__ = [
    "AWSServices",
    "AsyncDriver",
    "Cache",
    "Connection",
    "Driver",
    "DynamoDBSingleton",
    "HealthReport",
    "Lane",
    "RequestCounts",
    "RequestEvent",
    "RequestMetrics",
    "RetryPolicy",
    "RetryQuota",
    "Server",
    "Subscription",
    "SyncDriver",
    "aws_services",
    "configure",
    "connection_for",
    "drop_embedded",
    "get_all_tables",
    "get_bedrock_client",
    "get_cognito_client",
    "get_dynamodb_resource",
    "get_s3_client",
    "get_table",
    "health_check",
    "health_report",
    "observe",
    "register_tables",
    "reset_connection",
    "retried",
]
