"""The models of data pipelines: their configurations, their tables and their runs."""

from __future__ import annotations

from dynamodb_wrapper.models.configs import PipelineConfig, TableConfig
from dynamodb_wrapper.models.enums import DataFormat, LogLevel, RunStatus, TableType
from dynamodb_wrapper.models.runs import (
    DataQualityResult,
    LogMessage,
    PipelineRunEvent,
    PipelineRunLog,
    StageInfo,
    TableMetrics,
)

__all__ = [
    "DataFormat",
    "DataQualityResult",
    "LogLevel",
    "LogMessage",
    "PipelineConfig",
    "PipelineRunEvent",
    "PipelineRunLog",
    "RunStatus",
    "StageInfo",
    "TableConfig",
    "TableMetrics",
    "TableType",
]
