"""Time zones: reading, showing, daylight saving time, and the zone of the process."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamodb_wrapper import utils
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.utils import timezone as module
from dynamodb_wrapper.utils.timezone import (
    TimezoneManager,
    configure_timezone_from_config,
    convert_utc_to_user_tz,
    ensure_timezone_aware,
    get_timezone_manager,
    now_in_tz,
    set_global_timezone,
    to_user_timezone,
    to_utc,
    utcnow,
    validate_timezone_string,
)

NEW_YORK, LONDON, LORD_HOWE = "America/New_York", "Europe/London", "Australia/Lord_Howe"

ZONES = st.sampled_from(
    [NEW_YORK, LONDON, LORD_HOWE, "UTC", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca", "Asia/Tokyo"]
)
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def naive(*parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, fold=fold)  # type: ignore[arg-type]  # noqa: DTZ001


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.fixture(autouse=True, scope="module")
def _no_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DYNAMODB_TIMEZONE", raising=False)
        patch.setattr(module, "_process", {})
        yield


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The process before anyone asked for its zone."""
    monkeypatch.setattr(module, "_process", {})
    return monkeypatch


# --- which zone -----------------------------------------------------------------------------------------------------


def test_a_manager_is_in_utc_by_default() -> None:
    assert TimezoneManager().get_timezone() == ZoneInfo("UTC")


def test_a_manager_reads_the_environment_when_it_is_made(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("DYNAMODB_TIMEZONE", NEW_YORK)
    manager = TimezoneManager()
    fresh.setenv("DYNAMODB_TIMEZONE", LONDON)
    assert manager.default_timezone == NEW_YORK
    assert TimezoneManager("Asia/Tokyo").default_timezone == "Asia/Tokyo"


_WITHOUT_DATA = """
import copy, pickle, sys
from datetime import UTC, datetime
sys.modules["tzdata"] = None
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError
try:
    ZoneInfo("UTC")
except ZoneInfoNotFoundError:
    pass
else:
    raise AssertionError("there are zone data")

from dynamodb_wrapper import DynamoDBConfig, ValidationError
from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.utils.timezone import TimezoneManager, get_timezone_manager, validate_timezone_string

assert DynamoDBConfig(default_timezone="UTC").default_timezone == "UTC"
manager = TimezoneManager(UTC, user_timezone="UTC")
zone = manager.get_timezone()
assert isinstance(zone, ZoneInfo) and (str(zone), zone.key) == ("UTC", "UTC")
assert zone is get_timezone_manager().get_timezone("UTC")
assert pickle.loads(pickle.dumps(manager)) == manager
for year in (1, 1970, 2026, 9999):
    noon = datetime(year, 6, 1, 12, tzinfo=zone)
    assert noon == datetime(year, 6, 1, 12, tzinfo=UTC) == manager.to_utc(datetime(year, 6, 1, 12))
    assert pickle.loads(pickle.dumps(noon)).tzinfo is zone is copy.deepcopy(noon).tzinfo
    assert (noon.tzname(), noon.astimezone(UTC).astimezone(zone)) == ("UTC", noon)
assert not validate_timezone_string("Europe/London")
"""


def test_utc_needs_no_zone_data() -> None:
    environment = {**os.environ, "PYTHONTZPATH": ""}
    subprocess.run([sys.executable, "-c", _WITHOUT_DATA], check=True, timeout=60, env=environment)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_counts_as_unset(fresh: pytest.MonkeyPatch, text: str) -> None:
    fresh.setenv("DYNAMODB_TIMEZONE", text)
    assert TimezoneManager().default_timezone == "UTC"


def test_a_wrong_variable_is_named(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("DYNAMODB_TIMEZONE", "Mars/Olympus")
    with pytest.raises(ValidationError, match=r"'Mars/Olympus' \(from DYNAMODB_TIMEZONE\).*Europe/London"):
        TimezoneManager()


@pytest.mark.parametrize(
    "wrong", ["Mars/Olympus", "", "../etc/passwd", "America", "x" * 5000, timezone(timedelta(hours=1))]
)
def test_an_unknown_zone_is_refused_by_name_with_an_example(wrong: str | tzinfo) -> None:
    for use in (TimezoneManager, TimezoneManager("UTC").get_timezone, TimezoneManager("UTC").now):
        with pytest.raises(ValidationError) as caught:
            use(wrong)
        assert repr(wrong) in str(caught.value)
        assert "Europe/London" in str(caught.value)
        assert repr(wrong) in str(caught.value.errors["timezone"])


def test_zones_are_given_as_names_zoneinfos_or_utc() -> None:
    manager = TimezoneManager(ZoneInfo(LONDON), user_timezone=UTC)
    assert manager.default_timezone == LONDON
    assert manager.user_timezone == "UTC"
    assert manager.get_timezone() == ZoneInfo("UTC")
    assert manager.get_timezone(NEW_YORK).key == NEW_YORK
    assert manager.get_timezone(ZoneInfo(NEW_YORK)).key == NEW_YORK


def test_a_manager_is_an_immutable_value() -> None:
    manager = TimezoneManager(LONDON, user_timezone=NEW_YORK)
    same = TimezoneManager(LONDON, user_timezone=NEW_YORK)
    assert manager == same == pickle.loads(pickle.dumps(manager)) == copy.deepcopy(manager)
    assert len({manager, same, TimezoneManager(LONDON)}) == 2
    assert manager != LONDON
    assert repr(manager) == "TimezoneManager('Europe/London', user_timezone='America/New_York')"
    assert repr(TimezoneManager("UTC")) == "TimezoneManager('UTC')"
    for name in ("default_timezone", "user_timezone", "other"):
        with pytest.raises(AttributeError):
            setattr(manager, name, "UTC")


@pytest.mark.parametrize("name", ["UTC", "GMT", LONDON, NEW_YORK, LORD_HOWE, "Etc/GMT+5", "America/Argentina/Ushuaia"])
def test_known_names_are_valid(name: str) -> None:
    assert validate_timezone_string(name) is True


@pytest.mark.parametrize(
    "name",
    ["", " ", "Mars/Olympus", "+02:00", "/etc/passwd", "../UTC", "America", "a\0b", "\ud800", "x" * 9000, None, 3,
     b"UTC", ZoneInfo("UTC"), ["UTC"]],
)  # fmt: skip
def test_anything_else_is_not_valid_and_not_an_error(name: object) -> None:
    assert validate_timezone_string(name) is False


@given(st.text() | st.text("/.abcAmericUTzone_-", max_size=20))
def test_validation_never_raises(name: str) -> None:
    assert validate_timezone_string(name) in (True, False)


# --- now ------------------------------------------------------------------------------------------------------------


def test_now_is_aware_and_in_the_zone_asked_for() -> None:
    manager = TimezoneManager(LONDON, user_timezone=NEW_YORK)
    assert manager.now().tzinfo == ZoneInfo(NEW_YORK)
    assert manager.now(LORD_HOWE).tzinfo == ZoneInfo(LORD_HOWE)
    assert abs(manager.now() - datetime.now(UTC)) < timedelta(seconds=10)


def test_utcnow_has_the_utc_of_datetime() -> None:
    for moment in (utcnow(), TimezoneManager(LONDON).utcnow()):
        assert moment.tzinfo is UTC
        assert abs(moment - datetime.now(UTC)) < timedelta(seconds=10)


# --- conversions ----------------------------------------------------------------------------------------------------


def test_a_naive_datetime_is_in_the_default_zone_and_shown_in_the_user_zone() -> None:
    manager = TimezoneManager(LONDON, user_timezone=NEW_YORK)
    noon = naive(2024, 7, 1, 12)
    assert manager.ensure_timezone(noon).isoformat() == "2024-07-01T12:00:00+01:00"
    assert manager.ensure_timezone(noon, "Asia/Tokyo").isoformat() == "2024-07-01T12:00:00+09:00"
    assert manager.to_utc(noon) == utc(2024, 7, 1, 11)
    assert manager.to_timezone(noon).isoformat() == "2024-07-01T07:00:00-04:00"
    assert manager.to_timezone(noon, LORD_HOWE).isoformat() == "2024-07-01T21:30:00+10:30"


def test_an_aware_datetime_keeps_its_instant() -> None:
    manager = TimezoneManager(NEW_YORK)
    moment = datetime(2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    assert manager.ensure_timezone(moment, LONDON) is moment
    assert manager.to_utc(moment) == manager.to_timezone(moment) == moment
    assert manager.to_utc(moment).tzinfo is UTC
    assert manager.to_utc(datetime(2024, 7, 1, tzinfo=ZoneInfo("UTC"))).tzinfo is UTC


def test_a_tzinfo_without_an_offset_is_naive() -> None:
    class Undecided(tzinfo):
        def utcoffset(self, _: datetime | None) -> None:
            return None

        dst = utcoffset

        def tzname(self, _: datetime | None) -> None:
            return None

    moment = datetime(2024, 7, 1, 12, tzinfo=Undecided())
    assert TimezoneManager(LONDON).to_utc(moment) == utc(2024, 7, 1, 11)


def test_what_does_not_fit_the_calendar_is_refused() -> None:
    with pytest.raises(ValidationError, match="9999") as caught:
        TimezoneManager(NEW_YORK).to_utc(datetime.max)  # noqa: DTZ901
    assert isinstance(caught.value.original_error, OverflowError)
    with pytest.raises(ValidationError):
        TimezoneManager("UTC").to_timezone(datetime.min, NEW_YORK)  # noqa: DTZ901


def test_iso_text_has_the_offset_and_comes_back() -> None:
    manager = TimezoneManager(LONDON)
    assert manager.format_iso(naive(2024, 7, 1, 12)) == "2024-07-01T12:00:00+01:00"
    assert manager.format_iso(utc(2024, 7, 1, 12)) == "2024-07-01T12:00:00+00:00"
    assert manager.parse_iso("2024-07-01T12:00:00Z").isoformat() == "2024-07-01T13:00:00+01:00"
    assert manager.parse_iso("2024-07-01T12:00:00").isoformat() == "2024-07-01T12:00:00+01:00"
    assert manager.parse_iso("2024-07-01T12:00:00Z", NEW_YORK).isoformat() == "2024-07-01T08:00:00-04:00"


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", None, 5])
def test_text_that_is_no_date_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TimezoneManager("UTC").parse_iso(text)
    assert repr(text) in str(caught.value)
    assert "ISO 8601" in str(caught.value.errors["text"])
    assert caught.value.original_error is caught.value.__cause__


def test_the_users_time_takes_a_naive_one_as_utc() -> None:
    manager = TimezoneManager(NEW_YORK, user_timezone=LONDON)
    assert manager.get_user_timezone_datetime(naive(2024, 7, 1, 12)).isoformat() == "2024-07-01T13:00:00+01:00"
    assert manager.get_user_timezone_datetime(utc(2024, 7, 1, 12), NEW_YORK).hour == 8
    assert manager.get_user_timezone_datetime().tzinfo == ZoneInfo(LONDON)


# --- daylight saving time -------------------------------------------------------------------------------------------


# zone, a time that never happens, its instant with fold=0 and fold=1, and what fold=0 is normalised to
GAPS = [
    (NEW_YORK, (2024, 3, 10, 2, 30), utc(2024, 3, 10, 7, 30), utc(2024, 3, 10, 6, 30), naive(2024, 3, 10, 3, 30)),
    (LONDON, (2024, 3, 31, 1, 30), utc(2024, 3, 31, 1, 30), utc(2024, 3, 31, 0, 30), naive(2024, 3, 31, 2, 30)),
    # Lord Howe moves by half an hour: 02:00 becomes 02:30.
    (LORD_HOWE, (2024, 10, 6, 2, 15), utc(2024, 10, 5, 15, 45), utc(2024, 10, 5, 15, 15), naive(2024, 10, 6, 2, 45)),
]
# zone, a time that happens twice, its two instants
FOLDS = [
    (NEW_YORK, (2024, 11, 3, 1, 30), utc(2024, 11, 3, 5, 30), utc(2024, 11, 3, 6, 30)),
    (LONDON, (2024, 10, 27, 1, 30), utc(2024, 10, 27, 0, 30), utc(2024, 10, 27, 1, 30)),
    (LORD_HOWE, (2024, 4, 7, 1, 45), utc(2024, 4, 6, 14, 45), utc(2024, 4, 6, 15, 15)),
]


@pytest.mark.parametrize(("zone", "wall", "before", "after", "exists"), GAPS)
def test_a_time_in_a_gap_has_the_offset_before_the_jump(
    zone: str, wall: tuple[int, ...], before: datetime, after: datetime, exists: datetime
) -> None:
    manager = TimezoneManager(zone)
    assert manager.to_utc(naive(*wall)) == before
    assert manager.to_utc(naive(*wall, fold=1)) == after
    # Attaching the zone changes nothing; converting, into the same zone too, gives a time that exists.
    assert manager.ensure_timezone(naive(*wall)).replace(tzinfo=None) == naive(*wall)
    assert manager.to_timezone(naive(*wall)).replace(tzinfo=None) == exists
    assert manager.to_timezone(manager.to_utc(naive(*wall))).replace(tzinfo=None) == exists
    assert manager.to_utc(manager.parse_iso(manager.format_iso(naive(*wall)))) == before


@pytest.mark.parametrize(("zone", "wall", "first", "second"), FOLDS)
def test_a_time_that_happens_twice_keeps_its_fold(
    zone: str, wall: tuple[int, ...], first: datetime, second: datetime
) -> None:
    manager = TimezoneManager(zone)
    for fold, instant in ((0, first), (1, second)):
        written = naive(*wall, fold=fold)
        assert manager.ensure_timezone(written).fold == fold
        assert manager.to_utc(written) == instant
        shown = manager.to_timezone(instant)
        assert (shown.replace(tzinfo=None), shown.fold) == (written, fold)
        assert manager.to_timezone(shown).fold == fold
        back = manager.parse_iso(manager.format_iso(written))
        assert (back.fold, manager.to_utc(back)) == (fold, instant)


@given(INSTANTS, ZONES, ZONES)
def test_conversions_keep_the_instant(instant: datetime, zone: str, other: str) -> None:
    manager = TimezoneManager(zone)
    shown = manager.to_timezone(instant)
    assert manager.to_utc(shown) == instant
    assert manager.to_utc(manager.to_timezone(shown, other)) == instant
    assert manager.to_utc(manager.parse_iso(manager.format_iso(shown), other)) == instant
    # Wall time and fold are enough to say which instant it is.
    assert manager.to_utc(shown.replace(tzinfo=None)) == instant


# --- the zone of the process ----------------------------------------------------------------------------------------


def test_the_process_is_in_the_zone_of_the_environment_read_on_first_use(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("DYNAMODB_TIMEZONE", LORD_HOWE)
    manager = get_timezone_manager()
    fresh.setenv("DYNAMODB_TIMEZONE", LONDON)
    assert manager.default_timezone == LORD_HOWE
    assert get_timezone_manager() is manager
    assert set_global_timezone().default_timezone == LONDON


def test_importing_reads_no_environment() -> None:
    code = "import os; os.environ['DYNAMODB_TIMEZONE'] = 'Mars/Olympus'; import dynamodb_wrapper.utils.timezone"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.usefixtures("fresh")
def test_the_functions_use_the_zone_of_the_process() -> None:
    assert set_global_timezone(NEW_YORK) is get_timezone_manager()
    assert now_in_tz().tzinfo == ZoneInfo(NEW_YORK)
    assert now_in_tz(LONDON).tzinfo == ZoneInfo(LONDON)
    noon = naive(2024, 7, 1, 12)
    assert to_utc(noon) == utc(2024, 7, 1, 16)
    assert to_utc(noon).tzinfo is UTC
    assert ensure_timezone_aware(noon).tzinfo == ZoneInfo(NEW_YORK)
    assert ensure_timezone_aware(noon, LONDON).tzinfo == ZoneInfo(LONDON)
    assert to_user_timezone(utc(2024, 7, 1, 12)).hour == 8
    assert to_user_timezone(noon, LONDON).hour == 17
    assert convert_utc_to_user_tz(noon).hour == 8
    assert convert_utc_to_user_tz(utc(2024, 7, 1, 12), LONDON).hour == 13


@pytest.mark.usefixtures("fresh")
def test_a_wrong_zone_leaves_the_one_in_force() -> None:
    set_global_timezone(LONDON)
    with pytest.raises(ValidationError):
        set_global_timezone("Mars/Olympus")
    with pytest.raises(ValidationError):
        configure_timezone_from_config(Zones("UTC", "Mars/Olympus"))
    assert get_timezone_manager() == TimezoneManager(LONDON)


@dataclass(frozen=True)
class Zones:
    default_timezone: str
    user_timezone: str | None = None


@pytest.mark.usefixtures("fresh")
def test_a_configuration_sets_both_zones_of_the_process() -> None:
    manager = configure_timezone_from_config(Zones(LONDON, NEW_YORK))
    assert manager is get_timezone_manager()
    assert to_utc(naive(2024, 7, 1, 12)) == utc(2024, 7, 1, 11)
    assert now_in_tz().tzinfo == ZoneInfo(NEW_YORK)
    configure_timezone_from_config(Zones(LONDON))
    assert now_in_tz().tzinfo == ZoneInfo(LONDON)


@pytest.mark.usefixtures("fresh")
def test_threads_see_one_zone_or_the_other_and_never_a_mix() -> None:
    pairs = {TimezoneManager(LONDON, user_timezone=LONDON), TimezoneManager(NEW_YORK, user_timezone=LORD_HOWE)}
    configure_timezone_from_config(Zones(LONDON))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            configure_timezone_from_config(Zones(LONDON))
            configure_timezone_from_config(Zones(NEW_YORK, LORD_HOWE))

    def read() -> bool:
        return all(get_timezone_manager() in pairs for _ in range(2000))

    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(write) for _ in range(2)]
        readers = [pool.submit(read) for _ in range(4)]
        seen = [reader.result() for reader in readers]
        stop.set()
        for writer in writers:
            writer.result()
    assert all(seen)


def test_threads_that_ask_first_all_get_the_same_manager(fresh: pytest.MonkeyPatch) -> None:
    gate = threading.Barrier(8)

    def ask() -> TimezoneManager:
        gate.wait()
        return get_timezone_manager()

    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            fresh.setattr(module, "_process", {})
            managers = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
            assert len({id(manager) for manager in managers}) == 1


def test_a_zone_set_while_the_default_is_being_made_is_not_lost(fresh: pytest.MonkeyPatch) -> None:
    class Slow(TimezoneManager):
        def __init__(self, *zones: str) -> None:
            super().__init__(*zones)
            if not zones:
                set_global_timezone(LONDON)  # What another thread does in the meantime.

    fresh.setattr(module, "TimezoneManager", Slow)
    assert get_timezone_manager().default_timezone == LONDON


@pytest.mark.usefixtures("fresh")
def test_tasks_share_the_zone_of_the_process() -> None:
    async def run() -> str:
        async def change() -> None:
            set_global_timezone(LORD_HOWE)

        set_global_timezone(LONDON)
        await asyncio.create_task(change())
        return get_timezone_manager().default_timezone

    assert asyncio.run(run()) == LORD_HOWE


def test_utils_exports_these_names() -> None:
    for name in set(utils.__all__) - {"SparkDynamoDBIntegration"}:  # which is of another floor
        assert getattr(utils, name) is getattr(module, name)


@pytest.mark.parametrize("convert", [to_utc, TimezoneManager("UTC").to_timezone, TimezoneManager("UTC").format_iso])
def test_what_is_no_datetime_is_refused(convert: Any) -> None:
    for wrong in ("2024-07-01T12:00:00", None, 5):
        with pytest.raises(ValidationError, match="is not a datetime"):
            convert(wrong)
