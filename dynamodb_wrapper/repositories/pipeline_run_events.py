"""`PipelineRunEventsRepository`: the log messages of long runs."""

from __future__ import annotations

from dynamodb_wrapper.models import PipelineRunEvent
from dynamodb_wrapper.repositories.base import BaseDynamoRepository


class PipelineRunEventsTable:
    """The table of log messages that did not fit into a run, as repositories of both colours declare it."""

    table_name = "pipeline_run_events"
    primary_key = "run_id"
    sort_key = "sequence"


class PipelineRunEventsRepository(PipelineRunEventsTable, BaseDynamoRepository[PipelineRunEvent]):
    """Log messages that did not fit into a run's own item, by run and number.

    `PipelineRunLogsRepository` owns it: use its ``add_log_messages`` and ``get_log_messages``. Number 0 of each run is
    no message but the counter from which numbers are given out; numbers may have gaps.
    """
