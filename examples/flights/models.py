"""What is stored: plain Pydantic models."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel

TIME_ZONE = "America/New_York"
"""Where all three airports are. Times are stored as UTC; this is for reading the data and for showing it."""


class FlightStatus(StrEnum):
    FLOWN = "flown"
    NO_ARRIVAL = "no_arrival"  # it left, and no arrival is recorded: mostly diverted flights
    CANCELLED = "cancelled"


class Flight(BaseModel):
    flight: str  # carrier and number, "AA3"
    scheduled_departure: AwareDatetime
    carrier: str
    day: date  # in New York
    origin: str
    dest: str
    status: FlightStatus
    tail_number: str | None = None
    departed_at: AwareDatetime | None = None  # None: it never left
    departure_delay: int | None = None  # minutes; negative is early
    arrival_delay: int | None = None
    air_minutes: float | None = None
    distance_miles: int
    vouchers: Decimal = Decimal(0)  # US dollars given to passengers; not in the data, the tour makes it up
    version: int = 0


class Delay(BaseModel):
    """The part of a `Flight` that a board of delays shows."""

    flight: str
    scheduled_departure: AwareDatetime
    origin: str
    dest: str
    departure_delay: int


class DaylightSaving(StrEnum):
    AMERICAN = "A"
    NONE = "N"
    UNKNOWN = "U"


class Airport(BaseModel):
    code: str
    name: str
    latitude: Decimal  # exact: no digit of the source is lost
    longitude: Decimal
    altitude_feet: int
    time_zone: str | None = None
    daylight_saving: DaylightSaving


class Carrier(BaseModel):
    code: str
    name: str
