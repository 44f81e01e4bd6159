"""The life of one run, seen from the process that does its work: noted, however it ends."""

from __future__ import annotations

import asyncio
import logging
import platform
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    DynamoDBWrapperError,
    ItemNotFoundError,
    ItemTooLargeError,
    ValidationError,
)
from dynamodb_wrapper.expressions import Remove
from dynamodb_wrapper.models import PipelineRunLog, RunStatus, StageInfo
from dynamodb_wrapper.operations.runs import STALE
from dynamodb_wrapper.repositories import PipelineRunLogsRepository

HEARTBEAT_SECONDS = 30.0
"""How often a run gives a sign of life; `close_stale_runs` waits ten times as long by default."""

_MOST_MESSAGE_CHARACTERS = 4_000
_MOST_TRACE_CHARACTERS = 60_000
"""What is kept of an error: an item of DynamoDB holds 400 KB, and a character takes up to four bytes."""

_CANCELLING = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)

_HIDDEN = "*** hidden ***"
_SECRET = re.compile(  # names
    r"(?i)secret|passw|pwd|passphrase|token|(access|account|api|private|storage)[._-]?key|credential|private|"
    r"jaas|\bsas\b|authorization|connection[._-]?string"
)
_SECRET_INSIDE = re.compile(  # values
    r"(?i)(secret|passw(or)?d|pwd|token|access_?key|account_?key|signature|sig)[\"']?\s*[=:]|://[^/\s]*:[^/\s]*@"
)

_log = logging.getLogger(__name__)

AtEnd = Callable[[str], Mapping[str, Any]]


@contextmanager
def recorded_run(
    runs: PipelineRunLogsRepository,
    pipeline_id: str,
    trigger_type: str,
    *,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    at_end: AtEnd = lambda run_id: {},
    **fields: object,
) -> Iterator[str]:
    """Give the id of a new run, which lasts as long as the block.

    The run is pending, then running with signs of life; at the end it is a success, failed (with message, type and
    stack trace) or cancelled (Ctrl-C, a cancelled task). What the block raises goes on. An end that the block has
    given the run itself (skipped, say) stays.

    Args:
        runs: Where it is noted.
        pipeline_id: The pipeline that runs.
        trigger_type: What started it.
        heartbeat_seconds: How often ``heartbeat_at`` is set, from a thread.
        at_end: Tells what else is known of the run when it ends, by field.
        fields: Other fields of `PipelineRunLog`.

    Raises:
        DynamoDBWrapperError: The run could not be noted at its start, so that the block has not begun; or its success
            could not be, which a note on the error says. That a failure could not be is a note on the block's error.
    """
    heartbeat = _Heartbeat(runs, heartbeat_seconds)
    run_id = new_run_id(pipeline_id)
    runs.create_run_log(run_id, pipeline_id, trigger_type, **{"heartbeat_at": datetime.now(UTC), **facts(), **fields})
    runs.update_run_status(run_id, RunStatus.RUNNING)
    try:  # the thread begins inside: an interrupt while it starts must stop it, or the run would seem to live
        heartbeat.begin(run_id)
        yield run_id
    except BaseException as error:
        _try(_note_end, runs, run_id, error, at_end, cause=error)
        raise
    finally:
        heartbeat.stop()
    try:
        _note_success(runs, run_id, at_end)
    except DynamoDBWrapperError as error:
        error.add_note(f"the work of run {run_id!r} is done; only its run log could not be brought to success")
        raise


@contextmanager
def recorded_stage(runs: PipelineRunLogsRepository, run_id: str, stage_name: str) -> Iterator[StageInfo]:
    """Give a stage of a run, which lasts as long as the block; set ``records_processed`` on it in the block.

    Its status, times and error are noted at both ends. What the block raises goes on. A log that cannot be written
    stops no work: it is a warning in Python's log, and a note on the block's own error.
    """
    stage = StageInfo(stage_name=stage_name, status=RunStatus.RUNNING, start_time=datetime.now(UTC))
    _try(_write_stage, runs, run_id, stage)
    try:
        yield stage
    except BaseException as error:
        stage.status = status_of(error)
        if stage.status != RunStatus.SUCCESS:  # sys.exit(0)
            stage.error_message = message_of(error)
        raise
    else:
        if not stage.status.is_terminal:
            stage.status = RunStatus.SUCCESS
    finally:
        stage.end_time = datetime.now(UTC)
        if stage.start_time is not None:
            stage.duration_seconds = Decimal(str((stage.end_time - stage.start_time).total_seconds()))
        _try(_write_stage, runs, run_id, stage)


def new_run_id(pipeline_id: str) -> str:
    """Return an id that sorts by time and that nobody else has."""
    return f"{pipeline_id}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


def status_of(error: BaseException) -> RunStatus:
    """Return what a run is that an exception has ended."""
    if isinstance(error, _CANCELLING):
        return RunStatus.CANCELLED
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return RunStatus.SUCCESS
    return RunStatus.FAILED


def message_of(error: BaseException) -> str:
    """Return an exception's message, or its type when it has none, shortened to what a run holds."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the error is what is to be told, not a fault of its own
        text = ""
    return _shortened(_storable(text or type(error).__name__), _MOST_MESSAGE_CHARACTERS)


def error_fields(error: BaseException) -> dict[str, Any]:
    """Return what a run keeps of an exception: ``error_message``, ``error_type``, ``error_stack_trace``."""
    kind = type(error)
    trace = "".join(traceback.format_exception(error))
    return {
        "error_message": message_of(error),
        "error_type": kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        "error_stack_trace": _shortened(_storable(trace), _MOST_TRACE_CHARACTERS),
    }


def facts() -> dict[str, Any]:
    """Return what is known of where this process runs: versions, and Spark's application if one is running."""
    found: dict[str, Any] = {"python_version": platform.python_version()}
    pyspark = sys.modules.get("pyspark")
    if pyspark is None:
        return found
    found["spark_version"] = pyspark.__version__
    context = pyspark.SparkContext._active_spark_context
    if context is not None:  # there is none with Spark Connect
        found["spark_application_id"] = context.applicationId
        if context.uiWebUrl:
            found["monitoring_urls"] = {"spark": context.uiWebUrl}
    return found


class _Heartbeat:
    """Signs of life of a run, from a thread, as long as the block lasts."""

    def __init__(self, runs: PipelineRunLogsRepository, every_seconds: Any) -> None:
        if not isinstance(every_seconds, int | float) or not 0 < every_seconds <= threading.TIMEOUT_MAX:
            problem = f"must be a number of seconds above 0, not {every_seconds!r}"
            raise ValidationError(f"heartbeat_seconds {problem}", {"heartbeat_seconds": problem})
        self._runs = runs
        self._run_id = ""
        self._every_seconds = every_seconds
        self._stopped = threading.Event()

    def begin(self, run_id: str) -> None:
        """Give them from now on."""
        self._run_id = run_id
        target = copy_context().run
        threading.Thread(target=target, args=(self._beat,), daemon=True, name="run-heartbeat").start()

    def stop(self) -> None:
        """Give no more; stopping twice is fine."""
        self._stopped.set()  # not waited for: a sign of life after the end is refused

    def _beat(self) -> None:
        while not self._stopped.wait(self._every_seconds):
            try:
                self._runs.note_heartbeat(self._run_id)
            except (ConditionFailedError, ItemNotFoundError) as error:
                if not self._stopped.is_set():
                    _log.warning("run %s gives no more signs of life: %s", self._run_id, error)
                return
            except DynamoDBWrapperError as error:
                _log.warning("a sign of life of run %s could not be noted: %s", self._run_id, error)


def _note_success(runs: PipelineRunLogsRepository, run_id: str, at_end: AtEnd) -> None:
    run = runs.get_or_raise(run_id, consistent=True)
    known: dict[Any, Any] = {**_new_facts(run), **_known(at_end, run_id)}
    if run.status.is_terminal and run.error_type != STALE:  # the block has said how it ended
        if known:
            runs.patch(run_id, changes=known)
        return
    if run.error_type == STALE:
        known.update(error_message=Remove(), error_type=Remove())
    runs.update_run_status(run_id, RunStatus.SUCCESS, **known)


def _note_end(runs: PipelineRunLogsRepository, run_id: str, error: BaseException, at_end: AtEnd) -> None:
    status = status_of(error)
    if status == RunStatus.SUCCESS:
        _note_success(runs, run_id, at_end)
    else:
        told, known = error_fields(error), {**facts(), **_known(at_end, run_id)}
        try:
            runs.update_run_status(run_id, status, **told, **known)
        except ItemTooLargeError:  # the run's end matters more than what led to it
            runs.update_run_status(run_id, status, told["error_message"][:500], error_type=told["error_type"])


def _known(at_end: AtEnd, run_id: str) -> dict[str, Any]:
    try:
        return dict(at_end(run_id))
    except Exception as error:  # noqa: BLE001 - what is known besides must not keep the run from ending
        _log.warning("what the tasks of run %s did could not be summed up: %s", run_id, error)
        return {}


def _new_facts(run: PipelineRunLog) -> dict[str, Any]:
    """Return what became known since the run began: its Spark session may have been made in it."""
    return {name: value for name, value in facts().items() if not getattr(run, name)}


def _write_stage(runs: PipelineRunLogsRepository, run_id: str, stage: StageInfo) -> None:
    runs.add_stage_info(run_id, stage)
    if not stage.status.is_terminal:
        runs.patch(run_id, current_stage=stage.stage_name)


def _try(write: Any, *arguments: object, cause: BaseException | None = None) -> None:
    """Write to the log of runs, which must not stop the work or hide its error."""
    cause = cause or sys.exception()
    try:
        write(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not the work's
        message = f"the run log could not be written: {error}"
        _log.warning("%s", message)
        if cause is not None:
            cause.add_note(message)


def _storable(text: str) -> str:
    """Return a text that DynamoDB can hold: names of files that are no UTF-8 have lone surrogates in messages."""
    return text.encode(errors="backslashreplace").decode()


def _shortened(text: str, most: int) -> str:
    """Return a text with its middle left out if it is too long: its beginning and its end tell most."""
    if len(text) <= most:
        return text
    head, tail = most // 4, most - most // 4
    return f"{text[:head]}\n... {len(text) - most:,} characters left out ...\n{text[-tail:]}"


def redacted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for the log, with the values hidden that are secrets by their name or by what is in them."""
    return {name: _HIDDEN if _SECRET.search(name) else _redacted(value) for name, value in settings.items()}


def _redacted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return redacted(value)
    if isinstance(value, list | tuple):
        return [_redacted(element) for element in value]
    return _HIDDEN if isinstance(value, str) and _SECRET_INSIDE.search(value) else value
