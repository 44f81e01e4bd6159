"""What there is before the pipeline runs: tables, its description, and the data it looks up."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, ItemAlreadyExistsError
from dynamodb_wrapper.spark import SparkDynamoDBIntegration
from examples.flights import source
from examples.flights.repositories import AirportRepository, CarrierRepository, FlightRepository

PIPELINE = "flights-2013"


class CarrierDelay(BaseModel):
    """How late one carrier's flights were at one destination."""

    carrier: str
    dest: str
    carrier_name: str | None = None
    dest_name: str | None = None
    flights: int = 0
    cancelled: int = 0
    mean_arrival_delay: Decimal | None = None  # minutes
    worst_arrival_delay: int | None = None


class CarrierDelayRepository(BaseDynamoRepository[CarrierDelay]):
    table_name = "carrier_delays"
    primary_key = "carrier"
    sort_key = "dest"
    worst_at = AccessPattern("worst_at", partition="dest", sort="mean_arrival_delay")


def set_up(integration: SparkDynamoDBIntegration, folder: Path) -> None:
    """Make the tables, load what is looked up, and describe the pipeline; done twice, it changes nothing."""
    config = integration.config
    carriers, airports = CarrierRepository(config), AirportRepository(config)
    data: tuple[BaseDynamoRepository[Any], ...] = (
        carriers,
        airports,
        FlightRepository(config),
        CarrierDelayRepository(config),
    )
    for repository in (*data, integration.pipelines, integration.tables, integration.runs):
        repository.ensure_table()
    carriers.put_many(source.carriers())
    airports.put_many(source.airports())
    with suppress(ItemAlreadyExistsError):  # it is described already
        _describe(integration, folder)


def unpack(folder: Path) -> Path:
    """Unpack the flights of the year as a CSV file, and return where it is."""
    with zipfile.ZipFile(source.folder() / "flights.csv.zip") as archive:
        return Path(archive.extract("flights.csv", folder))


def _describe(integration: SparkDynamoDBIntegration, folder: Path) -> None:
    integration.pipelines.create_pipeline_config(
        PIPELINE,
        "Flights out of New York",
        source_type="csv",
        destination_type="dynamodb",
        spark_config={
            "spark.sql.shuffle.partitions": 4,
            "spark.sql.session.timeZone": "UTC",
            "spark.log.level": "OFF",  # what fails is in the log of runs
            "spark.ui.showConsoleProgress": False,
        },
    )
    create, config = integration.tables.create_table_config, integration.config
    kinds: tuple[tuple[type[BaseDynamoRepository[Any]], str], ...] = (
        (AirportRepository, "lookup"),
        (CarrierRepository, "lookup"),
        (FlightRepository, "destination"),
        (CarrierDelayRepository, "destination"),
    )
    create(
        "flights-csv",
        PIPELINE,
        "flights.csv",
        "source",
        "csv",
        str(folder / "flights.csv"),
        read_options={"header": True, "nullValue": "NA", "inferSchema": True},
    )
    create(
        "summary-parquet",
        PIPELINE,
        "summary",
        "destination",
        "parquet",
        str(folder / "summary"),
        partition_columns=["carrier"],
        write_options={"mode": "overwrite"},
    )
    for repository, kind in kinds:
        options = {"repository": f"{repository.__module__}:{repository.__qualname__}"}
        physical_name = repository(config).table_name
        create(
            f"{repository.table_name}-dynamodb",
            PIPELINE,
            physical_name,
            kind,
            "dynamodb",
            f"dynamodb:{physical_name}",
            read_options=options,
            write_options=options,
        )
