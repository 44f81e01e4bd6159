"""Repositories: models in, models out."""

from __future__ import annotations

from dynamodb_wrapper.repositories.base import BaseDynamoRepository
from dynamodb_wrapper.repositories.patterns import AccessPattern, BoundAccessPattern
from dynamodb_wrapper.repositories.pipeline_config import PipelineConfigRepository
from dynamodb_wrapper.repositories.pipeline_run_events import PipelineRunEventsRepository
from dynamodb_wrapper.repositories.pipeline_run_logs import PipelineRunLogsRepository
from dynamodb_wrapper.repositories.query import Query
from dynamodb_wrapper.repositories.table_config import TableConfigRepository

__all__ = [
    "AccessPattern",
    "BaseDynamoRepository",
    "BoundAccessPattern",
    "PipelineConfigRepository",
    "PipelineRunEventsRepository",
    "PipelineRunLogsRepository",
    "Query",
    "TableConfigRepository",
]
