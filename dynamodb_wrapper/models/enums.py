"""The fixed choices of the models; stored as their lower-case text."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from dynamodb_wrapper.exceptions import ValidationError


class Choice(StrEnum):
    """One of a few texts: a member is equal to its text."""

    @classmethod
    def of(cls, value: str) -> Self:
        """Return the member for its text (or for itself).

        Raises:
            ValidationError: There is none; names those there are.
        """
        try:
            return cls(value)
        except ValueError as error:
            allowed = ", ".join(cls)
            raise ValidationError(
                f"{value!r} is no {cls.__name__}; it is one of {allowed}", {cls.__name__: f"one of {allowed}"}, error
            ) from error


class RunStatus(Choice):
    """Where a pipeline run, or one stage of it, stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def is_terminal(self) -> bool:
        """Whether it is an end state: nothing more happens in the run."""
        return self not in (RunStatus.PENDING, RunStatus.RUNNING)


class LogLevel(Choice):
    """How much a run logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class TableType(Choice):
    """What a table is to its pipeline."""

    SOURCE = "source"
    DESTINATION = "destination"
    LOOKUP = "lookup"
    INTERMEDIATE = "intermediate"


class DataFormat(Choice):
    """How a table's data is kept."""

    PARQUET = "parquet"
    JSON = "json"
    CSV = "csv"
    AVRO = "avro"
    DELTA = "delta"
    DYNAMODB = "dynamodb"
