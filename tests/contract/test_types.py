"""Every type comes back equal to what went in, through every server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PrivateAttr,
    RootModel,
    SecretStr,
    computed_field,
    field_serializer,
    field_validator,
)

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, F, Remove, ValidationError
from tests.contract.shop import MONDAY, Make, requests
from tests.servers import Server

T = TypeVar("T")
Sku = NewType("Sku", str)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 10


class Weird(Enum):
    TEXT = "t"
    NUMBER = 7


class Point(BaseModel):
    x: int
    y: Decimal = Decimal(0)


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: set[str]


class Box(BaseModel, Generic[T]):
    content: T


class Names(RootModel[list[str]]):
    pass


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Everything(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    id: str
    text: str = "Zoë 日本 \U0001f600 \n\t\0"
    empty_text: str = ""
    small: int = -5
    large: int = 10**37 + 1
    huge: int = 10**125
    decimal: Decimal = Decimal("-12345678901234567890.123456789012345678")
    tiny: Decimal = Decimal("1E-130")
    ratio: float = 0.1
    thirds: float = 1 / 3
    wide: float = -1.5e100
    flag: bool = True
    off: bool = False
    nothing: str | None = None
    raw: bytes = b"\x00\xff bytes"
    empty_raw: bytes = b""
    moment: dt.datetime = MONDAY
    aware: AwareDatetime = dt.datetime(2026, 7, 25, 1, 30, tzinfo=ZoneInfo("Europe/London"))
    day: dt.date = dt.date(2026, 2, 28)
    time: dt.time = dt.time(23, 59, 59, 123456)
    span: dt.timedelta = dt.timedelta(days=-3, microseconds=7)
    uuid: UUID = UUID("12345678-1234-5678-1234-567812345678")
    colour: Colour = Colour.BLUE
    level: Level = Level.HIGH
    weird: list[Weird] = [Weird.TEXT, Weird.NUMBER]
    path: Path = Path("/var/data/x.csv")
    url: AnyUrl = AnyUrl("https://example.org/a?b=c")
    link: HttpUrl = HttpUrl("https://example.org/")
    secret: SecretStr = SecretStr("hush")
    sku: Sku = Sku("s-1")
    words: list[str] = ["b", "a", ""]
    holes: list[int | None] = [1, None, 3]
    pair: tuple[int, str] = (1, "x")
    many: tuple[Decimal, ...] = (Decimal("1.10"), Decimal(2))
    mapping: dict[str, list[dict[str, int]]] = {"a": [{"b": 1}, {}], "#": []}
    by_number: dict[int, str] = {1: "one", -2: "two"}
    by_day: dict[dt.date, Decimal] = {dt.date(2026, 1, 1): Decimal("1.5")}
    texts: set[str] = {"a", "b", ""}
    numbers: frozenset[int] = frozenset({1, 2, 10**30})
    decimals: set[Decimal] = {Decimal("0.1"), Decimal("1E-100")}
    blobs: set[bytes] = {b"\x00", b"\xff"}
    colours: set[Colour] = {Colour.RED, Colour.BLUE}
    moments: set[dt.datetime] = {MONDAY}
    empty_set: set[int] = {1}
    sets: dict[str, set[str]] = {"full": {"x"}, "empty": set()}
    set_list: list[set[int]] = [{1}, set()]
    point: Point = Point(x=1, y=Decimal("2.50"))
    points: dict[str, Point] = {"a": Point(x=2)}
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat(lives=9)
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = [Dog(tricks={"sit"}), Cat(lives=1)]
    boxed: Box[Point] = Box[Point](content=Point(x=3))
    boxes: list[Box[int]] = [Box[int](content=1)]
    names: Names = Names(["x", "y"])
    tree: Node = Node(name="root", children=[Node(name="leaf")])
    either: int | str | None = "5"
    anything: Any = {"int": 5, "decimal": Decimal("1.5"), "text": "x", "none": None, "list": [True, b"b", {1, 2}]}
    aliased: str = Field(default="a", alias="other-name")
    apart: int = Field(default=5, validation_alias="in", serialization_alias="out")
    custom: int = 255
    _private: int = PrivateAttr(default=3)

    @field_serializer("custom")
    def as_hex(self, value: int) -> str:
        return hex(value)

    @field_validator("custom", mode="before")
    @classmethod
    def from_hex(cls, value: Any) -> Any:
        return int(value, 16) if isinstance(value, str) else value

    @computed_field  # type: ignore[prop-decorator]
    @property
    def shout(self) -> str:
        return self.text.upper()


class Things(BaseDynamoRepository[Everything]):
    table_name = "everything"
    primary_key = "id"


@pytest.fixture
def things(make: Make) -> Things:
    return make(Things)


def raw(server: Server, repository: BaseDynamoRepository[Any], key: str = "a") -> dict[str, Any]:
    response = server.client.get_item(TableName=repository.table_name, Key={"id": {"S": key}})
    return dict(response["Item"])


def test_everything_comes_back_equal(things: Things) -> None:
    given = things.create(Everything(id="a", empty_set=set()))
    got = things.get_or_raise("a")
    for name in Everything.model_fields:
        assert getattr(got, name) == getattr(given, name), name
        assert type(getattr(got, name)) is type(getattr(given, name)), name
    assert got == given
    assert list(things.scan()) == [given]
    assert things.patch("a", off=False) == given


def test_every_field_can_be_patched_to_what_it_is(things: Things) -> None:
    given = Everything(id="a")
    for start in range(1, len(Everything.model_fields), 15):
        names = list(Everything.model_fields)[start : start + 15]
        things.put(Everything(id="a", empty_set=set()))
        assert things.patch("a", changes={name: getattr(given, name) for name in names}).model_dump(
            include=set(names)
        ) == given.model_dump(include=set(names))


def test_equality_with_any_top_level_value_holds_in_conditions(things: Things) -> None:
    given = things.create(Everything(id="a"))
    for name in Everything.model_fields.keys() - {"nothing", "shout"}:
        condition = F[name] == getattr(given, name)
        assert things.scan().where(condition).count() == 1, name


def test_the_stored_form(things: Things, server: Server) -> None:
    things.create(Everything(id="a", empty_set=set()))
    item = raw(server, things)
    assert item["moment"] == {"S": "2026-11-02T09:30:00.000000+00:00"}
    assert item["aware"] == {"S": "2026-07-25T00:30:00.000000+00:00"}
    assert item["raw"] == {"B": b"\x00\xff bytes"}
    assert item["flag"] == {"BOOL": True}
    assert item["huge"] == {"N": "1" + "0" * 125}
    assert sorted(item["texts"]["SS"]) == ["", "a", "b"]
    assert set(item["numbers"]["NS"]) == {"1", "2", "1" + "0" * 30}
    assert set(item["blobs"]["BS"]) == {b"\x00", b"\xff"}
    assert set(item["colours"]["SS"]) == {"red", "blue"}
    assert item["level"] == {"N": "10"}
    assert item["holes"] == {"L": [{"N": "1"}, {"NULL": True}, {"N": "3"}]}
    assert item["other-name"] == {"S": "a"}
    assert item["out"] == {"N": "5"}
    assert item["custom"] == {"S": "0xff"}
    assert item["shout"]["S"].startswith("ZOË")
    assert item["names"] == {"L": [{"S": "x"}, {"S": "y"}]}
    assert item.keys().isdisjoint({"nothing", "_private", "aliased", "apart", "in"})


class Event(BaseModel):
    stream: str
    at: dt.datetime


class Events(BaseDynamoRepository[Event]):
    table_name = "events"
    primary_key = "stream"
    sort_key = "at"


def test_text_order_of_datetimes_is_time_order(make: Make) -> None:
    events = make(Events)
    moments = [
        MONDAY + offset
        for offset in (
            dt.timedelta(0),
            dt.timedelta(microseconds=1),
            dt.timedelta(milliseconds=999),
            dt.timedelta(seconds=1),
            dt.timedelta(days=400),
        )
    ]
    zones = [ZoneInfo("Asia/Tokyo"), dt.UTC, ZoneInfo("America/New_York"), ZoneInfo("Europe/London"), dt.UTC]
    for moment, zone in zip(reversed(moments), zones, strict=True):
        events.create(Event(stream="s", at=moment.astimezone(zone)))
    assert [event.at for event in events.query("s")] == moments
    assert all(event.at.tzinfo is dt.UTC for event in events.query("s"))
    between = events.query("s").between(moments[1].astimezone(ZoneInfo("Asia/Tokyo")), moments[3])
    assert [event.at for event in between] == moments[1:4]
    assert events.get("s", moments[2].astimezone(ZoneInfo("Asia/Tokyo"))) == Event(stream="s", at=moments[2])


def test_a_naive_datetime_is_in_the_default_timezone(make: Make) -> None:
    events = make(Events, default_timezone="America/New_York")
    events.create(Event(stream="s", at=dt.datetime(2026, 7, 1, 8)))  # noqa: DTZ001
    instant = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
    assert [event.at for event in events.query("s")] == [instant]
    assert events.get("s", dt.datetime(2026, 7, 1, 8)) is not None  # noqa: DTZ001
    assert events.get("s", instant) is not None


def test_both_hours_of_a_fold_survive(make: Make) -> None:
    events = make(Events)
    for fold, hour in ((0, 0), (1, 1)):
        local = dt.datetime(2026, 10, 25, 1, 30, tzinfo=ZoneInfo("Europe/London"), fold=fold)
        events.create(Event(stream=f"fold {fold}", at=local))
        got = events.query(f"fold {fold}").one()
        assert got.at == dt.datetime(2026, 10, 25, hour, 30, tzinfo=dt.UTC)
        shown = events.get_with_timezone(f"fold {fold}", local, "Europe/London")
        assert shown is not None
        assert (shown.at.hour, shown.at.fold) == (1, fold)


KEYS: list[tuple[Any, Sequence[Any], str]] = [
    (str, ["a", "A", "é", "a" * 1024], "S"),
    (int, [0, -1, 10**37], "N"),
    (Decimal, [Decimal("0.1"), Decimal("-1E-100"), Decimal("12345678901234567890123456789012345678")], "N"),
    (float, [0.1, -2.5], "N"),
    (bytes, [b"\x00", b"\xff\x00"], "B"),
    (dt.datetime, [MONDAY, MONDAY + dt.timedelta(microseconds=1)], "S"),
    (dt.date, [dt.date(2026, 1, 2)], "S"),
    (UUID, [uuid4(), uuid4()], "S"),
    (Colour, [Colour.RED, Colour.BLUE], "S"),
    (Level, [Level.LOW, Level.HIGH], "N"),
]


@pytest.mark.parametrize(("kind", "values", "tag"), KEYS, ids=[kind.__name__ for kind, _, _ in KEYS])
def test_types_of_keys(make: Make, kind: Any, values: Sequence[Any], tag: str) -> None:
    class Keyed(BaseModel):
        p: kind
        s: kind
        i: kind
        note: str | None = None

    class Keyeds(BaseDynamoRepository[Keyed]):
        table_name = f"keyed-{kind.__name__.lower()}"
        primary_key = "p"
        sort_key = "s"
        by_i = AccessPattern("by_i", partition="i", sort="s")

    keyed = make(Keyeds)
    assert keyed.table.attribute_definitions[0]["AttributeType"] == tag
    for value in values:
        given = keyed.create(Keyed(p=value, s=value, i=value))
        assert keyed.get(value, value) == given
        assert keyed.query(value).eq(value).one() == given
        assert keyed.by_i(value).ge(value).all() == [given]
        assert keyed.patch(value, value, note="x").note == "x"
        assert keyed.patch(value, value, note=Remove()) == given
        assert keyed.exists(value, value)
    assert len(keyed.list_all()) == len(values)
    seen, cursor = [], None
    while True:
        page = keyed.scan().page(1, cursor)
        seen += page.items
        if (cursor := page.cursor) is None:
            break
    assert sorted(entry.p for entry in seen) == sorted(values)
    for value in values:
        assert keyed.delete(value, value)


def test_zero_and_false_are_values(make: Make) -> None:
    class Thing(BaseModel):
        id: int
        count: int | None = None
        flag: bool | None = None
        text: str | None = None

    class Zeroes(BaseDynamoRepository[Thing]):
        table_name = "zeroes"
        primary_key = "id"
        by_count = AccessPattern("by_count", partition="count")

    zeroes = make(Zeroes)
    given = zeroes.create(Thing(id=0, count=0, flag=False, text=""))
    assert zeroes.get(0) == given
    assert zeroes.by_count(0).all() == [given]
    assert zeroes.scan().where((F.flag == False) & (F.text == "") & (F.count == 0)).all() == [given]  # noqa: E712
    assert zeroes.patch(0, flag=False, text="", count=0) == given
    assert zeroes.patch(0, count=None).count is None
    assert zeroes.by_count(0).all() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ratio", float("nan")),
        ("ratio", float("inf")),
        ("wide", 1e300),
        ("decimal", Decimal("1." + "1" * 38)),
        ("large", 10**38 + 1),
        ("huge", 10**126),
        ("anything", {"a": [float("nan")]}),
        ("anything", {"a": object()}),
        ("decimals", {Decimal("1." + "1" * 38)}),
    ],
)
def test_what_dynamodb_cannot_hold_is_refused_before_sending(things: Things, field: str, value: Any) -> None:
    model = Everything.model_construct(id="a", **{field: value})
    things.create(Everything(id="b"))
    with requests() as sent:
        for write in (things.create, things.put, things.update):
            with pytest.raises(ValidationError) as caught:
                write(model)
            assert any(name.startswith(field) for name in caught.value.errors)
        with pytest.raises(ValidationError, match=field):
            things.patch("b", changes={field: value})
    assert sent == []


@pytest.mark.parametrize("extra", ["allow", "ignore", "forbid"])
def test_unknown_attributes_are_as_the_model_says_and_never_make_an_item_unreadable(
    make: Make, server: Server, extra: Literal["allow", "ignore", "forbid"]
) -> None:
    class Thing(BaseModel):
        model_config = ConfigDict(extra=extra)
        id: str

    class Extras(BaseDynamoRepository[Thing]):
        table_name = "extras"
        primary_key = "id"

    class StrictExtras(Extras):
        forbid_unknown_attributes = True

    extras = make(Extras)
    server.client.put_item(
        TableName=extras.table_name, Item={"id": {"S": "a"}, "more": {"L": [{"N": "1"}, {"N": "1.5"}]}}
    )
    got = extras.get_or_raise("a")
    assert got.model_extra == ({"more": [1, Decimal("1.5")]} if extra == "allow" else None)
    if extra == "allow":
        extras.put(got)
        assert raw(server, extras)["more"] == {"L": [{"N": "1"}, {"N": "1.5"}]}
        assert extras.patch("a", note="x").model_extra == {"more": [1, Decimal("1.5")], "note": "x"}
    if extra == "forbid":
        with pytest.raises(ValidationError, match="more"):
            make(StrictExtras).get("a")
