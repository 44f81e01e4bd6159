"""A guided tour of dynamodb_wrapper on real data: flights out of New York in 2013."""

from __future__ import annotations

import argparse
import inspect
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta

from rich.console import Console

from dynamodb_wrapper import DynamoDBConfig, DynamoDBWrapperError
from examples.flights.load import load
from examples.flights.models import TIME_ZONE
from examples.flights.repositories import FlightRepository, Repositories
from examples.flights.screen import Screen
from examples.flights.source import count_flights
from examples.flights.tour import tour

YEAR = [date(2013, 1, 1) + timedelta(days=number) for number in range(365)]
CLOCK_CHANGES = [date(2013, 3, 9), date(2013, 3, 10), date(2013, 11, 2), date(2013, 11, 3)]
JANUARY_DAYS = 7


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    screen = Screen(Console())
    try:
        run(options, screen)
    except DynamoDBWrapperError as error:
        screen.error(error)
        return 1
    except KeyboardInterrupt:
        screen.say("Stopped.")
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.flights", description=__doc__)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--days", type=int, default=JANUARY_DAYS, help="so many days of January, and two clock changes")
    part.add_argument("--only", type=day_of_2013, nargs="+", metavar="DAY", help="these days, like 2013-02-08")
    part.add_argument("--all", action="store_true", help="the whole year, 336,776 flights")
    parser.add_argument(
        "--endpoint", default="embedded", help="embedded (default), aws, or a server like http://localhost:8000"
    )
    parser.add_argument("--drop", action="store_true", help="delete the tables at the end")
    return parser


def day_of_2013(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day like 2013-02-08") from error
    if day.year != 2013:
        raise argparse.ArgumentTypeError(f"{day} is not in 2013, and the data is")
    return day


def run(options: argparse.Namespace, screen: Screen) -> None:
    started = time.monotonic()
    config, days = config_for(options.endpoint), chosen_days(options)
    repositories = Repositories.of(config)
    screen.chapter("Load")
    screen.say("A repository is a class. It names the key of its table, and the questions that indexes answer:")
    screen.lines("")
    screen.code(inspect.getsource(FlightRepository))
    screen.say(f"Storing {described(days)} in {place(config)}.")
    screen.lines("")
    for repository in repositories:
        repository.ensure_table()
    with screen.progress() as progress:
        load(repositories, None if days == YEAR else days, progress)
    tour(repositories, days, screen)
    if options.drop:
        for repository in repositories:
            repository.delete_table()
    say_goodbye(screen, time.monotonic() - started)
    if not (options.drop or config.is_embedded):
        screen.say(f"The tables {config.get_table_name('*')} are left. Run it with --drop to delete them at the end.")


def config_for(endpoint: str) -> DynamoDBConfig:
    """Return the configuration of a server, with times shown in New York."""
    settings = {"table_prefix": "demo", "user_timezone": TIME_ZONE}
    if endpoint == "aws":
        config = DynamoDBConfig.from_env()
    elif endpoint.startswith("embedded"):
        config = DynamoDBConfig.embedded(endpoint.removeprefix("embedded").removeprefix("://") or None)
    else:
        config = DynamoDBConfig.for_local_development()
        settings["endpoint_url"] = endpoint
    return config.model_copy(update=settings)


def chosen_days(options: argparse.Namespace) -> list[date]:
    if options.all:
        return YEAR
    return sorted(set(options.only or [*YEAR[: options.days], *CLOCK_CHANGES]))


def described(days: Sequence[date]) -> str:
    """Say which part of the data these days are."""
    spans: list[list[date]] = []
    for day in days:
        if spans and spans[-1][-1] == day - timedelta(days=1):
            spans[-1].append(day)
        else:
            spans.append([day])
    texts = [f"{span[0]}" if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in spans]
    return f"{count_flights(days):,} of {count_flights(None):,} flights ({', '.join(texts)})"


def place(config: DynamoDBConfig) -> str:
    if config.is_embedded:
        return "a DynamoDB inside this process, whose data is gone when it ends"
    return config.endpoint_url or f"AWS, region {config.region_name or 'of your profile'}"


def say_goodbye(screen: Screen, seconds: float) -> None:
    screen.chapter("What to try next")
    screen.lines(
        "",
        f"That took {seconds:.0f} seconds. To read next:",
        "",
        "  examples/flights/models.py          what is stored, and in repositories.py how",
        "  docs/tutorial.md                    from nothing to a query in ten minutes",
        "",
        "To run next, with .venv/bin/python -m examples.flights and one of",
        "",
        "  --only 2013-02-08 2013-02-09        two days of a blizzard",
        "  --all                               the whole year",
        "  --endpoint http://localhost:8000    on a server of yours, like DynamoDB Local",
        "  --endpoint aws --drop               on AWS; the tables are deleted at the end",
    )


if __name__ == "__main__":
    sys.exit(main())
