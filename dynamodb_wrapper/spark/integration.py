"""`SparkDynamoDBIntegration`: pipelines that know what they did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import ConditionFailedError, DynamoDBWrapperError, ItemAlreadyExistsError
from dynamodb_wrapper.expressions import Add, Append, F, Path
from dynamodb_wrapper.models import DataFormat, PipelineConfig, PipelineRunLog, RunStatus, StageInfo, TableConfig
from dynamodb_wrapper.repositories import (
    PipelineConfigRepository,
    PipelineRunLogsRepository,
    TableConfigRepository,
    transact_write,
)
from dynamodb_wrapper.spark import counting, run_metrics, sessions, table_options
from dynamodb_wrapper.spark.run_context import (
    HEARTBEAT_SECONDS,
    facts,
    recorded_run,
    recorded_stage,
    redacted,
)
from dynamodb_wrapper.utils.timezone import utcnow

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class SparkDynamoDBIntegration:
    """Pipelines, tables and runs that are described and recorded in DynamoDB, for Spark.

    Attributes:
        config: The configuration of the repositories.
        pipelines: How pipelines are set up.
        tables: What they read and write.
        runs: What happened in their runs.
    """

    def __init__(self, config: DynamoDBConfig | None = None) -> None:
        """Use a configuration; None for that of the environment. Nothing is opened before the first request."""
        self.config = DynamoDBConfig.from_env() if config is None else config
        self.pipelines = PipelineConfigRepository(self.config)
        self.tables = TableConfigRepository(self.config)
        self.runs = PipelineRunLogsRepository(self.config)

    # --- sessions -----------------------------------------------------------------------------------------------

    def create_spark_session(
        self, pipeline_id: str, additional_config: Mapping[str, object] | None = None
    ) -> SparkSession:
        """Return a Spark session with a pipeline's settings, and with the data source ``dynamodb``.

        If Spark runs in this process already, the session that is there is left alone: this one has settings and
        temporary views of its own, and the same application.

        Args:
            pipeline_id: The pipeline.
            additional_config: Further settings by Spark's names; they win over the pipeline's.

        Raises:
            ItemNotFoundError: There is no such pipeline.
            SparkMissingError: Spark or Java is not installed.
        """
        return sessions.open_session(self.get_spark_config_from_pipeline(pipeline_id, additional_config))

    def get_spark_config_from_pipeline(
        self, pipeline_id: str, additional_config: Mapping[str, object] | None = None
    ) -> dict[str, str]:
        """Return Spark's settings of a pipeline by name, values as text.

        ``cpu_cores`` and ``memory_gb`` are ``spark.executor.cores`` and ``spark.executor.memory``; ``spark_config``
        wins over these, and ``additional_config`` over both.

        Raises:
            ItemNotFoundError: There is no such pipeline.
        """
        return sessions.session_settings(self.pipelines.get_or_raise(pipeline_id), additional_config)

    # --- tables -------------------------------------------------------------------------------------------------

    def get_table_read_options(self, table_id: str) -> dict[str, Any]:
        """Return how Spark reads a table: ``format``, for files ``path``, and the reader's options.

        For a DynamoDB table these are ``table``, its keys, and the ``region``, ``endpoint_url`` and ``config`` of its
        ``connection_config``. What ``read_options`` says wins.

        Raises:
            ItemNotFoundError: There is no such table.
        """
        return table_options.read_options(self.tables.get_or_raise(table_id))

    def get_table_write_options(self, table_id: str) -> dict[str, Any]:
        """Return how Spark writes a table: as for reading, with ``mode`` (default append) and ``partitionBy``.

        Raises:
            ItemNotFoundError: There is no such table.
            ValidationError: Its mode is none of Spark's.
        """
        return table_options.write_options(self.tables.get_or_raise(table_id))

    def read_table(self, session: SparkSession, table_id: str, run_id: str | None = None) -> DataFrame:
        """Return a table as a frame, with the schema and the caching of its configuration.

        Args:
            session: Where.
            table_id: The table.
            run_id: The run that reads it: it is noted among its ``input_tables``.

        Raises:
            ItemNotFoundError: There is no such table, or no such run.
            ValidationError: Its configuration makes no sense.
        """
        table = self.tables.get_or_raise(table_id)
        if run_id is not None:
            self._note_table(run_id, "input_tables", table)
        return table_options.read(session, table, **self._place_of(table), **self._report_to(table, run_id))

    def write_table(self, df: DataFrame, table_id: str, run_id: str | None = None, mode: str | None = None) -> int:
        """Write a frame into a table, bring its statistics up to date, and return how many rows the frame had.

        The rows are counted while they are written; nothing is computed twice. Of a DynamoDB table only the time is
        noted: how many items it has, rows that replace and delete others do not tell.

        Args:
            df: The rows.
            table_id: The table.
            run_id: The run that writes it: rows, bytes and the table are noted there in the same transaction.
            mode: Instead of the table's own: append, overwrite, ...

        Raises:
            ItemNotFoundError: There is no such table, or no such run; nothing was written.
            ValidationError: The table's configuration makes no sense.
            DynamoDBWrapperError: The statistics could not be noted; a note on it says that the rows are written.
        """
        table = self.tables.get_or_raise(table_id)
        if run_id is not None:
            self._note_table(run_id, "output_tables", table)
        frame = counting.observed(df)
        used = table_options.write(frame, table, mode=mode, **self._place_of(table), **self._report_to(table, run_id))
        rows = counting.counted_rows(frame)
        if rows is None and used == "ignore":
            return 0  # there was something there already
        rows = df.count() if rows is None else rows
        try:
            self._note_written(table, df.sparkSession, rows, run_id, replaces=used == "overwrite")
        except DynamoDBWrapperError as error:
            error.add_note(f"{rows} rows are written to table {table_id!r}; only its statistics could not be noted")
            raise
        return rows

    def observed(self, df: DataFrame) -> DataFrame:
        """Return the same rows, as a frame whose rows Spark counts in the first action on it.

        Write that one, and `update_table_stats_after_write` needs no second computation.
        """
        return counting.observed(df)

    def update_table_stats_after_write(
        self, table_id: str, df: DataFrame, run_id: str | None = None, *, appended: bool = False
    ) -> TableConfig:
        """Bring a table's statistics up to date after a frame was written, and return its new configuration.

        The rows are those that Spark counted while it wrote, if the frame is `observed`; otherwise they are counted
        now, which computes the frame again unless it is cached. The record count, the size (that of the files at its
        location) and the time are one atomic update, with what the run has processed in the same transaction.

        Args:
            table_id: The table.
            df: What was written.
            run_id: The run that wrote it.
            appended: Whether the rows came on top of those that were there; otherwise they are all there are.

        Raises:
            ItemNotFoundError: There is no such table, or no such run.
        """
        table = self.tables.get_or_raise(table_id)
        rows = counting.counted_rows(df)
        if run_id is not None:
            self._note_table(run_id, "output_tables", table)
        self._note_written(table, df.sparkSession, df.count() if rows is None else rows, run_id, replaces=not appended)
        return self.tables.get_or_raise(table_id, consistent=True)

    # --- runs ---------------------------------------------------------------------------------------------------

    @contextmanager
    def pipeline_run_context(
        self,
        pipeline_id: str,
        trigger_type: str = "manual",
        created_by: str | None = None,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        **fields: object,
    ) -> Iterator[str]:
        """Give the id of a new run of a pipeline, which lasts as long as the block.

        The run is pending, then running with signs of life; at the end it is a success, failed (with message, type and
        stack trace) or cancelled (Ctrl-C, a cancelled task). What the block raises goes on; a log that cannot be
        written is a note on it. An end that the block has given the run itself (skipped, say) stays.

        Args:
            pipeline_id: The pipeline.
            trigger_type: What started it.
            created_by: Who started it.
            heartbeat_seconds: How often it gives a sign of life.
            fields: Other fields of `PipelineRunLog`, such as ``parent_run_id``, ``attempt`` or ``tags``.

        Raises:
            ItemNotFoundError: There is no such pipeline.
            DynamoDBWrapperError: The run could not be noted at its start, so that the block has not begun; or its
                success could not be, which a note on the error says.
        """
        pipeline = self.pipelines.get_or_raise(pipeline_id)
        known: dict[str, object] = {
            "created_by": created_by,
            "pipeline_version": pipeline.version,
            "environment": pipeline.environment,
            "config_snapshot": _snapshot(pipeline),
            **fields,
        }
        with recorded_run(
            self.runs, pipeline_id, trigger_type, heartbeat_seconds=heartbeat_seconds, at_end=self._sums, **known
        ) as run_id:
            yield run_id

    @contextmanager
    def stage(self, run_id: str, stage_name: str) -> Iterator[StageInfo]:
        """Give a stage of a run, which lasts as long as the block; set ``records_processed`` on it in the block.

        What the block raises goes on. A log that cannot be written stops no work.
        """
        with recorded_stage(self.runs, run_id, stage_name) as stage:
            yield stage

    def _place_of(self, table: TableConfig) -> dict[str, object]:
        """Return where a DynamoDB table is that does not say so itself: where the repositories' tables are."""
        if table.data_format != DataFormat.DYNAMODB or "config" in table.connection_config:
            return {}
        place = {"endpoint_url": self.config.endpoint_url, "region": self.config.region_name}
        return {
            name: value for name, value in place.items() if value is not None and name not in table.connection_config
        }

    def _report_to(self, table: TableConfig, run_id: str | None) -> dict[str, object]:
        """Return the options by which the tasks on a DynamoDB table report to a run."""
        if run_id is None or table.data_format != DataFormat.DYNAMODB:
            return {}
        return {"run_id": run_metrics.destination(self.runs.events.table_name, run_id), "metrics": run_metrics.NOTE}

    def _sums(self, run_id: str) -> dict[str, Any]:
        """Return what a run keeps of what its tasks did."""
        found = run_metrics.summary(self.runs.events, run_id)
        if not found:
            return {}
        return {"table_metrics": found, "total_records_failed": sum(metrics.rows_rejected for metrics in found)}

    def _note_table(self, run_id: str, field: str, table: TableConfig) -> None:
        absent = ~getattr(F, field).contains(table.table_id)
        with suppress(ConditionFailedError):  # it is there already
            self.runs.patch(run_id, changes={field: Append(table.table_id)}, when=absent)

    def _note_written(
        self, table: TableConfig, session: SparkSession, rows: int, run_id: str | None, *, replaces: bool
    ) -> None:
        size = table_options.size_bytes(session, table)
        statistics: dict[str | Path, object] = {"last_updated_data": utcnow()}
        if table.data_format != DataFormat.DYNAMODB:
            statistics["record_count"] = rows if replaces else Add(rows)
        if size is not None:
            statistics["size_bytes"] = size
        if run_id is None:
            self.tables.patch(table.table_id, changes=statistics)
            return
        processed: dict[str | Path, object] = {"total_records_processed": Add(rows)}
        if size is not None:
            grown = size if replaces else max(0, size - (table.size_bytes or 0))
            processed["output_data_size_bytes"] = Add(grown)
        transact_write(
            [
                self.tables.patch_request(table.table_id, changes=statistics),
                self.runs.patch_request(run_id, changes=processed),
            ]
        )


def get_pipeline_config_for_spark(pipeline_id: str, config: DynamoDBConfig | None = None) -> PipelineConfig:
    """Return how a pipeline is set up.

    Raises:
        ItemNotFoundError: There is no such pipeline.
    """
    return SparkDynamoDBIntegration(config).pipelines.get_or_raise(pipeline_id)


def get_table_configs_for_spark(
    pipeline_id: str, table_type: str | None = None, config: DynamoDBConfig | None = None
) -> list[TableConfig]:
    """Return the active tables of a pipeline, all or those of a type (``"source"``, ``"destination"``, ...), by id.

    Raises:
        ValidationError: There is no such type.
    """
    tables = SparkDynamoDBIntegration(config).tables
    if table_type is None:
        return tables.get_active_tables_by_pipeline(pipeline_id)
    return [table for table in tables.get_tables_by_type(table_type, pipeline_id) if table.is_active]


def log_pipeline_run_from_spark(
    run_id: str,
    pipeline_id: str,
    status: RunStatus | str,
    trigger_type: str = "manual",
    error_message: str | None = None,
    config: DynamoDBConfig | None = None,
    **fields: Any,
) -> PipelineRunLog:
    """Note where a run stands, and return it: it is created if there is none of that id, and changed if there is.

    Args:
        run_id: The run.
        pipeline_id: Its pipeline; of a run that exists it is left alone.
        status: Where it stands. At an end state its end and duration are set.
        trigger_type: What started it, for a new one.
        error_message: What went wrong.
        config: The configuration; None for that of the environment.
        fields: Other fields of `PipelineRunLog`.

    Raises:
        ValidationError: There is no such status or field, or a value is wrong.
    """
    runs, status = SparkDynamoDBIntegration(config).runs, RunStatus.of(status)
    if not runs.exists(run_id):
        with suppress(ItemAlreadyExistsError):  # somebody was faster
            runs.create_run_log(run_id, pipeline_id, trigger_type, **facts())
    return runs.update_run_status(run_id, status, error_message, **fields)


def create_spark_session_with_dynamodb(
    app_name: str = "dynamodb", spark_config: Mapping[str, object] | None = None
) -> SparkSession:
    """Return a Spark session with the data source ``dynamodb``, without a stored pipeline.

    If Spark runs in this process already, it is a session beside the one that is there.

    Raises:
        SparkMissingError: Spark or Java is not installed.
    """
    return sessions.open_session(sessions.settings_of({"spark.app.name": app_name, **(spark_config or {})}))


def _snapshot(pipeline: PipelineConfig) -> dict[str, Any]:
    """Return what a run keeps of its pipeline's settings, without secrets."""
    names = ("config", "source_config", "destination_config", "spark_config")
    return redacted({name: value for name in names if (value := getattr(pipeline, name))})
