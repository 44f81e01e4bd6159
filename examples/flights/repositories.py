"""Which questions the tables answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Self

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    Derived,
    DynamoDBConfig,
    PipelineConfigRepository,
    PipelineRunLogsRepository,
    TableConfigRepository,
)
from examples.flights.models import Airport, Carrier, Flight

LATE_MINUTES = 60


def late_on(day: date, departure_delay: int | None) -> str | None:
    """The day of a flight that left an hour late or more; None for all others, which are then not in the index."""
    return day.isoformat() if departure_delay is not None and departure_delay >= LATE_MINUTES else None


class FlightRepository(BaseDynamoRepository[Flight]):
    table_name = "flights"
    primary_key = "flight"
    sort_key = "scheduled_departure"
    version_attribute = "version"

    by_carrier = AccessPattern(
        "by_carrier",
        partition=("carrier", "day"),
        sort="scheduled_departure",
    )
    by_route = AccessPattern(
        "by_route",
        partition=("origin", "dest"),
        sort="scheduled_departure",
    )
    late = AccessPattern(
        "late",
        partition=Derived("late_on", ("day", "departure_delay"), late_on),
        sort="departure_delay",
        projection=("origin", "dest"),
    )


class AirportRepository(BaseDynamoRepository[Airport]):
    table_name = "airports"
    primary_key = "code"
    by_time_zone = AccessPattern("by_time_zone", partition="time_zone", sort="code")


class CarrierRepository(BaseDynamoRepository[Carrier]):
    table_name = "carriers"
    primary_key = "code"


@dataclass(frozen=True)
class Repositories:
    """Everything the tour uses; one connection pool serves them all."""

    flights: FlightRepository
    airports: AirportRepository
    carriers: CarrierRepository
    pipelines: PipelineConfigRepository
    tables: TableConfigRepository
    runs: PipelineRunLogsRepository

    @classmethod
    def of(cls, config: DynamoDBConfig) -> Self:
        return cls(
            FlightRepository(config),
            AirportRepository(config),
            CarrierRepository(config),
            PipelineConfigRepository(config),
            TableConfigRepository(config),
            PipelineRunLogsRepository(config),
        )

    def __iter__(self) -> Iterator[BaseDynamoRepository[Any]]:
        return (getattr(self, field.name) for field in fields(self))
