"""OpenTelemetry: a span and metrics for every request, by the semantic conventions for databases and DynamoDB."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.capacity import TableCapacity
from dynamodb_wrapper.transport import RequestEvent, Subscription, observe

try:
    from opentelemetry import metrics, trace
except ImportError as missing:
    raise DynamoDBWrapperError(
        "OpenTelemetry is not installed: pip install 'dynamodb-wrapper[opentelemetry]'", missing
    ) from missing

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue

_NAME = "dynamodb_wrapper"
_SYSTEM = "aws.dynamodb"
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Seconds; what the conventions ask for."""

Attributes = dict[str, "AttributeValue"]


def instrument(
    tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> Subscription:
    """Report every request of this process to OpenTelemetry, until the subscription is closed.

    A span of kind CLIENT covers a request with its retries, under the span that is current in the calling thread; the
    histograms are ``db.client.operation.duration`` (seconds) and ``aws.dynamodb.client.consumed_capacity`` (capacity
    units, by table). Keys and values are in neither.

    Args:
        tracer_provider: Where spans go; None for the global provider.
        meter_provider: Where metrics go; None for the global provider.
    """
    tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
    meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
    return observe(_Reporter(tracer, meter).report)


class _Reporter:
    """Turns events into spans and measurements."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._duration = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._capacity = meter.create_histogram(
            "aws.dynamodb.client.consumed_capacity",
            unit="{capacity_unit}",
            description="Capacity units that requests to DynamoDB consumed.",
        )

    def report(self, event: RequestEvent) -> None:
        """Report one request, which has just ended."""
        ended = time.time_ns()
        attributes = _attributes(event)
        span = self._tracer.start_span(
            f"{event.operation} {event.table_names[0]}" if len(event.table_names) == 1 else event.operation,
            kind=trace.SpanKind.CLIENT,
            attributes={**attributes, **_details(event)},
            start_time=ended - round(event.duration_ms * 1_000_000),
        )
        if event.outcome != "ok":
            span.set_status(trace.StatusCode.ERROR)
        span.end(end_time=ended)
        # So that the measurements point at the span as their exemplar.
        context = trace.set_span_in_context(span)
        self._duration.record(event.duration_ms / 1000, attributes, context=context)
        if event.consumed_capacity is not None:
            for table in event.consumed_capacity.tables:
                labels = {**attributes, "db.collection.name": table.table_name}
                self._capacity.record(table.total, labels, context=context)


def _attributes(event: RequestEvent) -> Attributes:
    """Return what spans and metrics share; nothing that has as many values as there are requests."""
    found: Mapping[str, AttributeValue | None] = {
        "db.system.name": _SYSTEM,
        "db.operation.name": event.operation,
        "db.collection.name": event.table_names[0] if len(event.table_names) == 1 else None,
        "db.response.status_code": event.code,
        "error.type": None if event.outcome == "ok" else event.code or event.outcome,
        "server.address": event.server.address,
        "server.port": event.server.port,
        "cloud.region": event.server.region,
    }
    return {name: value for name, value in found.items() if value is not None}


def _details(event: RequestEvent) -> Attributes:
    """Return what only spans have."""
    details: Attributes = {"rpc.system": "aws-api", "rpc.service": "DynamoDB", "rpc.method": event.operation}
    if event.request_id is not None:
        details["aws.request_id"] = event.request_id
    if event.table_names:
        details["aws.dynamodb.table_names"] = list(event.table_names)
    if event.index_name is not None:
        details["aws.dynamodb.index_name"] = event.index_name
    if event.attempts > 1:
        details["dynamodb_wrapper.attempts"] = event.attempts
    if event.consumed_capacity is not None:
        details["aws.dynamodb.consumed_capacity"] = [_as_json(table) for table in event.consumed_capacity.tables]
    return details


def _as_json(table: TableCapacity) -> str:
    """Return what was consumed on a table as JSON, in the shape in which DynamoDB says it."""
    members: dict[str, object] = {"TableName": table.table_name, "CapacityUnits": table.total}
    if table.table is not None:
        members["Table"] = {"CapacityUnits": table.table}
    for name, indexes in (
        ("LocalSecondaryIndexes", table.local_indexes),
        ("GlobalSecondaryIndexes", table.global_indexes),
    ):
        if indexes:
            members[name] = {index: {"CapacityUnits": units} for index, units in indexes.items()}
    return json.dumps(members)
