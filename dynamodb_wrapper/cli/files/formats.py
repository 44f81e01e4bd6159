"""Which formats there are, and what reads and writes each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from dynamodb_wrapper.cli.failures import CommandError
from dynamodb_wrapper.cli.files import parquet
from dynamodb_wrapper.cli.files.cells import CsvRows
from dynamodb_wrapper.cli.files.inputs import Input, LinesInput, ParquetInput
from dynamodb_wrapper.cli.files.outputs import FileOutput, Output, StandardOutput
from dynamodb_wrapper.cli.files.parquet import ParquetRows
from dynamodb_wrapper.cli.files.rows import ModelRows, PlainRows, Rows, StoredRows
from dynamodb_wrapper.cli.files.s3_layout import FolderInput, FolderOutput
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.raw_tables import StoredTable

STANDARD = Path("-")


class Format(StrEnum):
    """How items stand in files."""

    JSON = "json"
    """A JSON object in each line."""
    CSV = "csv"
    """Columns of text."""
    PARQUET = "parquet"
    """Columns with types."""
    DYNAMODB_JSON = "dynamodb-json"
    """DynamoDB's own JSON in each line."""
    S3_EXPORT = "s3-export"
    """A folder as DynamoDB's export to S3 writes it."""


_BY_SUFFIX = {
    ".json": Format.JSON,
    ".jsonl": Format.JSON,
    ".ndjson": Format.JSON,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}


def format_of(path: Path, given: Format | None) -> Format:
    """Return the format of a file: what was given, or else what its name says.

    Raises:
        CommandError: Its name says nothing, or the format has no such file.
    """
    if given is None:
        suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
        given = Format.S3_EXPORT if path.is_dir() else _BY_SUFFIX.get(suffixes[-1] if suffixes else "")
        if path == STANDARD:
            given = Format.JSON
    if given is None:
        raise CommandError(f"the name {path} says no format: give one of them with --format, {', '.join(Format)}")
    if given in (Format.PARQUET, Format.S3_EXPORT) and path == STANDARD:
        raise CommandError(f"{given} is no format of lines, so it needs a name instead of -")
    if given is Format.S3_EXPORT and path.exists() and not path.is_dir():
        raise CommandError(f"{path} is a file, and {given} is a folder")
    if given is not Format.S3_EXPORT and path.is_dir():
        raise CommandError(f"{path} is a folder, and only {Format.S3_EXPORT} is one")
    return given


@dataclass(frozen=True, slots=True)
class Kept:
    """Items of a table, as files may have them.

    Attributes:
        entity: The table.
        table: What DynamoDB says of the table.
        repository: The repository that says what items are, as it was named; None without one.
    """

    entity: Entity[Any]
    table: StoredTable
    repository: str | None = None

    @property
    def has_model(self) -> bool:
        """Whether a repository says what items are."""
        return self.repository is not None

    @property
    def item_count(self) -> int | None:
        """About how many items there are; None in a table that others share."""
        return None if self.entity.declaration.kind is not None else self.table.item_count

    def work(self, command: str, **options: object) -> dict[str, object]:
        """Return what is done, for checkpoints: with another table, repository or option it is other work."""
        table = self.table
        return {
            "command": command,
            "table": self.entity.table_name,
            "table_arn": table.arn,
            "table_id": table.table_id,
            "repository": self.repository,
            **options,
        }

    def rows(self, form: Format, *, lossy: bool = False) -> Rows:
        """Return what makes rows of items, and items of rows.

        Raises:
            CommandError: The format needs a model.
        """
        if form in (Format.DYNAMODB_JSON, Format.S3_EXPORT):
            return StoredRows(self.entity, has_model=self.has_model)
        if form is Format.JSON:
            return ModelRows(self.entity, lossy=lossy) if self.has_model else PlainRows(lossy=lossy)
        if not self.has_model:
            raise CommandError(
                f"{form} has columns, which a model says: name a repository, or use --format dynamodb-json or json"
            )
        if form is Format.PARQUET:
            parquet.pyarrow()
        made: Callable[..., Rows] = ParquetRows if form is Format.PARQUET else CsvRows
        return made(self.entity, lossy=lossy)

    def output(self, path: Path, form: Format, rows: Rows) -> Output:
        """Return what rows are written to."""
        if path == STANDARD:
            return StandardOutput(rows.header)
        if form is Format.S3_EXPORT:
            return FolderOutput(path, table=self.table)
        if isinstance(rows, ParquetRows):
            return FileOutput(path, packed=False, convert=rows.write)
        return FileOutput(path, rows.header)


def input_of(path: Path, form: Format) -> Input:
    """Return what rows are read from.

    Raises:
        CommandError: It is not there, or is damaged.
    """
    if path == STANDARD:
        return LinesInput(None, is_csv=form is Format.CSV)
    if not path.exists():
        raise CommandError(f"there is no file {path}")
    if form is Format.S3_EXPORT:
        return FolderInput(path)
    return ParquetInput(path) if form is Format.PARQUET else LinesInput(path, is_csv=form is Format.CSV)
