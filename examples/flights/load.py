"""Fills the tables, as a pipeline would: every run is logged, stage by stage, also when it fails."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar
from uuid import uuid4

from pydantic import BaseModel
from rich.progress import Progress

from dynamodb_wrapper import (
    Add,
    BaseDynamoRepository,
    BatchProgress,
    DataFormat,
    ItemAlreadyExistsError,
    PipelineRunLogsRepository,
    RunStatus,
    StageInfo,
    TableType,
)
from examples.flights import source
from examples.flights.models import Flight
from examples.flights.repositories import Repositories

T = TypeVar("T", bound=BaseModel)

PIPELINE = "nycflights13"
FLIGHTS_TABLE = "nycflights13-flights"


def load(repositories: Repositories, days: Collection[date] | None, progress: Progress) -> str:
    """Store carriers, airports and the flights of these days (None: of the year), and return the id of the run."""
    describe_pipeline(repositories)
    carriers, airports, flights = source.carriers(), source.airports(), source.count_flights(days)
    with recorded_run(repositories.runs) as run_id:
        loader = Loader(repositories.runs, run_id, progress)
        loader.store(repositories.carriers, carriers, len(carriers))
        loader.store(repositories.airports, airports, len(airports))
        loader.store(repositories.flights, source.flights(days), flights)
    repositories.tables.update_table_statistics(FLIGHTS_TABLE, record_count=flights)
    return run_id


def load_damaged(repositories: Repositories, flights: Sequence[Flight], progress: Progress) -> None:
    """Store flights of which the last has NaN for a number: the run fails, and its log says so.

    Raises:
        ValidationError: DynamoDB has no NaN. Nothing was sent, because a list is checked as a whole first.
    """
    damaged = flights[-1].model_copy(update={"air_minutes": float("nan")})
    with recorded_run(repositories.runs) as run_id:
        Loader(repositories.runs, run_id, progress).store(repositories.flights, [*flights[:-1], damaged], len(flights))


def describe_pipeline(repositories: Repositories) -> None:
    """Store what the pipeline is and which table it writes; when it ran before, they are there already."""
    try:
        repositories.pipelines.create_pipeline_config(
            pipeline_id=PIPELINE,
            pipeline_name="New York flights",
            source_type="csv",
            destination_type="dynamodb",
            created_by="examples.flights",
            tags={"source": "nycflights13"},
        )
        repositories.tables.create_table_config(
            table_id=FLIGHTS_TABLE,
            pipeline_id=PIPELINE,
            table_name=repositories.flights.table_name,
            table_type=TableType.DESTINATION,
            data_format=DataFormat.DYNAMODB,
            location=repositories.flights.table_name,
        )
    except ItemAlreadyExistsError:
        pass


@contextmanager
def recorded_run(runs: PipelineRunLogsRepository) -> Iterator[str]:
    """Keep a run log around a block: PENDING, RUNNING, then SUCCESS, or FAILED with the error."""
    run_id = f"run-{uuid4().hex[:8]}"
    runs.create_run_log(run_id=run_id, pipeline_id=PIPELINE, trigger_type="manual", created_by="examples.flights")
    runs.update_run_status(run_id, RunStatus.RUNNING)
    try:
        yield run_id
    except BaseException as error:
        runs.update_run_status(run_id, RunStatus.FAILED, error_message=f"{type(error).__name__}: {error}")
        raise
    runs.update_run_status(run_id, RunStatus.SUCCESS)


@dataclass(frozen=True)
class Loader:
    """Stores models, one stage of the run for each table."""

    runs: PipelineRunLogsRepository
    run_id: str
    progress: Progress

    def store(self, repository: BaseDynamoRepository[T], models: Iterable[T], total: int) -> None:
        """Store any number of models, in batches; loading again what is loaded stores the same again."""
        task = self.progress.add_task(repository.table_name, total=total)
        with self._stage(repository.table_name) as counter:

            def tell(progress: BatchProgress) -> None:
                counter.done = progress.done
                self.progress.update(task, completed=counter.done)

            repository.put_many(models, ignore_version=True, progress=tell)

    @contextmanager
    def _stage(self, name: str) -> Iterator[Counter]:
        stage = StageInfo(stage_name=name, status=RunStatus.RUNNING, start_time=datetime.now(UTC))
        self.runs.add_stage_info(self.run_id, stage)
        counter = Counter()
        try:
            yield counter
        except BaseException as error:
            self._end_stage(stage, RunStatus.FAILED, counter.done, str(error))
            raise
        self._end_stage(stage, RunStatus.SUCCESS, counter.done)

    def _end_stage(self, stage: StageInfo, status: RunStatus, done: int, error_message: str | None = None) -> None:
        now = datetime.now(UTC)
        ended = {
            "status": status,
            "end_time": now,
            "duration_seconds": f"{(now - stage.start_time).total_seconds():.3f}" if stage.start_time else None,
            "records_processed": done,
            "error_message": error_message,
        }
        self.runs.add_stage_info(self.run_id, {**stage.model_dump(), **ended})
        self.runs.patch(self.run_id, total_records_processed=Add(done))


@dataclass
class Counter:
    """How many models a stage has stored."""

    done: int = 0
