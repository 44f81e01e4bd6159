"""`PipelineRunLogsRepository`: what happened in the runs of pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from dynamodb_wrapper.codec import StoredForm
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.expressions import AnyCondition
from dynamodb_wrapper.models import DataQualityResult, LogMessage, PipelineRunLog, RunStatus, StageInfo
from dynamodb_wrapper.operations import run_messages, runs, tables
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.tables import Progress
from dynamodb_wrapper.repositories.base import BaseDynamoRepository
from dynamodb_wrapper.repositories.patterns import AccessPattern
from dynamodb_wrapper.repositories.pipeline_run_events import PipelineRunEventsRepository
from dynamodb_wrapper.repositories.tables import TABLE_WAIT_SECONDS


class PipelineRunLogsTable:
    """The table of runs, as repositories of both colours declare it."""

    table_name = "pipeline_run_logs"
    primary_key = "run_id"
    stored_as: ClassVar[Mapping[str, StoredForm]] = {"stages": runs.STAGES}
    by_pipeline = AccessPattern(runs.BY_PIPELINE, partition="pipeline_id", sort="start_time")
    by_status = AccessPattern(runs.BY_STATUS, partition="status", sort="start_time")
    by_pipeline_and_status = AccessPattern(runs.BY_PIPELINE_AND_STATUS, partition="pipeline_id", sort="status")


class PipelineRunLogsRepository(PipelineRunLogsTable, BaseDynamoRepository[PipelineRunLog]):
    """Runs of pipelines, by id, by pipeline and by status; lists are newest first, by start time.

    Every change is one atomic update of the attributes it is about, so writers do not lose each other's changes: stages
    are stored by name, and log messages beyond a bound in a table of their own, `events`. The queries use global
    indexes, which DynamoDB keeps up to date within moments, not at once.

    Attributes:
        events: The repository of further log messages. `create_table`, `ensure_table` and `delete_table` are about its
            table too.
        by_pipeline: ``by_pipeline("p1")``: the runs of a pipeline, by start time.
        by_status: ``by_status("failed")``: the runs that have a status, by start time.
        by_pipeline_and_status: ``by_pipeline_and_status("p1").eq("failed")``: those of one pipeline.
    """

    def __init__(self, config: DynamoDBConfig) -> None:
        """Use a configuration; nothing is opened or read before the first request."""
        super().__init__(config)
        self.events = PipelineRunEventsRepository(config)

    @property
    def _entities(self) -> tuple[Entity[Any], ...]:
        return (*super()._entities, *self.events._entities)

    # --- reading ------------------------------------------------------------------------------------------------

    def get_by_run_id(self, run_id: str, user_timezone: str | None = None) -> PipelineRunLog | None:
        """Return a run, or None; datetimes are shown in ``user_timezone``."""
        return self.get_with_timezone(run_id, user_timezone=user_timezone)

    def get_runs_by_pipeline(
        self, pipeline_id: str, limit: int | None = None, user_timezone: str | None = None
    ) -> list[PipelineRunLog]:
        """Return the runs of a pipeline, newest first, at most ``limit``."""
        return self._driver.run(runs.of_pipeline(self._entity.in_zones(shown=user_timezone), pipeline_id, limit=limit))

    def get_runs_by_status(
        self, status: RunStatus | str, pipeline_id: str | None = None, user_timezone: str | None = None
    ) -> list[PipelineRunLog]:
        """Return the runs that have a status, of one pipeline or of all, newest first.

        Raises:
            ValidationError: There is no such status.
        """
        return self._driver.run(
            runs.with_status(self._entity.in_zones(shown=user_timezone), status, pipeline_id=pipeline_id)
        )

    def get_running_pipelines(self, user_timezone: str | None = None) -> list[PipelineRunLog]:
        """Return the runs that are running now, newest first."""
        return self.get_runs_by_status(RunStatus.RUNNING, user_timezone=user_timezone)

    def get_failed_runs(
        self, pipeline_id: str | None = None, hours: float = 24, user_timezone: str | None = None
    ) -> list[PipelineRunLog]:
        """Return the failed runs that began within the last ``hours``, of one pipeline or of all, newest first."""
        return self._driver.run(
            runs.failed(self._entity.in_zones(shown=user_timezone), pipeline_id=pipeline_id, hours=hours)
        )

    def get_recent_runs(
        self,
        pipeline_id: str | None = None,
        hours: float = 24,
        user_timezone: str | None = None,
        limit: int | None = None,
    ) -> list[PipelineRunLog]:
        """Return the runs that began within the last ``hours``, newest first, at most ``limit``.

        For one pipeline that is one query; for all it is one per status, merged by start time.
        """
        return self._driver.run(
            runs.recent(self._entity.in_zones(shown=user_timezone), pipeline_id=pipeline_id, hours=hours, limit=limit)
        )

    # --- writing ------------------------------------------------------------------------------------------------

    def create_run_log(
        self,
        run_id: str,
        pipeline_id: str,
        trigger_type: str,
        created_by: str | None = None,
        current_timezone: str | None = None,
        **fields: object,
    ) -> PipelineRunLog:
        """Create a run, pending unless ``status`` is given, and return it.

        Args:
            run_id: Its key.
            pipeline_id: The pipeline that runs.
            trigger_type: What starts it.
            created_by: Who starts it.
            current_timezone: The zone of the caller: naive datetimes are taken to be in it, and the result's are shown
                in it.
            fields: Other fields of `PipelineRunLog`. Long ``log_messages`` are kept as `add_log_messages` keeps them.

        Raises:
            ItemAlreadyExistsError: There is a run with that id; it is in ``.item``.
            ValidationError: A value is wrong, or a field unknown.
        """
        return self._driver.run(
            run_messages.start(
                self._entity.in_zones(assumed=current_timezone, shown=current_timezone),
                self.events._entity,
                {
                    "run_id": run_id,
                    "pipeline_id": pipeline_id,
                    "trigger_type": trigger_type,
                    "created_by": created_by,
                    "status": RunStatus.PENDING,
                    **fields,
                },
            )
        )

    def update_run_status(
        self,
        run_id: str,
        status: RunStatus | str,
        error_message: str | None = None,
        end_time: datetime | None = None,
        current_timezone: str | None = None,
        **fields: object,
    ) -> PipelineRunLog:
        """Give a run another status and return the new run.

        At an end state ``end_time`` and ``duration_seconds`` are set, computed from the start time that is stored at
        that moment; at pending and running they are removed, because the run goes on.

        Args:
            run_id: The run.
            status: The new status.
            error_message: What went wrong; None leaves the attribute alone.
            end_time: When it ended; default now. For end states only.
            current_timezone: The zone of the caller: a naive ``end_time`` is taken to be in it, and the result's
                datetimes are shown in it.
            fields: Other fields of `PipelineRunLog` to change in the same write.

        Raises:
            ItemNotFoundError: There is no such run.
            ValidationError: There is no such status, or an end was given for a status that is no end state.
        """
        return self._driver.run(
            runs.change_status(
                self._entity.in_zones(assumed=current_timezone, shown=current_timezone),
                run_id,
                status,
                error_message=error_message,
                end_time=end_time,
                fields=fields,
            )
        )

    def add_stage_info(self, run_id: str, stage: StageInfo | Mapping[str, object]) -> PipelineRunLog:
        """Add a stage at the end, or replace the one of the same name where it stands, and return the new run.

        Stages that other writers add at the same time are not touched.

        Raises:
            ItemNotFoundError: There is no such run.
            ValidationError: This is no stage.
        """
        return self._driver.run(runs.add_stage(self._entity, run_id, stage))

    def add_data_quality_results(
        self, run_id: str, results: Iterable[DataQualityResult | Mapping[str, object]]
    ) -> PipelineRunLog:
        """Add what checks of the data found, and return the new run.

        If one did not pass, ``data_quality_passed`` is False from then on.

        Raises:
            ItemNotFoundError: There is no such run.
            ValidationError: There is no result, or one is none.
        """
        return self._driver.run(runs.add_quality_results(self._entity, run_id, results))

    # --- signs of life ------------------------------------------------------------------------------------------

    def note_heartbeat(self, run_id: str) -> PipelineRunLog:
        """Note that a run is alive now (``heartbeat_at``), and return it.

        Raises:
            ItemNotFoundError: There is no such run.
            ConditionFailedError: It has ended; the run is in ``.item``.
        """
        return self._driver.run(runs.note_heartbeat(self._entity, run_id))

    def get_stale_runs(self, silent_seconds: float = 300, pipeline_id: str | None = None) -> list[PipelineRunLog]:
        """Return the runs whose process seems to be gone, of one pipeline or of all, newest first.

        Those are pending or running, and their last ``heartbeat_at`` is longer ago than ``silent_seconds``. A run that
        never had one is not among them: nobody promised signs of life from it.
        """
        return self._driver.run(runs.stale(self._entity, pipeline_id=pipeline_id, silent_seconds=silent_seconds))

    def close_stale_runs(self, silent_seconds: float = 300, pipeline_id: str | None = None) -> list[PipelineRunLog]:
        """Give the runs that `get_stale_runs` finds the status failed, and return them as they are now.

        Their ``end_time`` is their last sign of life, and their ``error_type`` is ``"HeartbeatLost"``. A run that gives
        a sign of life meanwhile, or is closed by somebody else, is left alone.
        """
        return self._driver.run(runs.close_stale(self._entity, pipeline_id=pipeline_id, silent_seconds=silent_seconds))

    # --- log messages -------------------------------------------------------------------------------------------

    def add_log_messages(self, run_id: str, messages: Iterable[LogMessage]) -> PipelineRunLog:
        """Add log messages, in order and after those that are there, and return the new run.

        The first 100 go into the run's ``log_messages``, as long as they are of at most 1,000 bytes; the first that
        does not fit and all after it go to `events`, and ``log_event_count`` says how many those are. So a run of any
        length stays under 400 KB.

        Raises:
            ItemNotFoundError: There is no such run.
            ValidationError: A message is neither text nor a record, or is over 400 KB; nothing was written.
            BatchIncompleteError: Some were not written; ``.unprocessed`` has them as `PipelineRunEvent`.
        """
        return self._driver.run(run_messages.add(self._entity, self.events._entity, run_id, messages))

    def delete(self, pk: object, sk: object = None, *, when: AnyCondition | None = None) -> bool:
        """Delete a run and all its log messages; True if the run was there. Run again after a kill, it finishes.

        Raises:
            ConditionFailedError: ``when`` did not hold; nothing was deleted.
            BatchIncompleteError: The run is deleted, some of its messages are not.
        """
        return self._driver.run(run_messages.delete_run(self._entity, self.events._entity, (pk, sk), when=when))

    def get_log_messages(self, run_id: str) -> list[LogMessage]:
        """Return all log messages of a run, in order, wherever they are kept; read strongly consistent.

        Raises:
            ItemNotFoundError: There is no such run.
        """
        return self._driver.run(run_messages.read(self._entity, self.events._entity, run_id))

    # --- the tables ---------------------------------------------------------------------------------------------

    def create_table(self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: Progress | None = None) -> None:
        """Make the table of runs as the base class does, and that of events unless it exists."""
        self._driver.run(
            tables.one_after_another(
                tables.create_table(self._entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
                tables.ensure_table(
                    self.events._entity, wait_seconds=wait_seconds, progress=progress or self.events._log_progress
                ),
            ),
            each_request=True,
        )

    def ensure_table(self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: Progress | None = None) -> bool:
        """Make the tables of runs and events unless they exist; True if one was made here."""
        return self._driver.run(
            tables.one_after_another(
                tables.ensure_table(self._entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
                tables.ensure_table(
                    self.events._entity, wait_seconds=wait_seconds, progress=progress or self.events._log_progress
                ),
            ),
            each_request=True,
        )

    def delete_table(self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: Progress | None = None) -> bool:
        """Delete the tables of runs and events with everything in them; False if there was neither."""
        return self._driver.run(
            tables.one_after_another(
                tables.delete_table(self._entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
                tables.delete_table(
                    self.events._entity, wait_seconds=wait_seconds, progress=progress or self.events._log_progress
                ),
            ),
            each_request=True,
        )
