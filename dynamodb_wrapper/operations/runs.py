"""Flows of pipeline runs: reading them newest first, ending them, their stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from dynamodb_wrapper.codec import KeyedList, Wire
from dynamodb_wrapper.exceptions import ConditionFailedError, ItemNotFoundError, ValidationError
from dynamodb_wrapper.expressions import Append, Condition, Encoded, F, Path, Remove, every
from dynamodb_wrapper.models import DataQualityResult, PipelineRunLog, RunStatus, StageInfo
from dynamodb_wrapper.operations import items, patches, queries
from dynamodb_wrapper.operations.effects import Flow, now, sleep
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Get
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.sizes import positive

R = TypeVar("R")

Runs = Entity[PipelineRunLog]

BY_PIPELINE = "by_pipeline"
BY_STATUS = "by_status"
BY_PIPELINE_AND_STATUS = "by_pipeline_and_status"
"""The indexes: the first two are sorted by start time."""

STAGES = KeyedList("stage_name")
"""How stages are stored: a map by name, so that one is added without reading or rewriting the others."""

STALE = "HeartbeatLost"
"""What a run has as ``error_type`` that was closed because it gave no more signs of life."""

_ONGOING = [status for status in RunStatus if not status.is_terminal]
_ATTEMPTS = 8
_FIRST_PAUSE_SECONDS = 0.01
"""Against other writers of the same run; each failed attempt means that another writer went ahead."""


# --- reading ----------------------------------------------------------------------------------------------------------


def of_pipeline(runs: Runs, pipeline_id: str, *, limit: int | None) -> Flow[list[PipelineRunLog]]:
    """Read the runs of a pipeline, newest first."""
    return (yield from queries.collected(_newest(runs, BY_PIPELINE, pipeline_id, limit=limit)))


def with_status(runs: Runs, status: str, *, pipeline_id: str | None) -> Flow[list[PipelineRunLog]]:
    """Read the runs that have a status, of one pipeline or of all, newest first."""
    status = RunStatus.of(status)
    if pipeline_id is None:
        return (yield from queries.collected(_newest(runs, BY_STATUS, status)))
    selection = _newest(runs, BY_PIPELINE_AND_STATUS, pipeline_id).sorted_by(lambda part: part == status, last=False)
    return _newest_first((yield from queries.collected(selection)))


def failed(runs: Runs, *, pipeline_id: str | None, hours: float) -> Flow[list[PipelineRunLog]]:
    """Read the failed runs that began within so many hours, newest first."""
    since = yield from _since(hours)
    if pipeline_id is None:
        return (yield from queries.collected(_newest(runs, BY_STATUS, RunStatus.FAILED, since=since)))
    selection = _newest(runs, BY_PIPELINE, pipeline_id, since=since).filtered(F.status == RunStatus.FAILED)
    return (yield from queries.collected(selection))


def recent(runs: Runs, *, pipeline_id: str | None, hours: float, limit: int | None) -> Flow[list[PipelineRunLog]]:
    """Read the runs that began within so many hours, newest first.

    Without a pipeline, one query for each status. They go in the order a run goes through them, so that a run whose
    status changes meanwhile is seen, perhaps twice, and then counted as it was seen last.
    """
    since = yield from _since(hours)
    if pipeline_id is not None:
        return (yield from queries.collected(_newest(runs, BY_PIPELINE, pipeline_id, since=since, limit=limit)))
    found: dict[str, PipelineRunLog] = {}
    for status in RunStatus:
        selection = _newest(runs, BY_STATUS, status, since=since, limit=limit)
        found.update({run.run_id: run for run in (yield from queries.collected(selection))})
    return _newest_first(found.values())[:limit]


def _newest(
    runs: Runs, index: str, partition: str, *, since: datetime | None = None, limit: int | None = None
) -> Selection[PipelineRunLog]:
    """Return the selection of one partition of an index, from the highest sort key down."""
    if limit is not None:
        positive("limit", limit)
    everything = Selection(runs, runs.declaration.index(index), runs.decode, descending=True, limit=limit)
    selection = everything.from_key(partition)
    return selection if since is None else selection.sorted_by(lambda part: part >= since, last=True)


def _newest_first(found: Iterable[PipelineRunLog]) -> list[PipelineRunLog]:
    return sorted(found, key=lambda run: run.start_time, reverse=True)


def _since(hours: float) -> Flow[datetime]:
    time = yield from now()
    try:
        if not hours >= 0:
            raise ValueError(f"{hours!r} is negative")
        return time - timedelta(hours=hours)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValidationError(
            f"hours must be a number from 0 that reaches back no further than the year 1, not {hours!r}",
            {"hours": repr(hours)},
            error,
        ) from error


# --- status -----------------------------------------------------------------------------------------------------------


def change_status(
    runs: Runs,
    run_id: str,
    status: str,
    *,
    error_message: str | None,
    end_time: datetime | None,
    fields: Mapping[str, object],
    when: Condition | None = None,
) -> Flow[PipelineRunLog]:
    """Give a run another status, and other fields with it; at an end state also its end and how long it took.

    At the other states it has neither of the two.

    Raises:
        ItemNotFoundError: There is no such run.
        ConditionFailedError: ``when`` does not hold.
        ValidationError: There is no such status, or an end was given for a status that is none.
    """
    status = RunStatus.of(status)
    changes: dict[str | Path, object] = {"status": status}
    changes.update(fields)
    if error_message is not None:
        changes["error_message"] = error_message
    if status.is_terminal:
        return (yield from _end(runs, run_id, changes, end_time, when))
    if end_time is not None:
        raise ValidationError(
            f"a run that is {status.value} has no end_time", {"end_time": f"{status.value} is no end"}
        )
    ongoing = {**changes, "end_time": Remove(), "duration_seconds": Remove()}
    return (yield from _patch(runs, run_id, ongoing, when=when))


def _end(
    runs: Runs, run_id: str, changes: patches.Changes, end_time: datetime | None, when: Condition | None
) -> Flow[PipelineRunLog]:
    """Write the end with the duration; only over the start time that the duration was computed from."""
    end = (yield from now()) if end_time is None else runs.codec.times.aware(end_time)

    def attempt() -> Flow[PipelineRunLog]:
        start = yield from _start_time(runs, run_id)
        if start is None:
            ended, as_read = {**changes, "end_time": end}, F.start_time.not_exists()
        else:
            # The clock that gave the end may be behind the one that gave the start.
            duration = _seconds(max(end - start, timedelta(0)))
            ended, as_read = {**changes, "end_time": end, "duration_seconds": duration}, F.start_time == start
        return (yield from _patch(runs, run_id, ended, when=every(as_read, when)))

    if when is not None:  # whether it was this that failed, nobody can tell: so nothing is tried again
        return (yield from attempt())
    return (yield from _until_it_holds(attempt))


# --- signs of life ----------------------------------------------------------------------------------------------------


def note_heartbeat(runs: Runs, run_id: str) -> Flow[PipelineRunLog]:
    """Note that a run is alive now, as long as it has not ended.

    Raises:
        ItemNotFoundError: There is no such run.
        ConditionFailedError: It has ended; the run is in ``.item``.
    """
    time = yield from now()
    try:
        return (yield from _patch(runs, run_id, {"heartbeat_at": time}, when=F.status.in_(_ONGOING)))
    except ConditionFailedError as error:
        error.message = "the run has ended, so it has no more signs of life"
        raise


def stale(runs: Runs, *, pipeline_id: str | None, silent_seconds: float) -> Flow[list[PipelineRunLog]]:
    """Read the runs without an end that once gave signs of life, but none for so many seconds; newest first."""
    before = yield from _before(silent_seconds)
    found: dict[str, PipelineRunLog] = {}
    for status in _ONGOING:
        for run in (yield from with_status(runs, status, pipeline_id=pipeline_id)):
            if run.heartbeat_at is not None and run.heartbeat_at < before:
                found[run.run_id] = run
    return _newest_first(found.values())


def close_stale(runs: Runs, *, pipeline_id: str | None, silent_seconds: float) -> Flow[list[PipelineRunLog]]:
    """Fail the runs that `stale` finds, each only if it gives no sign of life meanwhile, and return these.

    The end of a run is its last sign of life: that is what is known of it.
    """
    closed: list[PipelineRunLog] = []
    for run in (yield from stale(runs, pipeline_id=pipeline_id, silent_seconds=silent_seconds)):
        assert run.heartbeat_at is not None, "stale finds no others"
        message = f"no sign of life since {run.heartbeat_at.isoformat(timespec='seconds')}: its process is gone"
        unchanged = every(F.status == run.status, F.heartbeat_at == run.heartbeat_at)
        try:
            ended = yield from change_status(
                runs,
                run.run_id,
                RunStatus.FAILED,
                error_message=message,
                end_time=run.heartbeat_at,
                fields={"error_type": STALE},
                when=unchanged,
            )
        except (ConditionFailedError, ItemNotFoundError):
            continue  # it lives, or somebody else has closed or deleted it
        closed.append(ended)
    return closed


def _before(silent_seconds: float) -> Flow[datetime]:
    time = yield from now()
    try:
        if not silent_seconds > 0:
            raise ValueError(f"{silent_seconds!r} is not above 0")
        return time - timedelta(seconds=silent_seconds)
    except (TypeError, ValueError, OverflowError) as error:
        problem = f"must be a number of seconds above 0, not {silent_seconds!r}"
        raise ValidationError(f"silent_seconds {problem}", {"silent_seconds": problem}, error) from error


# --- data quality -----------------------------------------------------------------------------------------------------


def add_quality_results(
    runs: Runs, run_id: str, results: Iterable[DataQualityResult | Mapping[str, object]]
) -> Flow[PipelineRunLog]:
    """Add what checks found after what is there; one that did not pass means that the data did not.

    Raises:
        ItemNotFoundError: There is no such run.
        ValidationError: There is no result, or one is none.
    """
    found = list(results)
    if not found:
        raise ValidationError("there is no result to add", {"results": "empty"})
    changes: dict[str | Path, object] = {"data_quality_results": Append(*found)}
    element = runs.codec.element_target(runs.codec.target(("data_quality_results",)))
    if not all(element.written(result)["M"]["passed"]["BOOL"] for result in found):
        changes["data_quality_passed"] = False
    return (yield from _patch(runs, run_id, changes))


def _start_time(runs: Runs, run_id: str) -> Flow[datetime | None]:
    """Read when a run began; None when its item does not say."""
    known = yield from items.get_attributes(runs, (run_id, None), ["start_time"], consistent=True)
    if known is None:
        raise ItemNotFoundError(runs.table_name, runs.readable_key(runs.key(run_id)))
    start: datetime | None = known.get("start_time")
    return start


def _seconds(duration: timedelta) -> Decimal:
    """Return a duration in seconds, exactly."""
    return Decimal(duration // timedelta(microseconds=1)).scaleb(-6)


# --- stages -----------------------------------------------------------------------------------------------------------


def add_stage(runs: Runs, run_id: str, stage: StageInfo | Mapping[str, object]) -> Flow[PipelineRunLog]:
    """Add a stage at the end, or replace the one of its name where it stands; no other stage is touched.

    Raises:
        ItemNotFoundError: There is no such run.
        ValidationError: This is no stage.
    """
    encoded = runs.codec.element_target(runs.codec.target(("stages",))).written(stage)
    name = encoded["M"]["stage_name"]["S"]
    place = Path("stages", name)

    def attempt() -> Flow[PipelineRunLog]:
        stored = yield from _stored_stages(runs, run_id)
        if stored is None:
            return (yield from _patch(runs, run_id, {"stages": [stage]}, when=F.stages.not_exists()))
        if "M" not in stored:
            return (yield from _as_map(runs, run_id, stage, stored))
        placed = Encoded(STAGES.placed(encoded, stored, name))
        as_read = place.exists() if name in stored["M"] else place.not_exists()
        return (yield from _patch(runs, run_id, {place: placed}, when=as_read))

    return (yield from _until_it_holds(attempt))


def _as_map(runs: Runs, run_id: str, stage: StageInfo | Mapping[str, object], stored: Wire) -> Flow[PipelineRunLog]:
    """Add a stage to stages that somebody stored as a plain list, storing them as a map from now on."""
    (tag,) = stored
    known: list[StageInfo] = runs.codec.decode_partial({runs.codec.attribute("stages"): stored})["stages"] or []
    added = StageInfo.model_validate(stage)
    by_name = {entry.stage_name: entry for entry in known} | {added.stage_name: added}
    return (yield from _patch(runs, run_id, {"stages": list(by_name.values())}, when=F.stages.is_type(tag)))


def _stored_stages(runs: Runs, run_id: str) -> Flow[Wire | None]:
    """Read the stages in their stored form, with their positions; None when the item has no such attribute."""
    key = runs.key(run_id)
    attribute = runs.codec.attribute("stages")
    names = ((attribute,), (runs.partition_attribute,))
    request = Get(runs.table_name, runs.codec, runs.readable_key(key), key, consistent=True, projection=names)
    response = yield from request.send()
    if "Item" not in response:
        raise ItemNotFoundError(runs.table_name, request.readable_key)
    stored: Wire | None = response["Item"].get(attribute)
    return stored


# --- writing ----------------------------------------------------------------------------------------------------------


def _until_it_holds(attempt: Callable[[], Flow[R]]) -> Flow[R]:
    """Run an attempt to change what was just read, again when another writer changed it in between."""
    for number in range(_ATTEMPTS):
        try:
            return (yield from attempt())
        except ConditionFailedError as error:
            if number == _ATTEMPTS - 1:
                error.message = f"other writers changed the run {_ATTEMPTS} times in a row, each time before this write"
                raise
        yield from sleep(_FIRST_PAUSE_SECONDS * 2**number)
    raise AssertionError("the last attempt returns or raises")


def _patch(runs: Runs, run_id: str, changes: patches.Changes, *, when: Condition | None = None) -> Flow[PipelineRunLog]:
    return patches.patch(runs, (run_id, None), changes, {}, when=when, upsert=False)
