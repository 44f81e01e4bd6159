"""The example of a pipeline, run as a whole: what is stored, and what its logs say."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from dynamodb_wrapper import RunStatus
from dynamodb_wrapper.spark import SparkDynamoDBIntegration
from examples.flights import source
from examples.flights.models import Flight
from examples.flights.repositories import FlightRepository
from tests import servers

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAYS = [date(2013, 1, 1), date(2013, 3, 10)]


def test_the_pipeline_of_flights(
    spark: SparkSession, server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples.flights_pipeline.__main__ import both_runs, show
    from examples.flights_pipeline.setup import CarrierDelayRepository

    # Workers make repositories with the configuration of their environment, which was set before this test.
    integration = SparkDynamoDBIntegration(server.running.config(""))
    console = Console(width=120, record=True)
    (_, good), (_, bad) = both_runs(integration, tmp_path, DAYS, console)
    expected = {(flight.flight, flight.scheduled_departure): flight for flight in source.flights(DAYS)}

    assert (good.status, good.stages[0].records_processed) == (RunStatus.SUCCESS, len(expected))
    assert [stage.status for stage in good.stages] == [RunStatus.SUCCESS] * 4
    flights = FlightRepository(integration.config)
    stored = {(flight.flight, flight.scheduled_departure): flight for flight in flights.scan()}
    assert stored == expected
    late = [flight for flight in expected.values() if (flight.departure_delay or 0) >= 60]
    assert sum(flights.late(day.isoformat()).count() for day in DAYS) == len(late) > 0
    delays = CarrierDelayRepository(integration.config).list_all()
    assert sum(delay.flights for delay in delays) == len(expected)
    assert all(delay.carrier_name for delay in delays)
    assert good.data_quality_results[0].passed

    assert (bad.status, bad.total_records_failed) == (RunStatus.FAILED, _flights_to("LAX", expected.values()))
    assert "NaN" in str(bad.error_message)
    for title, run in (("good", good), ("bad", bad)):
        show(console, title, run)
    shown = console.export_text()
    assert "every flight is in the summary: passed" in shown
    assert "NaN" in shown


def _flights_to(dest: str, flights: object) -> int:
    assert isinstance(flights, type({}.values()))
    return sum(isinstance(flight, Flight) and flight.dest == dest for flight in flights)
