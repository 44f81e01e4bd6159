"""`AsyncPipelineRunEventsRepository`: the log messages of long runs."""

from __future__ import annotations

from dynamodb_wrapper.models import PipelineRunEvent
from dynamodb_wrapper.repositories.async_base import AsyncBaseDynamoRepository
from dynamodb_wrapper.repositories.pipeline_run_events import PipelineRunEventsTable


class AsyncPipelineRunEventsRepository(PipelineRunEventsTable, AsyncBaseDynamoRepository[PipelineRunEvent]):
    """Log messages that did not fit into a run's own item, by run and number.

    `PipelineRunLogsRepository` owns it: use its ``add_log_messages`` and ``get_log_messages``. Number 0 of each run is
    no message but the counter from which numbers are given out; numbers may have gaps.
    """
