"""Spark's daemon of Python workers, with what they all import imported once: so a test takes half the time."""

from __future__ import annotations

import boto3  # noqa: F401
import pandas as pd  # noqa: F401
from pyspark.daemon import manager

import dynamodb_wrapper.spark.source  # noqa: F401

if __name__ == "__main__":
    manager()
