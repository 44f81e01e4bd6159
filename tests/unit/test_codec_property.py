"""Whatever a Pydantic model holds comes back equal: random models, random values, the whole way there and back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import string
import uuid
import warnings
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, Union
from zoneinfo import ZoneInfo

import pydantic
import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    JsonValue,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    SecretBytes,
    SecretStr,
    StrictInt,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from dynamodb_wrapper.codec import ModelCodec, TimeRules, encoded_to_json

ZONES = ("UTC", "America/New_York", "Europe/London", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia")
YEARS = {"min_value": dt.datetime(2, 1, 1), "max_value": dt.datetime(9998, 1, 1)}  # noqa: DTZ001


# --- what must be equal ---------------------------------------------------------------------------------------------


def normal(value: Any, assumed: dt.tzinfo) -> Any:
    """A value in a form where equal means the same: instants in UTC (folds are never equal), types beside values."""
    if isinstance(value, dt.datetime):
        aware = value.replace(tzinfo=assumed) if value.tzinfo is None else value
        return dt.datetime, aware.astimezone(dt.UTC)
    if isinstance(value, BaseModel):
        extra = value.__pydantic_extra__ or {}
        return type(value), normal({**value.__dict__, **extra}, assumed)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value), normal(value.__dict__, assumed)
    if isinstance(value, Mapping):
        return dict, frozenset((normal(key, assumed), normal(entry, assumed)) for key, entry in value.items())
    if isinstance(value, set | frozenset):
        return type(value), frozenset(normal(entry, assumed) for entry in value)
    if isinstance(value, list | tuple):
        return type(value), tuple(normal(entry, assumed) for entry in value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool | Enum):
        return "number", Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return type(value), value


def datetimes_in(value: Any) -> Iterator[dt.datetime]:
    if isinstance(value, dt.datetime):
        yield value
    elif isinstance(value, BaseModel):
        yield from datetimes_in({**value.__dict__, **(value.__pydantic_extra__ or {})})
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from datetimes_in(value.__dict__)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from datetimes_in(key)
            yield from datetimes_in(entry)
    elif isinstance(value, list | tuple | set | frozenset):
        for entry in value:
            yield from datetimes_in(entry)


def check_round_trip(model: BaseModel, times: TimeRules = TimeRules()) -> None:  # noqa: B008
    codec = ModelCodec(type(model), times=times)
    item = codec.encode(model)
    assert item == codec._encoded_simply(model)
    assert codec.encode_json(model) == encoded_to_json(item)
    for decoded in (codec.decoded_simply(item), codec.decode(item), codec.decode_json(codec.encode_json(model))):
        assert normal(decoded, times.assumed) == normal(model, times.assumed)
        assert all(shown.tzinfo == times.shown for shown in datetimes_in(decoded))
        assert codec.encode(decoded) == item, "stored once more, it is the same item"
        if not any(True for _ in datetimes_in(model)):
            assert decoded == model


# --- types and their values -----------------------------------------------------------------------------------------


class Colour(StrEnum):
    RED = "red"
    ODD = "2024-01-01"


class Plain(Enum):
    RED = "red"
    ONE = 1


class Level(IntEnum):
    LOW = -1
    HIGH = 10**30


class Ratio(Enum):
    TENTH = 0.1
    HALF = Decimal("0.5")
    PAIR = (1, "two")
    RAW = b"\x00"
    DAY = dt.date(2024, 2, 29)


class Point(NamedTuple):
    x: int
    at: dt.datetime


class Options(typing_extensions.TypedDict):
    seen: dt.datetime
    ratio: float
    tags: typing_extensions.NotRequired[frozenset[str]]


@dataclasses.dataclass
class Visit:
    at: dt.datetime
    cost: float
    colours: set[Colour] = dataclasses.field(default_factory=set)
    previous: Visit | None = None


@pydantic.dataclasses.dataclass
class Stay:
    nights: int
    at: dt.datetime
    rate: float = 1.5


def as_decimal(digits: int, adjusted: int) -> Decimal:
    return Decimal((int(digits < 0), Decimal(abs(digits)).as_tuple().digits, adjusted - len(str(abs(digits))) + 1))


TEXTS = st.text(max_size=12)
DIGITS = st.integers(-(10**38) + 1, 10**38 - 1)
INTS = DIGITS | st.integers(-5, 5) | st.builds(lambda digits, zeros: digits * 10**zeros, DIGITS, st.integers(0, 87))
DECIMALS = st.builds(as_decimal, DIGITS, st.integers(-130, 125)) | st.decimals(-1000, 1000, places=3)
FLOATS = st.floats(-9e125, 9e125, allow_subnormal=False).filter(lambda value: value == 0 or abs(value) >= 1e-130)
# An int that a float cannot hold is told from a float only as long as the float is exact itself.
EXACT_FLOATS = FLOATS.filter(lambda value: abs(value) < 2**53)
OFFSETS = st.builds(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)), st.integers(-1439, 1439))
AWARE = st.datetimes(**YEARS, timezones=OFFSETS | st.timezones(), allow_imaginary=False)
NEAR_A_FOLD = st.builds(
    lambda minutes, fold, zone: (
        dt.datetime(2024, 11, 3, fold=fold, tzinfo=ZoneInfo(zone)) + dt.timedelta(minutes=minutes)
    ),
    st.integers(0, 240),
    st.integers(0, 1),
    st.sampled_from(ZONES),
)
INSTANTS = AWARE | NEAR_A_FOLD

LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: INTS,
    Decimal: DECIMALS,
    float: FLOATS,
    bool: st.booleans(),
    bytes: st.binary(max_size=12),
    dt.datetime: INSTANTS,
    dt.date: st.dates(),
    dt.time: st.times(),
    dt.timedelta: st.timedeltas(),
    uuid.UUID: st.uuids(),
    Colour: st.sampled_from(Colour),
    Plain: st.sampled_from(Plain),
    Level: st.sampled_from(Level),
    Ratio: st.sampled_from(Ratio),
    Path: st.text("ab/.- ü", max_size=8).map(Path),
    AnyUrl: st.sampled_from(["https://user@a.example:8080/p?q=1#f", "redis://h/0"]).map(AnyUrl),
    IPv4Address: st.ip_addresses(v=4),
    IPv6Network: st.ip_addresses(v=6).map(IPv6Network),
    SecretStr: TEXTS.map(SecretStr),
    SecretBytes: st.binary(max_size=5).map(SecretBytes),
    Literal["a", 2, Plain.ONE]: st.sampled_from(["a", 2, Plain.ONE]),
    JsonValue: st.recursive(
        st.none() | st.booleans() | st.integers(-100, 100) | EXACT_FLOATS | TEXTS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
        max_leaves=4,
    ),
    Point: st.builds(Point, INTS, INSTANTS),
    Options: st.fixed_dictionaries(
        {"seen": INSTANTS, "ratio": FLOATS}, optional={"tags": st.frozensets(TEXTS, max_size=2)}
    ),
    Visit: st.builds(Visit, INSTANTS, FLOATS, st.sets(st.sampled_from(Colour)), st.builds(Visit, INSTANTS, FLOATS)),
    Stay: st.builds(Stay, INTS, INSTANTS, FLOATS),
    pydantic.SkipValidation[dt.date]: st.dates(),
    pydantic.InstanceOf[uuid.UUID]: st.uuids(),
    Annotated[int, Field(ge=-(10**30))]: st.integers(-(10**30), 10**37),
    Annotated[str, Field(min_length=1), AfterValidator(lambda text: text)]: st.text(min_size=1, max_size=3),
}
HASHABLE = (str, int, Decimal, bytes, float, dt.datetime, dt.date, uuid.UUID, Colour, Level, bool)
KEYS = (str, int, Decimal, float, bool, dt.datetime, dt.date, dt.time, uuid.UUID, Colour, Plain, Level, Literal[1, 2])
# Types whose stored forms cannot be taken for one another's.
APART = (
    (int, str),
    (str, dt.datetime),
    (dt.date, dt.datetime),
    (dt.datetime, dt.date, str),
    (float, str, bool),
    (uuid.UUID, str),
    (int, float),
    (str, bytes, list[int]),
    (float, dict[str, dt.datetime]),
    (list[dt.datetime], list[str]),
    (dt.timedelta, dt.time),
)
Typed = tuple[Any, st.SearchStrategy[Any]]


def _union(members: tuple[Any, ...]) -> Typed:
    values = {
        list[int]: st.lists(INTS, max_size=2),
        dict[str, dt.datetime]: st.dictionaries(TEXTS, INSTANTS, max_size=2),
    }
    values |= {float: EXACT_FLOATS} if int in members else {}
    values |= {list[dt.datetime]: st.lists(INSTANTS, max_size=2), list[str]: st.lists(TEXTS, max_size=2)}
    return Union[members], st.one_of(*(values[entry] if entry in values else LEAVES[entry] for entry in members))  # noqa: UP007


def _containers(inner: Typed) -> st.SearchStrategy[Typed]:
    annotation, values = inner
    key = st.sampled_from(KEYS)
    keys = {**LEAVES, Literal[1, 2]: st.sampled_from([1, 2])}
    return st.one_of(
        st.just((annotation | None if annotation is not JsonValue else annotation, st.none() | values)),
        st.just((list[annotation], st.lists(values, max_size=3))),
        st.just((tuple[annotation, ...], st.lists(values, max_size=3).map(tuple))),
        st.just((tuple[int, annotation], st.tuples(INTS, values))),
        key.map(lambda kind: (dict[kind, annotation], st.dictionaries(keys[kind], values, max_size=2))),  # type: ignore[valid-type]
    )


def _set_of(kind: Any, make: type) -> Typed:
    # Equal instants of different zones, or 1 and True, are one member for Python.
    return make[kind], st.lists(LEAVES[kind], max_size=3).map(make)  # type: ignore[index]


LEAF_TYPES: st.SearchStrategy[Typed] = st.one_of(
    st.sampled_from(list(LEAVES.items())),
    st.builds(_set_of, st.sampled_from(HASHABLE), st.sampled_from([set, frozenset])),
    st.sampled_from(APART).map(_union),
)
TYPES: st.SearchStrategy[Typed] = st.recursive(LEAF_TYPES, lambda types: types.flatmap(_containers), max_leaves=3)


@st.composite
def models(draw: st.DrawFn, types: st.SearchStrategy[Typed] = TYPES, depth: int = 1) -> tuple[type[BaseModel], Any]:
    """A model class with random fields, and a strategy of its instances."""
    inner = None if depth == 0 or draw(st.booleans()) else draw(models(types, depth=0))
    fields: dict[str, Any] = {}
    given_values: dict[str, st.SearchStrategy[Any]] = {}
    names = draw(st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=3), min_size=1, max_size=4, unique=True))
    for number, stem in enumerate(names):
        name = f"f_{stem}"
        kind = draw(types) if inner is None or number else (list[inner[0]], st.lists(inner[1], max_size=2))  # type: ignore[name-defined]
        options: dict[str, Any] = {}
        alias = draw(st.sampled_from(["none", "none", "alias", "apart", "choices", "path", "odd"]))
        if alias == "alias":
            options["alias"] = f"A{name}"
        elif alias == "apart":
            options |= {"validation_alias": f"V{name}", "serialization_alias": f"S{name}"}
        elif alias == "choices":
            options["validation_alias"] = AliasChoices(f"C{name}", AliasPath("other", name))
        elif alias == "path":
            options["validation_alias"] = AliasPath("shared", draw(st.sampled_from([name, number])))
        elif alias == "odd":
            options["alias"] = f"odd name.{name}-[0]"
        if any(isinstance(entry, int) for entry in getattr(options.get("validation_alias"), "path", ())):
            options["validation_alias"] = AliasPath(f"list_{name}", number)
        has_default = draw(st.sampled_from(["no", "no", "value", "none", "factory"]))
        annotation, values = kind
        if has_default == "value":
            options["default"] = draw(values)
        elif has_default == "none":
            options["default"] = None
            annotation, values = Union[annotation, None], st.none() | values  # noqa: UP007
        elif has_default == "factory":
            options["default_factory"] = set if typing_extensions.get_origin(annotation) is set else lambda: None
            annotation, values = Union[annotation, None], st.none() | values  # noqa: UP007
        fields[name] = (annotation, Field(**options))
        given_values[name] = values
    extra = draw(st.sampled_from(["ignore", "forbid", "allow"]))
    config = ConfigDict(
        extra=extra, populate_by_name=True, strict=draw(st.booleans()), frozen=draw(st.booleans()), title="random"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cls = create_model("Random", __config__=config, **fields)
    # As validation would leave them; the values are of their types already.
    return cls, st.fixed_dictionaries(given_values).map(lambda values: cls.model_construct(**values))


ZONE_RULES = st.builds(
    lambda assumed, shown: TimeRules.of(assumed=assumed, stored_in_utc=True, shown=shown),
    st.sampled_from(ZONES),
    st.sampled_from(ZONES),
)


@given(st.data(), models(), ZONE_RULES)
def test_any_model_comes_back_equal(data: st.DataObject, drawn: Any, times: TimeRules) -> None:
    _, instances = drawn
    check_round_trip(data.draw(instances), times)


@given(st.data(), st.sampled_from(list(LEAVES)))
def test_every_type_comes_back_equal_in_every_place(data: st.DataObject, kind: Any) -> None:
    values = LEAVES[kind]
    holder = create_model(
        "Holder",
        one=(kind, ...),
        maybe=(kind | None if kind is not JsonValue else kind, None),
        several=(list[kind], ...),
        named=(dict[str, kind], {}),
        pair=(tuple[kind, str], ...),
    )
    check_round_trip(
        holder(
            one=data.draw(values),
            maybe=data.draw(st.none() | values),
            several=data.draw(st.lists(values, max_size=3)),
            named=data.draw(st.dictionaries(TEXTS, values, max_size=2)),
            pair=(data.draw(values), "x"),
        )
    )


@given(st.datetimes(**YEARS, allow_imaginary=False), st.sampled_from(ZONES), st.sampled_from(ZONES))
def test_a_naive_datetime_is_wall_time_in_the_default_zone(naive: dt.datetime, assumed: str, shown: str) -> None:
    class Event(BaseModel):
        at: dt.datetime
        wall: pydantic.NaiveDatetime

    codec = ModelCodec(Event, times=TimeRules.of(assumed=assumed, stored_in_utc=True, shown=shown))
    decoded = codec.decode(codec.encode(Event(at=naive, wall=naive)))
    meant = naive.replace(tzinfo=ZoneInfo(assumed))
    assert decoded.at.astimezone(dt.UTC) == meant.astimezone(dt.UTC)
    assert str(decoded.at.tzinfo) == shown
    again = meant.astimezone(dt.UTC).astimezone(ZoneInfo(assumed))  # a wall time that never was is moved, once
    assert decoded.wall == again.replace(tzinfo=None)


@given(st.lists(INSTANTS, min_size=2, max_size=5))
def test_corner_21_text_order_is_time_order(instants: list[dt.datetime]) -> None:
    class Event(BaseModel):
        at: dt.datetime

    codec = ModelCodec(Event)
    stored = [codec.encode(Event(at=instant))["at"]["S"] for instant in instants]
    assert len({len(text) for text in stored}) == 1
    by_time = sorted(instants, key=lambda instant: instant.astimezone(dt.UTC))
    assert sorted(stored) == [codec.encode(Event(at=instant))["at"]["S"] for instant in by_time]
    assert [codec.target(("at",)).compared(instant)["S"] for instant in instants] == stored


# --- models with more to them than fields ---------------------------------------------------------------------------

T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    content: T
    more: list[T] = []
    by_name: dict[str, T] = {}


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["cat"] = Field("cat", alias="Kind")
    born: dt.datetime
    lives: int = 9

    @computed_field  # type: ignore[prop-decorator]
    @property
    def label(self) -> str:
        return f"cat {self.lives}"


class Dog(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["dog"] = Field("dog", alias="Kind")
    born: dt.datetime
    weight: float


class Robot(BaseModel):
    model_config = ConfigDict(extra="forbid")
    born: dt.datetime


class RobotWithArms(Robot):
    arms: int
    grip: float | None = None


class Names(RootModel[dict[str, frozenset[str]]]):
    pass


class Tree(RootModel[dict[str, "Tree | float"]]):
    pass


class Node(BaseModel):
    value: float
    at: dt.datetime
    children: list[Node] = []
    twin: Node | None = None


class Pet(BaseModel):
    told: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    untold: Cat | Dog | Robot | RobotWithArms
    several: list[Robot | RobotWithArms] = []
    lists: list[Cat] | list[Robot] = []


class Custom(BaseModel):
    """Fields written in another form than their own."""

    cents: Decimal
    day: dt.date
    stamp: dt.datetime
    joined: list[str]
    seconds: Annotated[dt.timedelta, PlainSerializer(lambda value: value // dt.timedelta(microseconds=1))]
    short: dt.datetime

    @field_serializer("cents")
    def _in_cents(self, value: Decimal) -> int:
        return int(value * 100)

    @field_serializer("joined")
    def _joined(self, value: list[str]) -> str:
        return "\n".join(value)

    @field_serializer("short")
    def _day_only(self, value: dt.datetime) -> str:
        return value.strftime("%Y%m%d")

    @field_validator("cents", mode="before")
    @classmethod
    def _from_cents(cls, value: object) -> object:
        return Decimal(value) / 100 if isinstance(value, int) else value

    @field_validator("joined", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.split("\n") if isinstance(value, str) else value

    @field_validator("seconds", mode="before")
    @classmethod
    def _from_microseconds(cls, value: object) -> object:
        return dt.timedelta(microseconds=value) if isinstance(value, int) else value

    @field_validator("short", mode="before")
    @classmethod
    def _from_day(cls, value: object) -> object:
        return dt.datetime.strptime(value, "%Y%m%d").replace(tzinfo=dt.UTC) if isinstance(value, str) else value


class Watchful(BaseModel):
    """Validators that want the types that ``model_dump`` gives, not text."""

    model_config = ConfigDict(extra="forbid")
    day: dt.date
    amount: Decimal
    key: uuid.UUID
    wrapped: Annotated[dt.timedelta, BeforeValidator(lambda value: value + dt.timedelta(0))]
    _seen: int = PrivateAttr(default=0)

    @field_validator("amount", mode="plain")
    @classmethod
    def _only_decimal(cls, value: object) -> object:
        assert isinstance(value, Decimal), type(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: dict[str, Any]) -> dict[str, Any]:
        assert data["day"] - dt.timedelta(days=0) == data["day"]
        assert data["key"].version in range(16) or True
        return data

    @model_validator(mode="after")
    def _count(self) -> Watchful:
        self._seen = 1
        return self


class Written(BaseModel):
    """A model that is written in a form of its own, inside another."""

    low: float
    high: float

    @model_serializer
    def _as_text(self) -> str:
        return f"{self.low!r}..{self.high!r}"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: object) -> object:
        if isinstance(data, str):
            low, high = data.split("..")
            return {"low": low, "high": high}
        return data


class StrictOuter(BaseModel):
    model_config = ConfigDict(strict=True)
    day: dt.date
    key: uuid.UUID
    number: StrictInt
    inner: Robot
    colours: tuple[Colour, ...]
    keyed: dict[dt.date, Level]
    window: Written


CATS = st.builds(Cat, born=INSTANTS, lives=st.integers(0, 9))
DOGS = st.builds(Dog, born=INSTANTS, weight=FLOATS)
ROBOTS = st.builds(Robot, born=INSTANTS)
ARMED = st.builds(RobotWithArms, born=INSTANTS, arms=st.integers(0, 9), grip=st.none() | FLOATS)
NODES = st.recursive(
    st.builds(Node, value=FLOATS, at=INSTANTS),
    lambda nodes: st.builds(Node, value=FLOATS, at=INSTANTS, children=st.lists(nodes, max_size=2), twin=nodes),
    max_leaves=4,
)
TREES = st.recursive(
    st.dictionaries(TEXTS, FLOATS, max_size=2),
    lambda trees: st.dictionaries(TEXTS, trees, max_size=2),
    max_leaves=3,
).map(Tree)
WHOLE_SECONDS = st.integers(-(10**9), 10**9).map(lambda seconds: dt.timedelta(seconds=seconds))


@given(
    st.builds(
        Pet,
        told=st.none() | CATS | DOGS,
        untold=CATS | DOGS | ROBOTS | ARMED,
        several=st.lists(ROBOTS | ARMED, max_size=3),
        lists=st.lists(CATS, min_size=1, max_size=2) | st.lists(ROBOTS, max_size=2),
    ),
    ZONE_RULES,
)
def test_unions_of_models_keep_class_and_content(pet: Pet, times: TimeRules) -> None:
    check_round_trip(pet, times)


@given(st.data(), ZONE_RULES)
def test_generics_recursion_and_root_models(data: st.DataObject, times: TimeRules) -> None:
    check_round_trip(data.draw(NODES), times)
    boxed = st.builds(Box[dt.datetime], content=INSTANTS, more=st.lists(INSTANTS, max_size=2))
    check_round_trip(data.draw(boxed), times)
    check_round_trip(data.draw(st.builds(Box[Box[float]], content=st.builds(Box[float], content=FLOATS))), times)

    class Roots(BaseModel):
        names: Names
        tree: Tree
        number: RootModel[float]

    names = st.dictionaries(TEXTS, st.frozensets(TEXTS, max_size=2), max_size=2).map(Names)
    check_round_trip(
        data.draw(st.builds(Roots, names=names, tree=TREES, number=FLOATS.map(RootModel[float]))),
        times,
    )


@given(
    st.builds(
        Custom,
        cents=st.integers(-(10**20), 10**20).map(lambda cents: Decimal(cents) / 100),
        day=st.dates(),
        stamp=INSTANTS,
        joined=st.lists(st.text("ab", max_size=3), min_size=1, max_size=3),
        seconds=st.timedeltas(),
        short=st.dates(min_value=dt.date(1000, 1, 1)).map(
            lambda day: dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
        ),
    )
)
def test_custom_serializers_and_validators_meet_each_other(model: Custom) -> None:
    codec = ModelCodec(Custom)
    assert normal(codec.decode(codec.encode(model)), dt.UTC) == normal(model, dt.UTC)


@given(st.builds(Watchful, day=st.dates(), amount=DECIMALS, key=st.uuids(), wrapped=WHOLE_SECONDS))
def test_validators_are_shown_the_types_that_were_written(model: Watchful) -> None:
    check_round_trip(model)


@given(
    st.builds(
        StrictOuter,
        day=st.dates(),
        key=st.uuids(),
        number=INTS,
        inner=ROBOTS,
        colours=st.lists(st.sampled_from(Colour), max_size=2).map(tuple),
        keyed=st.dictionaries(st.dates(), st.sampled_from(Level), max_size=2),
        window=st.builds(Written, low=FLOATS, high=FLOATS),
    )
)
def test_strict_models_are_read_from_what_was_stored(model: StrictOuter) -> None:
    check_round_trip(model)


JSON = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(TEXTS, JSON, max_size=2), st.lists(DECIMALS, max_size=2), ROBOTS)
def test_json_fields_come_back_parsed(anything: dict[str, Any], amounts: list[Decimal], robot: Robot) -> None:
    class Documents(BaseModel):
        anything: Json
        amounts: Json[list[Decimal]]
        robot: Json[Robot]
        maybe: Json[list[float]] | None = None

    model = Documents.model_construct(anything=anything, amounts=amounts, robot=robot, maybe=[0.1])
    codec = ModelCodec(Documents)
    assert normal(codec.decode(codec.encode(model)), dt.UTC) == normal(model, dt.UTC)


@given(
    st.dictionaries(
        st.text(string.ascii_letters + ". -#:", min_size=1, max_size=5).filter(lambda name: name != "known"),
        st.none() | TEXTS | INTS | DECIMALS | st.binary(max_size=3) | st.booleans() | st.lists(INTS, max_size=2),
        max_size=3,
    )
)
def test_extra_attributes_are_kept_where_the_model_keeps_them(extra: dict[str, Any]) -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        known: int = 0

    codec = ModelCodec(Open)
    model = Open.model_validate({"known": 1, **extra})
    assert codec.decode(codec.encode(model)) == model


@pytest.mark.parametrize("extra", ["ignore", "forbid", "allow"])
@pytest.mark.parametrize("zone", ZONES)
def test_zones_are_copies_that_leave_the_codec_alone(extra: Any, zone: str) -> None:
    model_class = create_model("M", __config__=ConfigDict(extra=extra), at=(dt.datetime, ...))
    codec = ModelCodec(model_class)
    at = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)
    item = codec.encode(model_class(at=at))
    shown = codec.in_zones(shown=zone).decode(item)
    assert (shown.at, str(shown.at.tzinfo)) == (at, zone)  # type: ignore[attr-defined]
    assert codec.decode(item).at.tzinfo is dt.UTC  # type: ignore[attr-defined]
    assert codec.in_zones(shown=zone) is codec.in_zones(shown=zone)
