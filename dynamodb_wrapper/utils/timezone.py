"""Time zones: what "now" is, what a naive datetime means, and in which zone an instant is shown.

Two zones are kept apart. The *default zone* is how a naive datetime is read: it is taken to be wall time there. The
*user zone* is where instants are shown when no target is named; it is the default zone unless another one is given.
A conversion changes how an instant is written, never the instant.

Daylight saving time follows PEP 495:

* A wall time that happens twice (clocks go back) is the earlier one with ``fold=0`` and the later one with
  ``fold=1``. ``fold`` is honoured on the way in and set right on the way out.
* A wall time that never happens (clocks go forward) is read with the offset in force *before* the jump with
  ``fold=0``: 02:30 on the night New York jumps from 02:00 to 03:00 is 07:30 UTC, which is 03:30 there. (With
  ``fold=1`` it is read with the offset after the jump: 06:30 UTC, 01:30 there.) `ensure_timezone` only attaches the
  zone, so such a time stays as written; every conversion goes through UTC, so what it returns is a time that exists.

Python calls two datetimes of *different* zones unequal whenever one of them is in a fold or a gap (PEP 495 again):
compare such times with `to_utc` on both sides.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, tzinfo
from functools import cache
from io import BytesIO
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dynamodb_wrapper.exceptions import ValidationError

ENVIRONMENT_VARIABLE = "DYNAMODB_TIMEZONE"
"""Names the default zone of a `TimezoneManager` that is given none."""

_ALLOWED = 'an IANA time zone name such as "Europe/London", "America/New_York" or "UTC"'


class HasTimezones(Protocol):
    """What `configure_timezone_from_config` reads of a configuration."""

    @property
    def default_timezone(self) -> str:
        """The zone naive datetimes are in."""
        ...

    @property
    def user_timezone(self) -> str | None:
        """The zone datetimes are shown in; None for the default one."""
        ...


_UTC_FILE = b"TZif" + bytes(16) + (0).to_bytes(16) + (1).to_bytes(4) + (4).to_bytes(4) + bytes(6) + b"UTC\0"
"""RFC 8536: a file of zone data with no transitions, one type of local time, and the four characters of its name."""


class _UtcWithoutData(ZoneInfo):
    """UTC as `ZoneInfo` has it, where neither the system nor tzdata has its file."""

    def __reduce__(self) -> tuple[object, ...]:  # one from a file cannot be pickled
        return _utc, ()


@cache
def _utc_without_data() -> ZoneInfo:
    return _UtcWithoutData.from_file(BytesIO(_UTC_FILE), key="UTC")


def _utc() -> ZoneInfo:
    """Return UTC, for which no zone data are needed."""
    try:
        return ZoneInfo("UTC")
    except ZoneInfoNotFoundError:
        return _utc_without_data()


def _load_zone(name: str) -> ZoneInfo | None:
    """Return the zone of that name, or None when there is none."""
    try:
        return _utc() if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # ValueError: an empty or absolute name, one with "..", or a file that is not zone data.
        # OSError: a name that is a folder ("America"), or is too long for the file system.
        return None


def _zone(tz: str | tzinfo, origin: str = "") -> ZoneInfo:
    if isinstance(tz, ZoneInfo):
        return tz
    name = "UTC" if tz == UTC else tz
    zone = _load_zone(name) if isinstance(name, str) else None
    if zone is None:
        raise ValidationError(
            f"unknown time zone {tz!r}{origin}: must be {_ALLOWED}",
            {"timezone": f"{tz!r}{origin}: must be {_ALLOWED}"},
        )
    return zone


def _zone_of_environment() -> ZoneInfo:
    name = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    return _zone(name, f" (from {ENVIRONMENT_VARIABLE})") if name else _utc()


def _convert(dt: datetime, zone: tzinfo) -> datetime:
    """Return the instant of an aware datetime in a zone."""
    try:
        # Through UTC even when the zone stays the same: astimezone() leaves a time in a gap alone otherwise.
        return dt.astimezone(UTC).astimezone(zone)
    except OverflowError as error:
        raise ValidationError(
            f"{dt.isoformat()} is outside the years 1 to 9999 in {zone}",
            {"datetime": f"{dt.isoformat()}: must be within the years 1 to 9999 in UTC and in {zone}"},
            error,
        ) from error


class TimezoneManager:
    """A default zone and a user zone, and the conversions between them.

    Immutable, hashable and picklable, so one may be shared by threads, tasks and processes.

    Args:
        default_timezone: The zone naive datetimes are in: an IANA name, a `ZoneInfo` or ``timezone.utc``. None for the
            environment's ``DYNAMODB_TIMEZONE``, read now, else UTC.
        user_timezone: The zone instants are shown in when no target is named; None for the default zone.

    Raises:
        ValidationError: If a zone is not known; the message names it, and the variable it came from.
    """

    __slots__ = ("_default", "_user")

    def __init__(
        self, default_timezone: str | tzinfo | None = None, *, user_timezone: str | tzinfo | None = None
    ) -> None:
        self._default = _zone_of_environment() if default_timezone is None else _zone(default_timezone)
        self._user = self._default if user_timezone is None else _zone(user_timezone)

    @property
    def default_timezone(self) -> str:
        """The name of the zone naive datetimes are taken to be in."""
        return str(self._default)

    @property
    def user_timezone(self) -> str:
        """The name of the zone instants are shown in when no target is named."""
        return str(self._user)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimezoneManager):
            return NotImplemented
        return self._default == other._default and self._user == other._user

    def __hash__(self) -> int:
        return hash((self._default, self._user))

    def __repr__(self) -> str:
        shown = "" if self._user == self._default else f", user_timezone={str(self._user)!r}"
        return f"TimezoneManager({str(self._default)!r}{shown})"

    def get_timezone(self, tz: str | tzinfo | None = None) -> ZoneInfo:
        """Return a zone by name, or this manager's user zone for None.

        Args:
            tz: An IANA name, a `ZoneInfo` (returned as it is), ``timezone.utc`` (as ``ZoneInfo("UTC")``) or None.

        Raises:
            ValidationError: If there is no such zone.
        """
        return self._user if tz is None else _zone(tz)

    def now(self, tz: str | tzinfo | None = None) -> datetime:
        """Return the current time, aware, in a zone (None: the user zone).

        Raises:
            ValidationError: If there is no such zone.
        """
        return datetime.now(self.get_timezone(tz))

    def utcnow(self) -> datetime:
        """Return the current time, aware, with ``timezone.utc``."""
        return datetime.now(UTC)

    def ensure_timezone(self, dt: datetime, assumed: str | tzinfo | None = None) -> datetime:
        """Return a datetime that is aware: an aware one as it is, a naive one with a zone attached.

        The wall time and ``fold`` stay as written, in a gap too (see the module's text).

        Args:
            dt: Any datetime.
            assumed: The zone a naive one is in; None for the default zone.

        Raises:
            ValidationError: If there is no such zone, or it is no datetime.
        """
        if not isinstance(dt, datetime):
            raise ValidationError(f"{dt!r} is not a datetime; parse_iso() reads text", {"datetime": "not a datetime"})
        # Not "tzinfo is None": a tzinfo may decline to give an offset, and Python calls that naive as well.
        if dt.utcoffset() is not None:
            return dt
        return dt.replace(tzinfo=self._default if assumed is None else _zone(assumed))

    def to_timezone(self, dt: datetime, target: str | tzinfo | None = None) -> datetime:
        """Return the same instant as wall time in a zone.

        Args:
            dt: Any datetime; a naive one is in the default zone.
            target: The zone to show it in; None for the user zone.

        Raises:
            ValidationError: If there is no such zone, or the result is outside the years 1 to 9999.
        """
        return _convert(self.ensure_timezone(dt), self.get_timezone(target))

    def to_utc(self, dt: datetime) -> datetime:
        """Return the same instant with ``timezone.utc``; a naive datetime is in the default zone.

        Raises:
            ValidationError: If the result is outside the years 1 to 9999.
        """
        return _convert(self.ensure_timezone(dt), UTC)

    def format_iso(self, dt: datetime) -> str:
        """Return ISO 8601 text with the offset (``"2024-07-01T12:00:00+01:00"``); a naive one is in the default zone.

        The offset makes the text name one instant, in a fold and in a gap too, so `parse_iso` gives the instant back.
        """
        return self.ensure_timezone(dt).isoformat()

    def parse_iso(self, text: str, target: str | tzinfo | None = None) -> datetime:
        """Return the instant that ISO 8601 text names, in a zone.

        Args:
            text: A date and time as `datetime.fromisoformat` reads it (``Z`` too); text without an offset is in the
                default zone.
            target: The zone to show it in; None for the user zone.

        Raises:
            ValidationError: If the text is not ISO 8601, there is no such zone, or the result is out of range.
        """
        try:
            parsed = datetime.fromisoformat(text)
        except (ValueError, TypeError) as error:
            allowed = 'must be ISO 8601 text such as "2024-07-01T12:00:00+01:00"'
            raise ValidationError(
                f"{text!r} is not a date and time: {allowed}", {"text": f"{text!r}: {allowed}"}, error
            ) from error
        return self.to_timezone(parsed, target)

    def get_user_timezone_datetime(
        self, utc_dt: datetime | None = None, user_tz: str | tzinfo | None = None
    ) -> datetime:
        """Return an instant as the user's wall time.

        Args:
            utc_dt: The instant; None for now. Being called UTC, a naive one is taken to be in UTC here, not in the
                default zone.
            user_tz: The user's zone; None for the user zone of this manager.

        Raises:
            ValidationError: If there is no such zone, or the result is outside the years 1 to 9999.
        """
        instant = self.utcnow() if utc_dt is None else self.ensure_timezone(utc_dt, UTC)
        return self.to_timezone(instant, user_tz)


# The manager of the process under one key, made on first use so that importing reads no environment. A manager never
# changes; a change of zone puts another one here, so a reader sees the old zones or the new ones, never a mix. Setting
# an item and `setdefault` are atomic, which is all that is needed: there is no lock that a fork could leave held.
_process: dict[str, TimezoneManager] = {}
_MANAGER = "manager"


def get_timezone_manager() -> TimezoneManager:
    """Return the manager of this process, by default that of ``DYNAMODB_TIMEZONE`` (read on first use), else UTC.

    Raises:
        ValidationError: If ``DYNAMODB_TIMEZONE`` is read now and names no zone.
    """
    current = _process.get(_MANAGER)
    # Another thread may have set a zone meanwhile; setdefault() then returns that one, and the default is dropped.
    return _process.setdefault(_MANAGER, TimezoneManager()) if current is None else current


def _install(manager: TimezoneManager) -> TimezoneManager:
    _process[_MANAGER] = manager
    return manager


def set_global_timezone(tz: str | tzinfo | None = None) -> TimezoneManager:
    """Make a zone the default and the user zone of this process, for every thread and task; return the new manager.

    Repositories are not affected: they use the zones of their configuration.

    Args:
        tz: The zone; None for ``DYNAMODB_TIMEZONE``, read now, else UTC.

    Raises:
        ValidationError: If there is no such zone; the one in force stays.
    """
    return _install(TimezoneManager(tz))


def configure_timezone_from_config(config: HasTimezones) -> TimezoneManager:
    """Make a configuration's zones those of this process, and return the new manager.

    Naive datetimes are then in ``config.default_timezone``, and instants are shown in ``config.user_timezone`` (or
    the default zone when that is None).

    Raises:
        ValidationError: If there is no such zone; the ones in force stay.
    """
    return _install(TimezoneManager(config.default_timezone, user_timezone=config.user_timezone))


def now_in_tz(tz: str | tzinfo | None = None) -> datetime:
    """Return the current time, aware, in a zone (None: the process's user zone). See `TimezoneManager.now`."""
    return get_timezone_manager().now(tz)


def utcnow() -> datetime:
    """Return the current time, aware, with ``timezone.utc``."""
    return datetime.now(UTC)


def to_user_timezone(dt: datetime, tz: str | tzinfo | None = None) -> datetime:
    """Return the same instant in a zone (None: the process's user zone); a naive one is in the process's default zone.

    Raises:
        ValidationError: If there is no such zone, or the result is outside the years 1 to 9999.
    """
    return get_timezone_manager().to_timezone(dt, tz)


def convert_utc_to_user_tz(dt: datetime, tz: str | tzinfo | None = None) -> datetime:
    """Return the same instant in a zone (None: the process's user zone); a naive one is in UTC, as the name says.

    Raises:
        ValidationError: If there is no such zone, or the result is outside the years 1 to 9999.
    """
    return get_timezone_manager().get_user_timezone_datetime(dt, tz)


def to_utc(dt: datetime) -> datetime:
    """Return the same instant with ``timezone.utc``; a naive datetime is in the process's default zone.

    Raises:
        ValidationError: If the result is outside the years 1 to 9999.
    """
    return get_timezone_manager().to_utc(dt)


def ensure_timezone_aware(dt: datetime, assumed: str | tzinfo | None = None) -> datetime:
    """Return an aware datetime: a naive one gets a zone (None: the process's default zone), wall time unchanged.

    Raises:
        ValidationError: If there is no such zone.
    """
    return get_timezone_manager().ensure_timezone(dt, assumed)


def validate_timezone_string(s: object) -> bool:
    """Return whether a value is the name of a known IANA time zone; False, never an error, for anything else."""
    return isinstance(s, str) and _load_zone(s) is not None
