"""Spans and metrics as OpenTelemetry's own SDK receives them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, DynamoDBConfig, ItemAlreadyExistsError
from dynamodb_wrapper.exceptions import ThrottlingError
from dynamodb_wrapper.integrations.opentelemetry import instrument
from dynamodb_wrapper.operations.effects import Call, Response, call
from dynamodb_wrapper.transport import RetryPolicy, Server, SyncDriver, drop_embedded


class Order(BaseModel):
    customer: str
    number: int
    status: str = "open"


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer"
    sort_key = "number"
    by_status = AccessPattern("by_status", partition="status")


class Telemetry:
    """Everything reported since it was made."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers, self.meters = TracerProvider(), MeterProvider([self.reader])
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def metric(self, name: str) -> Any:
        data = self.reader.get_metrics_data()
        assert data is not None
        (scope,) = data.resource_metrics[0].scope_metrics
        return next(metric for metric in scope.metrics if metric.name == name)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    with instrument(made.tracers, made.meters):
        yield made
    made.meters.shutdown()
    made.tracers.shutdown()


@pytest.fixture
def orders() -> Iterator[Orders]:
    repository = Orders(DynamoDBConfig.embedded("telemetry"))
    repository.ensure_table()
    yield repository
    drop_embedded("telemetry")


def test_a_request_is_a_span_under_the_current_one(orders: Orders, telemetry: Telemetry) -> None:
    telemetry.exporter.clear()
    before = time.time_ns()
    with telemetry.tracers.get_tracer("app").start_as_current_span("handler") as parent:
        orders.create(Order(customer="very-private", number=1))
    span, _ = telemetry.spans
    assert span.name == "PutItem dev_orders"
    assert span.kind is SpanKind.CLIENT
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    assert span.start_time is not None
    assert span.end_time is not None
    assert before - 1_000_000 <= span.start_time < span.end_time <= time.time_ns()
    assert span.status.status_code is StatusCode.UNSET
    attributes = dict(span.attributes or {})
    (capacity,) = attributes.pop("aws.dynamodb.consumed_capacity")  # type: ignore[misc]
    assert json.loads(str(capacity))["TableName"] == "dev_orders"
    assert attributes.pop("aws.request_id")
    assert attributes == {
        "db.system.name": "aws.dynamodb",
        "db.operation.name": "PutItem",
        "db.collection.name": "dev_orders",
        "cloud.region": "us-east-1",
        "rpc.system": "aws-api",
        "rpc.service": "DynamoDB",
        "rpc.method": "PutItem",
        "aws.dynamodb.table_names": ("dev_orders",),
    }
    assert "very-private" not in span.to_json()


def test_an_error_is_the_spans_status(orders: Orders, telemetry: Telemetry) -> None:
    orders.create(Order(customer="very-private", number=1))
    telemetry.exporter.clear()
    with pytest.raises(ItemAlreadyExistsError):
        orders.create(Order(customer="very-private", number=1))
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR
    attributes = dict(span.attributes or {})
    assert attributes["error.type"] == attributes["db.response.status_code"] == "ConditionalCheckFailedException"
    assert "very-private" not in span.to_json()


def test_an_index_is_named(orders: Orders, telemetry: Telemetry) -> None:
    telemetry.exporter.clear()
    orders.by_status("open").all()
    (span,) = telemetry.spans
    assert dict(span.attributes or {})["aws.dynamodb.index_name"] == "by_status"


def test_durations_and_capacity_are_histograms(orders: Orders, telemetry: Telemetry) -> None:
    for number in range(3):
        orders.put(Order(customer="c", number=number))
    duration = telemetry.metric("db.client.operation.duration")
    assert duration.unit == "s"
    (puts,) = [point for point in duration.data.data_points if point.attributes["db.operation.name"] == "PutItem"]
    assert puts.count == 3
    assert 0 < puts.sum < 60
    assert tuple(puts.explicit_bounds) == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
    assert set(puts.attributes) == {"db.system.name", "db.operation.name", "db.collection.name", "cloud.region"}
    capacity = telemetry.metric("aws.dynamodb.client.consumed_capacity")
    (consumed,) = [point for point in capacity.data.data_points if point.attributes["db.operation.name"] == "PutItem"]
    assert consumed.count == 3
    assert consumed.sum >= 3


def test_retries_tables_and_the_server(telemetry: Telemetry) -> None:
    answers: list[Any] = [ThrottlingError("slow"), {}]

    class Lane:
        def send(self, call: Call, time_left: float | None = None) -> Response:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    driver = SyncDriver(Lane(), RetryPolicy(jitter=lambda: 0.0), server=lambda: Server("db.example", 443, "eu-west-1"))
    driver.run(call("BatchGetItem", {"RequestItems": {"b": {}, "a": {}}}))
    (span,) = telemetry.spans
    assert span.name == "BatchGetItem"
    attributes = dict(span.attributes or {})
    assert (attributes["server.address"], attributes["server.port"], attributes["cloud.region"]) == (
        "db.example",
        443,
        "eu-west-1",
    )
    assert attributes["dynamodb_wrapper.attempts"] == 2
    assert attributes["aws.dynamodb.table_names"] == ("a", "b")
    assert "db.collection.name" not in attributes


def test_a_closed_subscription_reports_no_more(orders: Orders) -> None:
    made = Telemetry()
    subscription = instrument(made.tracers, made.meters)
    orders.exists("c", 1)
    subscription.close()
    orders.exists("c", 1)
    assert len(made.spans) == 1
    made.meters.shutdown()
    made.tracers.shutdown()


def test_without_the_package_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import dynamodb_wrapper\n"
        "try:\n"
        "    import dynamodb_wrapper.integrations.opentelemetry\n"
        "except dynamodb_wrapper.DynamoDBWrapperError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'dynamodb-wrapper[opentelemetry]'" in run.stdout
