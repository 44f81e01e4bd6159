"""Apache Spark: DynamoDB tables as a source and sink, and pipelines that know what they did.

Importing this imports neither pyspark nor pyarrow; they are needed when it is used (the extra ``spark``).
"""

from __future__ import annotations

from dynamodb_wrapper.spark.availability import SparkMissingError, require_java, require_spark
from dynamodb_wrapper.spark.integration import (
    SparkDynamoDBIntegration,
    create_spark_session_with_dynamodb,
    get_pipeline_config_for_spark,
    get_table_configs_for_spark,
    log_pipeline_run_from_spark,
)
from dynamodb_wrapper.spark.registration import change_schema, register, spark_schema

__all__ = [
    "SparkDynamoDBIntegration",
    "SparkMissingError",
    "change_schema",
    "create_spark_session_with_dynamodb",
    "get_pipeline_config_for_spark",
    "get_table_configs_for_spark",
    "log_pipeline_run_from_spark",
    "register",
    "require_java",
    "require_spark",
    "spark_schema",
]
