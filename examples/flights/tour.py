"""The tour. Each function below is one step: its docstring and its code are shown, then it runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from dynamodb_wrapper import (
    Add,
    ConditionFailedError,
    F,
    ItemNotFoundError,
    Page,
    PipelineConfig,
    PipelineConfigRepository,
    PipelineRunLog,
    PipelineRunLogsRepository,
    StageInfo,
    TransactionCanceledError,
    ValidationError,
    VersionConflictError,
    transaction,
)
from examples.flights.load import PIPELINE, load_damaged
from examples.flights.models import TIME_ZONE, Delay, Flight, FlightStatus
from examples.flights.repositories import FlightRepository, Repositories
from examples.flights.screen import Screen

NEW_YORK = ZoneInfo(TIME_ZONE)
FLIGHT_COLUMNS = "flight origin dest scheduled_departure departure_delay status"


def tour(repositories: Repositories, days: Sequence[date], screen: Screen) -> None:
    """Show everything, on the flights of some days that are stored."""
    flights = repositories.flights
    ask(flights, days[0], screen)
    change(flights, days[0], screen)
    together(flights, days[0], screen)
    across_the_clock_change(flights, days, screen)
    operate(repositories, days[0], screen)


# --- questions -------------------------------------------------------------------------------------------------------


def ask(flights: FlightRepository, day: date, screen: Screen) -> None:
    screen.chapter("Ask")
    screen.say("The times shown are those of the server. The embedded one looks at every item; DynamoDB does not.")
    screen.show(one_carrier, flights=flights, day=day, columns=FLIGHT_COLUMNS)
    morning = datetime.combine(day, time(6), NEW_YORK)
    screen.show(one_route, flights=flights, morning=morning, evening=morning.replace(hour=18), columns=FLIGHT_COLUMNS)
    screen.show(worst_delays, flights=flights, day=day)
    screen.show(cancelled, flights=flights, day=day, columns="flight origin dest scheduled_departure departed_at")
    page = screen.show(first_page, flights=flights, columns=FLIGHT_COLUMNS)
    screen.show(next_page, flights=flights, page=page, columns=FLIGHT_COLUMNS)
    screen.show(some_attributes, flights=flights, day=day)
    screen.show(what_is_sent, flights=flights, day=day)


def one_carrier(flights: FlightRepository, day: date) -> list[Flight]:
    """One carrier on one day. The pattern's index has a partition key of two fields, so it takes two values."""
    return flights.by_carrier("AA", day).all()


def one_route(flights: FlightRepository, morning: datetime, evening: datetime) -> list[Flight]:
    """One route between two times. The index is sorted by departure, so DynamoDB reads these items and no others."""
    return flights.by_route("JFK", "LAX").between(morning, evening).limit(5).all()


def worst_delays(flights: FlightRepository, day: date) -> list[Delay]:
    """The worst delays of the day. Only flights an hour late are in this index (it is sparse), and it carries
    few attributes, so the results are read as a smaller model."""
    worst_first = flights.late(day.isoformat()).descending()
    return worst_first.limit(5).project(Delay).all()


def cancelled(flights: FlightRepository, day: date) -> list[Flight]:
    """A filter on a field that is no key. Cancelled flights never left, and a field that is None is not stored."""
    return flights.by_carrier("AA", day).where(F.departed_at.not_exists()).all()


def first_page(flights: FlightRepository) -> Page[Flight]:
    """Pages, for a web page or an API. The cursor is text that is safe in a URL."""
    return flights.by_route("JFK", "LAX").page(size=3)


def next_page(flights: FlightRepository, page: Page[Flight]) -> Page[Flight]:
    """The next page goes on where the last one ended."""
    return flights.by_route("JFK", "LAX").page(size=3, cursor=page.cursor)


def some_attributes(flights: FlightRepository, day: date) -> list[Any]:
    """Some attributes instead of whole models."""
    query = flights.by_carrier("AA", day).limit(3)
    return query.project("flight", "dest", "distance_miles").all()


def what_is_sent(flights: FlightRepository, day: date) -> dict[str, Any]:
    """What a query sends to DynamoDB, without sending it."""
    query = flights.by_carrier("AA", day).where(F.departure_delay > 30)
    return query.descending().explain()


# --- changes, and what is refused ------------------------------------------------------------------------------------


def change(flights: FlightRepository, day: date, screen: Screen) -> None:
    screen.chapter("Change, safely")
    late = flights.late(day.isoformat()).descending().project(Delay).first()
    if late is None:
        screen.say(f"No flight of {day} was an hour late, so there is nobody to compensate.")
        return
    key: dict[str, Any] = {"flight": late.flight, "departure": late.scheduled_departure}
    columns = "flight scheduled_departure departure_delay vouchers version"
    screen.show(compensate, flights=flights, **key, columns=columns)
    error = screen.show_refusal(compensate_cancelled, ConditionFailedError, flights=flights, **key)
    assert isinstance(error.item, Flight)
    screen.say(
        f"Nothing was written. [b]error.item[/b] is the stored flight; its status is {error.item.status.value!r}."
    )
    conflict = screen.show_refusal(two_writers, VersionConflictError, flights=flights, **key)
    assert isinstance(conflict.item, Flight)
    screen.say(
        f"The first change is kept: in [b]error.item[/b] the tail number is {conflict.item.tail_number!r}, "
        f"version {conflict.item.version}. Read again, decide again, write again."
    )
    screen.show_refusal(no_such_flight, ItemNotFoundError, flights=flights, departure=late.scheduled_departure)
    screen.show_refusal(not_a_number, ValidationError, flights=flights, **key)


def compensate(flights: FlightRepository, flight: str, departure: datetime) -> Flight:
    """Vouchers for a late flight: one atomic request, with a condition that DynamoDB checks."""
    late = F.departure_delay >= 60
    return flights.patch(flight, departure, vouchers=Add(Decimal("25.50")), when=late)


def compensate_cancelled(flights: FlightRepository, flight: str, departure: datetime) -> Flight:
    """The same flight, and a condition that does not hold."""
    is_cancelled = F.status == FlightStatus.CANCELLED
    return flights.patch(flight, departure, vouchers=Add(100), when=is_cancelled)


def two_writers(flights: FlightRepository, flight: str, departure: datetime) -> None:
    """Two people read the same flight, and both save it. The second would overwrite what the first has done."""
    first = flights.get_or_raise(flight, departure)
    second = flights.get_or_raise(flight, departure)
    first.tail_number = "N101NY"
    flights.update(first)
    second.tail_number = "N202NY"
    flights.update(second)


def no_such_flight(flights: FlightRepository, departure: datetime) -> Flight:
    """get() returns None for what is not there; get_or_raise() says what it looked for, and where."""
    return flights.get_or_raise("XX1", departure)


def not_a_number(flights: FlightRepository, flight: str, departure: datetime) -> Flight:
    """DynamoDB has no NaN. It is refused before anything is sent, with the field and the value."""
    return flights.patch(flight, departure, air_minutes=float("nan"))


# --- many items ------------------------------------------------------------------------------------------------------


def together(flights: FlightRepository, day: date, screen: Screen) -> None:
    screen.chapter("Many at once, and all or nothing")
    late = flights.late(day.isoformat()).descending().project(Delay).limit(3).all()
    keys = [(delay.flight, delay.scheduled_departure) for delay in late]
    if len(keys) < 3:
        screen.say(f"Fewer than three flights of {day} were an hour late: too few to compensate together.")
        return
    columns = "flight scheduled_departure departure_delay vouchers version"
    screen.show(read_together, flights=flights, keys=keys, columns=columns)
    error = screen.show_refusal(all_or_nothing, TransactionCanceledError, flights=flights, keys=keys)
    screen.say(
        "[b]error.reasons[/b] has one entry per request: "
        f"{', '.join(reason.code for reason in error.reasons)}. Nobody got a voucher:"
    )
    screen.show(read_together_again, flights=flights, keys=keys, columns=columns)


def read_together(flights: FlightRepository, keys: Sequence[tuple[str, datetime]]) -> list[Flight | None]:
    """Any number of keys, in as few requests as can be. The answers are in their order, None for what is not there."""
    return flights.get_many(keys)


def all_or_nothing(flights: FlightRepository, keys: Sequence[tuple[str, datetime]]) -> None:
    """Vouchers for all three, or for none: one transaction. The last request has a condition that does not hold."""
    is_cancelled = F.status == FlightStatus.CANCELLED
    with transaction() as tx:
        tx.write(flights.patch_request(*keys[0], vouchers=Add(50)))
        tx.write(flights.patch_request(*keys[1], vouchers=Add(50)))
        tx.write(flights.patch_request(*keys[2], vouchers=Add(50), when=is_cancelled))


def read_together_again(flights: FlightRepository, keys: Sequence[tuple[str, datetime]]) -> list[Flight | None]:
    """The same flights once more."""
    return flights.get_many(keys)


# --- time ------------------------------------------------------------------------------------------------------------


def across_the_clock_change(flights: FlightRepository, days: Sequence[date], screen: Screen) -> None:
    screen.chapter("Time zones")
    changes = [day for day in days if day - timedelta(days=1) in days and clocks_change_on(day)]
    if not changes:
        screen.say("The clocks change on none of these days; on 2013-03-10 and 2013-11-03 they do.")
        return
    for step, day in zip((noon_flight, noon_flight_again), changes, strict=False):
        start = midnight(day - timedelta(days=1))
        screen.show(step, as_rows=in_both_zones, flights=flights, start=start, end=midnight(day + timedelta(days=1)))
    departure = datetime.combine(changes[0], time(12), NEW_YORK)
    screen.show(elsewhere, flights=flights, departure=departure, columns="flight scheduled_departure departed_at")


def noon_flight(flights: FlightRepository, start: datetime, end: datetime) -> list[Flight]:
    """Flight AA 3 leaves for Los Angeles at noon. Times are stored as UTC and come back in the configuration's
    user_timezone, which is New York here. Over the clock change noon stays noon, and is another time in UTC."""
    return flights.query("AA3").between(start, end).all()


def noon_flight_again(flights: FlightRepository, start: datetime, end: datetime) -> list[Flight]:
    """And in autumn, the other way round."""
    return flights.query("AA3").between(start, end).all()


def elsewhere(flights: FlightRepository, departure: datetime) -> Flight | None:
    """The same item for somebody in another zone; the key may be given in any zone, too."""
    return flights.get_with_timezone("AA3", departure, "Europe/London")


def in_both_zones(flights: list[Flight]) -> list[dict[str, object]]:
    """Return rows of departures in New York, in UTC, and the hours since the departure before."""
    rows: list[dict[str, object]] = []
    before: datetime | None = None
    for flight in flights:
        utc = flight.scheduled_departure.astimezone(UTC)
        passed = None if before is None else f"{(utc - before) / timedelta(hours=1):g} hours later"
        rows.append({"flight": flight.flight, "in New York": flight.scheduled_departure, "in UTC": utc, "": passed})
        before = utc
    return rows


def clocks_change_on(day: date) -> bool:
    return midnight(day).utcoffset() != midnight(day + timedelta(days=1)).utcoffset()


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), NEW_YORK)


# --- operations ------------------------------------------------------------------------------------------------------


def operate(repositories: Repositories, day: date, screen: Screen) -> None:
    screen.chapter("Operate: what the loading left behind")
    runs = repositories.runs
    screen.show(
        pipeline,
        pipelines=repositories.pipelines,
        pipeline_id=PIPELINE,
        columns="pipeline_id pipeline_name source_type destination_type is_active",
    )
    screen.show(stages, runs=runs, pipeline_id=PIPELINE, columns="stage_name status records_processed duration_seconds")
    screen.say("Now a run that goes wrong: the last of five flights has NaN for its minutes in the air.")
    some = repositories.flights.by_carrier("AA", day).limit(5).all()
    try:
        with screen.progress() as progress:
            load_damaged(repositories, some, progress)
    except ValidationError as error:
        screen.error(error)
    screen.show(failures, runs=runs, pipeline_id=PIPELINE, columns="run_id total_records_processed error_message")
    columns = "run_id status start_time duration_seconds total_records_processed"
    screen.show(history, runs=runs, pipeline_id=PIPELINE, columns=columns)


def pipeline(pipelines: PipelineConfigRepository, pipeline_id: str) -> PipelineConfig:
    """The example loads its data as a pipeline does. These repositories and models come with the package."""
    return pipelines.get_or_raise(pipeline_id)


def stages(runs: PipelineRunLogsRepository, pipeline_id: str) -> list[StageInfo]:
    """The run that has filled the tables, and its stages."""
    last = runs.get_runs_by_pipeline(pipeline_id, limit=1)[0]
    return last.stages


def failures(runs: PipelineRunLogsRepository, pipeline_id: str) -> list[PipelineRunLog]:
    """What failed today?"""
    return runs.get_failed_runs(pipeline_id, hours=24)


def history(runs: PipelineRunLogsRepository, pipeline_id: str) -> list[PipelineRunLog]:
    """All runs, the newest first."""
    return runs.get_runs_by_pipeline(pipeline_id, limit=5)
