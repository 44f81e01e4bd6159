"""DynamoDB tables as a source and sink of Apache Spark: ``spark.read.format("dynamodb")``.

Importing this imports neither pyspark nor pyarrow; they are needed when it is used (the extra ``spark``).
"""

from __future__ import annotations

from dynamodb_wrapper.spark.availability import SparkMissingError, require_java, require_spark
from dynamodb_wrapper.spark.registration import register, spark_schema

__all__ = ["SparkMissingError", "register", "require_java", "require_spark", "spark_schema"]
