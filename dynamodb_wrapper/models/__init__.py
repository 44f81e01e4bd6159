"""The models of data pipelines: their configurations, their tables and their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamodb_wrapper.utils.lazy import exported

if TYPE_CHECKING:
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
else:
    __getattr__, __dir__ = exported(
        __name__,
        {
            "dynamodb_wrapper.models.configs": "PipelineConfig TableConfig",
            "dynamodb_wrapper.models.enums": "DataFormat LogLevel RunStatus TableType",
            "dynamodb_wrapper.models.runs": """
                DataQualityResult LogMessage PipelineRunEvent PipelineRunLog StageInfo TableMetrics
            """,
        },
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
