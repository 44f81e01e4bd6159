"""The codec, corner by corner (the numbers are those of the design notes' list of corners)."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar
from zoneinfo import ZoneInfo

import pydantic
import pytest
from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    RootModel,
    SecretStr,
    ValidationInfo,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from dynamodb_wrapper.codec import (
    MAX_ITEM_BYTES,
    Derived,
    EpochSeconds,
    KeyedList,
    ModelCodec,
    PartialItem,
    RefusedValueError,
    TimeRules,
    from_json,
    item_bytes,
    item_json,
    most_bytes,
    to_json,
)
from dynamodb_wrapper.exceptions import (
    DeclarationError,
    ExpressionError,
    ItemTooLargeError,
    ValidationError,
)

NEW_YORK = ZoneInfo("America/New_York")
M = TypeVar("M", bound=BaseModel)


class Anything(BaseModel):
    value: Any = None


class Numbers(BaseModel):
    whole: int = 0
    exact: Decimal = Decimal(0)
    ratio: float = 0.0
    amounts: set[Decimal] = set()


class Instant(BaseModel):
    at: dt.datetime


class Address(BaseModel):
    city: str
    geo: tuple[float, float] | None = None


def there_and_back(model: M, **options: Any) -> M:
    codec = ModelCodec(type(model), **options)
    decoded = codec.decode(codec.encode(model))
    assert codec.decode_json(codec.encode_json(model)) == decoded
    return decoded


def stored(value: object) -> Any:
    return ModelCodec(Anything).encode(Anything(value=value))["value"]


def codec_in(assumed: str = "UTC", shown: str | None = None, *, in_utc: bool = True) -> ModelCodec[Instant]:
    return ModelCodec(Instant, times=TimeRules.of(assumed=assumed, stored_in_utc=in_utc, shown=shown))


# --- 16, 17: numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Decimal("9" * 38), "9" * 38),
        (Decimal("-0." + "123456789" * 4 + "12"), "-0." + "123456789" * 4 + "12"),
        (Decimal("1.50"), "1.5"),
        (Decimal("1E+2"), "100"),
        (10**100, "1" + "0" * 100),
        (Decimal(10) ** 100, "1" + "0" * 100),
        (Decimal("1E-130"), "0." + "0" * 129 + "1"),
        (Decimal("9.9999999999999999999999999999999999999E+125"), "9" * 38 + "0" * 88),
        (Decimal("-0"), "0"),
        (Decimal("0E+5000000"), "0"),
        (Decimal("0.000"), "0"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e-130, "0." + "0" * 129 + "1"),
        (1e22, "1" + "0" * 22),
        (5e125, "5" + "0" * 125),
        (-(10**38) + 1, "-" + "9" * 38),
    ],
)
def test_corner_16_numbers_are_written_out_in_full(number: Any, text: str) -> None:
    assert stored(number) == {"N": text}
    assert stored([number]) == {"L": [{"N": text}]}
    assert stored({number}) == {"NS": [text]}


@pytest.mark.parametrize("exponent", [-130, -129, -100, -38, -1, 0, 1, 37, 100, 124, 125])
@pytest.mark.parametrize("digits", ["1", "9" * 38, "12345678901234567890123456789012345678"])
def test_corner_16_decimals_of_38_digits_are_exact_at_every_exponent(digits: str, exponent: int) -> None:
    number = Decimal((0, tuple(map(int, digits)), exponent - len(digits) + 1))
    model = Numbers(exact=number, amounts={number, number.copy_negate()})
    decoded = there_and_back(model)
    assert decoded == model
    assert {*decoded.amounts, decoded.exact} == {number, number.copy_negate()}


def test_corner_16_minus_zero_is_zero() -> None:
    assert there_and_back(Numbers(exact=Decimal("-0.00"), ratio=-0.0)) == Numbers()


@pytest.mark.parametrize(
    ("fields", "field", "shown", "reason"),
    [
        ({"exact": Decimal("1." + "1" * 38)}, "exact", "1.111", "38 significant digits"),
        ({"whole": 10**38 + 1}, "whole", "1000", "38 significant digits"),
        ({"whole": -(10**126)}, "whole", "-1000", "range"),
        ({"exact": Decimal("1E+126")}, "exact", "1E+126", "range"),
        ({"exact": Decimal("9.9E-131")}, "exact", "9.9E-131", "range"),
        ({"exact": Decimal("1E+999999999999")}, "exact", "1E+999999999999", "range"),
        ({"exact": Decimal("1E-999999999999")}, "exact", "1E-999999999999", "range"),
        ({"amounts": {Decimal(1), Decimal("1E126")}}, "amounts", "1E+126", "range"),
        ({"ratio": 1e300}, "ratio", "1e+300", "range"),
        ({"ratio": 5e-324}, "ratio", "5e-324", "range"),
        ({"ratio": math.nan}, "ratio", "nan", "NaN"),
        ({"ratio": -math.inf}, "ratio", "-inf", "infinity"),
    ],
)
def test_corner_16_17_what_no_number_of_dynamodb_holds_is_refused(
    fields: dict[str, Any], field: str, shown: str, reason: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelCodec(Numbers).encode(Numbers(**fields))
    assert "Numbers" in caught.value.message
    (where,) = caught.value.errors
    assert where.split(".")[0] == field
    assert shown in str(caught.value)
    assert reason in str(caught.value.errors[where])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300, Decimal("NaN"), Decimal("sNaN"), 10**200])
@pytest.mark.parametrize(
    ("place", "path"),
    [
        (lambda bad: {"a": {"b": bad}}, "value.a.b"),
        (lambda bad: [1, [2, bad]], "value.1.1"),
        (lambda bad: {"odd key.x": (bad,)}, "value.odd key.x.0"),
    ],
)
def test_corner_17_under_any_too_and_the_path_is_named(bad: Any, place: Callable[[Any], Any], path: str) -> None:
    with pytest.raises(ValidationError, match=r"Anything: value\.") as caught:
        ModelCodec(Anything).encode(Anything(value=place(bad)))
    assert list(caught.value.errors) == [path]
    assert caught.value.context["field"] == path


@pytest.mark.parametrize("number", [0.1, 1 / 3, 1e-100, 1.7976931348623157e100, 2.0**70, 123456789.123456789])
def test_corner_17_floats_come_back_as_they_were(number: float) -> None:
    class Floats(BaseModel):
        one: float
        several: list[float]
        named: dict[str, float]
        some: set[float]
        maybe: float | None

    model = Floats(one=number, several=[number, -number], named={"x": number}, some={number}, maybe=number)
    decoded = there_and_back(model)
    assert decoded == model
    assert {type(decoded.one), type(decoded.named["x"]), type(decoded.maybe)} == {float}


def test_corner_17_under_any_numbers_are_int_or_decimal() -> None:
    decoded = there_and_back(Anything(value={"a": [1.0, 0.5, 10**30, Decimal("1.10")], "b": True}))
    assert decoded.value == {"a": [1, Decimal("0.5"), 10**30, Decimal("1.1")], "b": True}
    assert [type(number) for number in decoded.value["a"]] == [int, Decimal, int, Decimal]
    assert decoded.value["b"] is True


def test_a_number_of_any_size_is_refused_quickly() -> None:
    with pytest.raises(RefusedValueError):
        ModelCodec(Anything)._encoder.encode(Decimal("1E+999999999"))
    with pytest.raises(RefusedValueError, match="range"):
        ModelCodec(Anything)._encoder.encode(10**5000)


# --- 18: empty values -----------------------------------------------------------------------------------------------


def test_corner_18_empty_text_and_bytes_are_values() -> None:
    class Empties(BaseModel):
        text: str
        raw: bytes
        texts: set[str]
        named: dict[str, str]

    model = Empties(text="", raw=b"", texts={""}, named={"": ""})
    assert there_and_back(model) == model


def test_corner_18_empty_sets_come_back_at_any_depth() -> None:
    class Inner(BaseModel):
        tags: frozenset[int]
        maybe: set[bytes] | None = None

    class Sets(BaseModel):
        required: set[str]
        defaulted: set[str] = set()
        made: frozenset[Decimal] = Field(default_factory=frozenset)
        full_default: set[str] = {"a"}
        maybe: set[str] | None = None
        maybe_required: set[str] | None
        nested: dict[str, list[set[int]]]
        inner: Inner
        sets: set[frozenset[str]]

    model = Sets(
        required=set(),
        full_default=set(),
        maybe=set(),
        maybe_required=set(),
        nested={"a": [set(), {1}, set()]},
        inner=Inner(tags=frozenset(), maybe=set()),
        sets={frozenset(), frozenset({"x"})},
    )
    decoded = there_and_back(model)
    assert decoded == model
    assert type(decoded.made) is frozenset
    item = ModelCodec(Sets).encode(model)
    assert not {"required", "defaulted", "made"} & item.keys(), "so that ADD can make a set there"


# --- 19: bytes ------------------------------------------------------------------------------------------------------


def test_corner_19_bytes_are_bytes_everywhere() -> None:
    class Binary(BaseModel):
        raw: bytes
        several: set[bytes]
        nested: dict[str, list[bytes]]
        untyped: Any

    every_byte = bytes(range(256))
    model = Binary(raw=every_byte, several={b"\x00", b"\xff"}, nested={"a": [b"\x80"]}, untyped=[b"\xfe", {b"x"}])
    decoded = there_and_back(model)
    assert decoded == model
    assert type(decoded.untyped[0]) is bytes
    assert stored(bytearray(b"a")) == stored(memoryview(b"a")) == {"B": b"a"}


# --- 20: None, zero, empty and missing ------------------------------------------------------------------------------


def test_corner_20_none_is_left_out_at_the_top_only() -> None:
    class Nones(BaseModel):
        maybe: int | None = None
        required: int | None
        nested: Address | None = None
        several: list[int | None]
        named: dict[str, Any]

    model = Nones(required=None, several=[1, None], named={"a": None})
    item = ModelCodec(Nones).encode(model)
    assert item == {"several": {"L": [{"N": "1"}, {"NULL": True}]}, "named": {"M": {"a": {"NULL": True}}}}
    assert there_and_back(model) == model


def test_corner_20_none_under_another_default_is_stored_as_null() -> None:
    class Defaults(BaseModel):
        number: int | None = 5
        made: int | None = Field(default_factory=lambda: 7)
        tags: set[str] | None = {"a"}

    codec = ModelCodec(Defaults)
    model = Defaults(number=None, made=None, tags=None)
    assert codec.encode(model) == {name: {"NULL": True} for name in Defaults.model_fields}
    assert there_and_back(model) == model
    assert codec.decode({}) == Defaults()


def test_corner_20_falsy_values_are_stored() -> None:
    class Falsy(BaseModel):
        zero: int | None = None
        text: str | None = None
        no: bool | None = None
        nothing: list[int] | None = None
        ratio: float = 1.0

    model = Falsy(zero=0, text="", no=False, nothing=[], ratio=0.0)
    assert ModelCodec(Falsy).encode(model) == {
        "zero": {"N": "0"},
        "text": {"S": ""},
        "no": {"BOOL": False},
        "nothing": {"L": []},
        "ratio": {"N": "0"},
    }
    assert there_and_back(model) == model


def test_corner_20_a_required_optional_that_is_missing_reads_as_none() -> None:
    class Required(BaseModel):
        maybe: int | None
        literal: Literal["a", None]
        path: int | None = Field(validation_alias=AliasPath("outer", "inner"))
        plain: int

    codec = ModelCodec(Required)
    assert codec.decode({"plain": {"N": "1"}}) == Required(maybe=None, literal=None, outer={"inner": None}, plain=1)
    with pytest.raises(ValidationError) as caught:
        codec.decode({})
    assert list(caught.value.errors) == ["plain"]


def test_is_left_out_and_may_be_absent_say_what_encode_does() -> None:
    class Model(BaseModel):
        maybe: int | None = None
        other: int | None = 1
        tags: set[str] = set()
        words: list[str] = []
        needed: int

    codec = ModelCodec(Model)
    assert [codec.is_left_out(name, None) for name in ("maybe", "other", "needed")] == [True, False, False]
    assert codec.is_left_out("tags", set())
    assert not codec.is_left_out("tags", {"a"})
    assert not codec.is_left_out("words", [])
    assert [codec.may_be_absent(name) for name in Model.model_fields] == [True, True, True, True, False]


# --- 21: datetimes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC), "2024-07-01T12:00:00.000000+00:00"),
        (dt.datetime(2024, 7, 1, 12, 0, 0, 1, tzinfo=NEW_YORK), "2024-07-01T16:00:00.000001+00:00"),
        (dt.datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK), "2024-11-03T05:30:00.000000+00:00"),
        (dt.datetime(2024, 11, 3, 1, 30, fold=1, tzinfo=NEW_YORK), "2024-11-03T06:30:00.000000+00:00"),
        (dt.datetime(7, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))), "0006-12-31T10:00:00.000000+00:00"),
    ],
)
def test_corner_21_one_fixed_width_in_utc(at: dt.datetime, text: str) -> None:
    codec = codec_in()
    assert codec.encode(Instant(at=at)) == {"at": {"S": text}}
    assert codec.target(("at",)).compared(at) == {"S": text}, "a condition compares with the stored form"
    assert codec.target(("at",)).compared(at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")) == {"S": text}


@pytest.mark.parametrize("fold", [0, 1])
def test_corner_21_a_fold_survives(fold: int) -> None:
    at = dt.datetime(2024, 11, 3, 1, 30, fold=fold, tzinfo=NEW_YORK)
    codec = codec_in(shown="America/New_York")
    shown = codec.decode(codec.encode(Instant(at=at))).at
    assert (shown.replace(tzinfo=None), shown.fold, shown.tzinfo) == (at.replace(tzinfo=None), fold, NEW_YORK)


@pytest.mark.parametrize("fold", [0, 1])
def test_corner_21_the_naive_rule_is_applied_once(fold: int) -> None:
    naive = dt.datetime(2024, 11, 3, 1, 30, fold=fold)  # noqa: DTZ001
    codec = codec_in("America/New_York", "Asia/Tokyo")
    item = codec.encode(Instant(at=naive))
    assert item == {"at": {"S": f"2024-11-03T0{5 + fold}:30:00.000000+00:00"}}
    assert codec.target(("at",)).compared(naive) == item["at"]
    assert codec.target(("at",)).compared(naive.isoformat()) == (
        item["at"] if not fold else {"S": item["at"]["S"].replace("06", "05", 1)}
    )
    decoded = codec.decode(item)
    assert codec.encode(decoded) == item
    assert str(decoded.at.tzinfo) == "Asia/Tokyo"


def test_corner_21_in_zones_changes_how_times_are_read_and_shown_only() -> None:
    codec = codec_in()
    naive = Instant(at=dt.datetime(2024, 7, 1, 12))  # noqa: DTZ001
    assert codec.in_zones(assumed="Asia/Tokyo").encode(naive) == {"at": {"S": "2024-07-01T03:00:00.000000+00:00"}}
    assert codec.encode(naive) == {"at": {"S": "2024-07-01T12:00:00.000000+00:00"}}
    both = codec.in_zones(assumed="Asia/Tokyo", shown="Europe/London")
    assert both.decode(both.encode(naive)).at == dt.datetime(2024, 7, 1, 4, tzinfo=ZoneInfo("Europe/London"))
    with pytest.raises(ValidationError, match="Nowhere"):
        codec.in_zones(shown="Mars/Nowhere")


def test_corner_21_what_others_have_written_is_read_too() -> None:
    codec = codec_in("America/New_York", "Europe/London")
    for text in ("2024-07-01T12:00:00Z", "2024-07-01T08:00:00", "2024-07-01T14:00:00.0+02:00"):
        shown = codec.decode({"at": {"S": text}}).at
        assert (shown, str(shown.tzinfo)) == (dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC), "Europe/London")


def test_corner_21_stored_in_local_time_when_the_configuration_says_so() -> None:
    codec = codec_in("Europe/London", in_utc=False)
    item = codec.encode(Instant(at=dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)))
    assert item == {"at": {"S": "2024-07-01T13:00:00.000000+01:00"}}
    assert codec.decode(item).at == dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)
    assert codec.in_zones(shown="Asia/Tokyo").encode(codec.decode(item)) == item


def test_corner_21_an_instant_outside_the_calendar_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"at = .* years 1 to 9999"):
        codec_in().encode(Instant(at=dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=1)))))


def test_corner_21_a_zone_without_an_offset_is_naive() -> None:
    class Undecided(dt.tzinfo):
        def utcoffset(self, _: dt.datetime | None) -> None:
            return None

        dst = tzname = utcoffset  # type: ignore[assignment]

    model = Instant.model_construct(at=dt.datetime(2024, 7, 1, 12, tzinfo=Undecided()))
    assert codec_in("Asia/Tokyo").encode(model) == {"at": {"S": "2024-07-01T03:00:00.000000+00:00"}}


@pytest.mark.parametrize("kind", ["tuple", "dataclass", "typed dict", "map key", "list", "set", "union"])
def test_corner_21_datetimes_are_shown_in_the_zone_wherever_they_are(kind: str) -> None:
    import dataclasses  # the classes are local on purpose: Pydantic resolves them, plain reflection may not

    from typing_extensions import TypedDict

    @dataclasses.dataclass
    class Stamp:
        at: dt.datetime

    class Stamps(TypedDict):
        at: dt.datetime

    at = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)
    annotation, value, pick = {
        "tuple": (tuple[str, dt.datetime], ("x", at), lambda value: value[1]),
        "dataclass": (Stamp, Stamp(at), lambda value: value.at),
        "typed dict": (Stamps, {"at": at}, lambda value: value["at"]),
        "map key": (dict[dt.datetime, int], {at: 1}, lambda value: next(iter(value))),
        "list": (list[dt.datetime | None], [None, at], lambda value: value[1]),
        "set": (frozenset[dt.datetime], {at}, lambda value: next(iter(value))),
        "union": (dt.datetime | int | str, at, lambda value: value),
    }[kind]
    model_class = pydantic.create_model("Holder", value=(annotation, ...))
    codec = ModelCodec(model_class, times=TimeRules.of(assumed="UTC", stored_in_utc=True, shown="America/New_York"))
    decoded: Any = codec.decode(codec.encode(model_class(value=value)))
    assert (pick(decoded.value), pick(decoded.value).tzinfo) == (at, NEW_YORK)


# --- 22: what Pydantic has ------------------------------------------------------------------------------------------


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Mixed(Enum):
    TENTH = 0.1
    PAIR = (1, "two")
    NOTHING = None


def test_corner_22_enums_are_stored_by_value() -> None:
    class Enums(BaseModel):
        colour: Colour
        size: Size
        mixed: list[Mixed]
        sizes: set[Size]
        by_size: dict[Size, Colour]
        by_mixed: dict[Literal[1, 2], Mixed]
        literal: Literal[Mixed.TENTH]

    model = Enums(
        colour=Colour.RED,
        size=Size.BIG,
        mixed=list(Mixed),
        sizes={Size.BIG},
        by_size={Size.BIG: Colour.RED},
        by_mixed={1: Mixed.PAIR},
        literal=Mixed.TENTH,
    )
    item = ModelCodec(Enums).encode(model)
    assert item["colour"] == {"S": "red"}
    assert item["sizes"] == {"NS": ["3"]}
    assert item["by_size"] == {"M": {"3": {"S": "red"}}}
    assert there_and_back(model) == model


def test_corner_22_aliases_of_every_kind() -> None:
    class Aliased(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        plain: int = Field(alias="Plain")
        apart: int = Field(validation_alias="In", serialization_alias="Out")
        choices: int = Field(validation_alias=AliasChoices("first", "second"))
        deep: int = Field(validation_alias=AliasPath("outer", "list", 1))
        deeper: str = Field(validation_alias=AliasPath("outer", "name"), serialization_alias="name.of-it")
        last: int = Field(validation_alias=AliasPath("tail", -1))

    model = Aliased(Plain=1, In=2, second=3, outer={"list": [0, 4], "name": "x"}, tail=[5])  # type: ignore[call-arg]
    item = ModelCodec(Aliased).encode(model)
    assert set(item) == {"Plain", "Out", "choices", "deep", "name.of-it", "last"}
    assert there_and_back(model) == model


def test_corner_22_swapped_aliases() -> None:
    class Swapped(BaseModel):
        a: int = Field(serialization_alias="b", validation_alias="b")
        b: int = Field(serialization_alias="a", validation_alias="a")

    model = Swapped(a=1, b=2)
    assert (model.a, model.b) == (2, 1)
    assert there_and_back(model) == model
    codec = ModelCodec(Swapped)
    assert codec.target(("a",)).names == ("b",), "paths speak Python names first"


def test_corner_22_alias_generators() -> None:
    class Generated(BaseModel):
        model_config = ConfigDict(
            alias_generator=AliasGenerator(validation_alias=str.upper, serialization_alias=lambda name: f"{name}-x")
        )
        some: int

        @computed_field  # type: ignore[prop-decorator]
        @property
        def doubled(self) -> int:
            return 2 * self.some

    model = Generated(SOME=1)  # type: ignore[call-arg]
    assert set(ModelCodec(Generated).encode(model)) == {"some-x", "doubled-x"}
    assert there_and_back(model) == model


@pytest.mark.skipif("validate_by_name" not in ConfigDict.__annotations__, reason="an option of Pydantic 2.11")
def test_corner_22_models_that_validate_by_name_only() -> None:
    class ByName(BaseModel):
        model_config = ConfigDict(validate_by_name=True, validate_by_alias=False)
        some: int = Field(alias="Some")

    model = ByName(some=1)
    assert ModelCodec(ByName).encode(model) == {"Some": {"N": "1"}}
    assert there_and_back(model) == model


def test_two_fields_written_under_one_name_are_refused() -> None:
    class Twins(BaseModel):
        a: int = Field(serialization_alias="x")
        b: int = Field(serialization_alias="x")

    with pytest.raises(DeclarationError, match="'a' and 'b' are both written as 'x'"):
        ModelCodec(Twins)


def test_corner_22_computed_fields_are_written_and_ignored_on_read() -> None:
    class Inner(BaseModel):
        model_config = ConfigDict(extra="forbid")
        side: int

        @computed_field  # type: ignore[prop-decorator]
        @property
        def area(self) -> int:
            return self.side**2

    class Outer(Inner):
        inner: Inner
        either: Inner | Address

        @computed_field(alias="Nothing")  # type: ignore[prop-decorator]
        @property
        def nothing(self) -> None:
            return None

    model = Outer(side=2, inner=Inner(side=3), either=Inner(side=4))
    item = ModelCodec(Outer).encode(model)
    assert item["area"] == {"N": "4"}
    assert "Nothing" not in item
    assert there_and_back(model, keep_unknown=True) == model


@pytest.mark.parametrize("extra", ["allow", "ignore", "forbid"])
def test_corner_22_unknown_attributes_are_the_models_choice(extra: Any) -> None:
    class Nested(BaseModel):
        model_config = ConfigDict(extra=extra)
        x: int

    class Model(Nested):
        nested: Nested

    item = {"x": {"N": "1"}, "more": {"S": "m"}, "nested": {"M": {"x": {"N": "2"}, "older": {"NS": ["1"]}}}}
    decoded = ModelCodec(Model).decode(item)
    kept = {"more": "m"} if extra == "allow" else {}
    assert (decoded.model_extra or {}) == kept
    assert (decoded.nested.model_extra or {}) == ({"older": {1}} if extra == "allow" else {})
    if extra == "forbid":
        with pytest.raises(ValidationError) as caught:
            ModelCodec(Model, keep_unknown=True).decode(item)
        assert set(caught.value.errors) == {"more", "nested.older"}


def test_corner_22_a_union_of_strict_models_loses_nothing() -> None:
    class Base(BaseModel):
        model_config = ConfigDict(extra="forbid")
        x: int

    class More(Base):
        y: dt.datetime | None = None

    class Either(BaseModel):
        one: Base | More
        several: list[More | Base]

    at = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    model = Either(one=More(x=1, y=at), several=[Base(x=1), More(x=2), More(x=3, y=at)])
    decoded = there_and_back(model)
    assert decoded == model
    assert [type(entry) for entry in decoded.several] == [Base, More, More]


def test_corner_22_a_union_reads_items_older_than_the_model() -> None:
    class Old(BaseModel):
        model_config = ConfigDict(extra="forbid")
        x: int
        added: str = "later"

    class Other(BaseModel):
        z: int

    class Holder(BaseModel):
        one: Old | Other

    assert ModelCodec(Holder).decode({"one": {"M": {"x": {"N": "1"}}}}).one == Old(x=1)
    assert ModelCodec(Holder).decode({"one": {"M": {"x": {"N": "1"}, "gone": {"S": ""}}}}).one == Old(x=1)


def test_corner_22_text_that_could_be_more_is_what_it_was_stored_from() -> None:
    class Either(BaseModel):
        value: dt.datetime | dt.date | uuid.UUID | Colour | str

    for value in (
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        dt.date(2024, 1, 1),
        uuid.UUID(int=5),
        Colour.RED,
        "2024-01-01T00:00:00Z",
        "not a date",
        "",
    ):
        decoded = there_and_back(Either(value=value)).value
        assert (decoded, type(decoded)) == (value, type(value))


def test_corner_22_text_wins_over_types_that_take_any_text() -> None:
    class Either(BaseModel):
        place: Path | str
        link: pydantic.HttpUrl | str

    decoded = there_and_back(Either(place="a/b", link="https://a.example/"))
    assert (decoded.place, decoded.link) == ("a/b", "https://a.example/")


U = TypeVar("U")


class Page(BaseModel, Generic[U]):
    first: U
    rest: list[U] = []


class Forest(RootModel[list["Forest"] | int]):
    pass


class Later(BaseModel):
    model_config = ConfigDict(defer_build=True)
    inner: Earlier


class Earlier(BaseModel):
    day: dt.date
    tags: set[str]


def test_corner_22_generics_recursion_and_models_built_late() -> None:
    class Holder(BaseModel):
        page: Page[Page[dt.date]]
        forest: Forest
        later: Later

    model = Holder(
        page=Page[Page[dt.date]](first=Page[dt.date](first=dt.date(2024, 1, 1))),
        forest=Forest([Forest(1), Forest([Forest([])])]),
        later=Later(inner=Earlier(day=dt.date(2024, 1, 1), tags=set())),
    )
    assert there_and_back(model) == model
    assert there_and_back(model.later) == model.later


def test_corner_22_serializers_decide_the_stored_form() -> None:
    class Custom(BaseModel):
        tags: list[str]
        at: dt.datetime
        money: Annotated[Decimal, PlainSerializer(lambda value: {"cents": int(value * 100)})]

        @field_serializer("tags")
        def _join(self, value: list[str]) -> str:
            return ",".join(value)

        @field_serializer("at")
        def _day(self, value: dt.datetime) -> str:
            return value.strftime("%Y%m%d")

        @field_validator("tags", "at", "money", mode="before")
        @classmethod
        def _parse(cls, value: Any, info: ValidationInfo) -> Any:
            if info.field_name == "money" and isinstance(value, dict):
                return Decimal(value["cents"]) / 100
            if isinstance(value, str):
                if info.field_name == "tags":
                    return value.split(",")
                return dt.datetime.strptime(value, "%Y%m%d").replace(tzinfo=dt.UTC)
            return value

    model = Custom(tags=["a", "b"], at=dt.datetime(2024, 1, 2, tzinfo=dt.UTC), money=Decimal("1.25"))
    codec = ModelCodec(Custom)
    assert codec.encode(model) == {
        "tags": {"S": "a,b"},
        "at": {"S": "20240102"},
        "money": {"M": {"cents": {"N": "125"}}},
    }
    assert there_and_back(model) == model
    assert codec.target(("tags",)).written(["x", "y"]) == {"S": "x,y"}, "one field is written as the whole model is"
    assert codec.target(("at",)).compared(model.at) == {"S": "20240102"}


def test_corner_22_serializers_of_members_and_of_map_keys() -> None:
    Upper = Annotated[str, PlainSerializer(lambda text: text.upper())]  # noqa: N806 - it is a type

    class Note(BaseModel):
        tags: set[Upper]
        words: frozenset[Upper]
        counts: dict[Upper, int]

    codec = ModelCodec(Note)
    note = Note(tags={"a"}, words=frozenset("b"), counts={"c": 1})
    expected = {"tags": {"SS": ["A"]}, "words": {"SS": ["B"]}, "counts": {"M": {"C": {"N": "1"}}}}
    assert codec.encode(note) == from_json(codec.encode_json(note)) == expected
    assert codec.target(("tags",)).written({"a"}) == expected["tags"]


def test_corner_22_what_a_serializer_makes_none_is_left_out() -> None:
    class Note(BaseModel):
        text: Annotated[str | None, PlainSerializer(lambda text: text or None)] = None
        tags: Annotated[set[str], PlainSerializer(lambda tags: tags - {"draft"})] = set()

    codec = ModelCodec(Note)
    for note, expected in (
        (Note(text="", tags={"draft"}), {}),
        (Note(text="a", tags={"b"}), {"text": {"S": "a"}, "tags": {"SS": ["b"]}}),
    ):
        assert codec.encode(note) == from_json(codec.encode_json(note)) == expected


def test_corner_22_whole_models_with_a_serializer() -> None:
    class Enveloped(BaseModel):
        key: str
        number: float = 0.5

        @model_serializer(mode="wrap")
        def _wrap(self, handler: Any) -> dict[str, Any]:
            return {**handler(self), "kind": "enveloped"}

    assert ModelCodec(Enveloped).encode(Enveloped(key="a"))["kind"] == {"S": "enveloped"}
    assert there_and_back(Enveloped(key="a")) == Enveloped(key="a")

    class Text(BaseModel):
        key: str

        @model_serializer
        def _text(self) -> str:
            return self.key

    with pytest.raises(ValidationError, match="an item is a dict"):
        ModelCodec(Text).encode(Text(key="a"))


def test_corner_22_json_fields() -> None:
    class Documents(BaseModel):
        any_json: Json
        exact: Json[list[Decimal]]

    model = Documents(
        any_json='{"a": [0.5, 1, null, "x", true]}',  # type: ignore[arg-type]
        exact='["0.1234567890123456789012345678901234567", 2]',  # type: ignore[arg-type]
    )
    assert there_and_back(model) == model


def test_corner_22_secrets_are_stored_and_stay_secret() -> None:
    class Login(BaseModel):
        password: SecretStr
        pins: list[pydantic.Secret[int]]

    model = Login(password=SecretStr("hush"), pins=[pydantic.Secret[int](12)])
    assert ModelCodec(Login).encode(model)["password"] == {"S": "hush"}
    assert there_and_back(model) == model
    assert "hush" not in repr(there_and_back(model))


def test_corner_22_validators_of_the_whole_model_run() -> None:
    class Window(BaseModel):
        start: dt.date
        end: dt.date

        @model_validator(mode="before")
        @classmethod
        def _swap(cls, data: Any) -> Any:
            if isinstance(data, dict) and data["start"] > data["end"]:
                return {"start": data["end"], "end": data["start"]}
            assert (data["end"] - data["start"]).days >= 0, "shown as dates, as model_dump() gives them"
            return data

        @model_validator(mode="after")
        def _check(self) -> Window:
            if self.start.year < 2000:
                raise ValueError("too old")
            return self

    assert there_and_back(Window(start=dt.date(2024, 1, 1), end=dt.date(2024, 1, 2))).end == dt.date(2024, 1, 2)
    with pytest.raises(ValidationError, match="too old") as caught:
        ModelCodec(Window).decode({"start": {"S": "1999-01-01"}, "end": {"S": "2024-01-02"}})
    assert list(caught.value.errors) == ["model"]


def test_subclasses_are_taken_and_other_models_are_not() -> None:
    class Special(Address):
        more: int = 1

    codec = ModelCodec(Address)
    assert codec.decode(codec.encode(Special(city="x"))) == Address(city="x")
    with pytest.raises(ValidationError, match="expected a Address, got Anything"):
        codec.encode(Anything())  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="expected a Address, got dict"):
        codec.encode({"city": "x"})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [object(), lambda: None, int, [object()]])
def test_what_has_no_stored_form_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"value(\.0)? = .* has no DynamoDB form"):
        ModelCodec(Anything).encode(Anything(value=value))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({1: "a", "1": "b"}, "two keys that are the same text"),
        ({(1, 2): "a"}, "map keys must be text or numbers"),
        ({None: 1}, "map keys must be text or numbers"),
        ({b"x": 1}, "map keys must be text or numbers"),
    ],
)
def test_maps_that_would_lose_entries_are_refused(value: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ModelCodec(Anything).encode(Anything(value=value))


def test_sets_are_stored_natively_where_dynamodb_can_and_in_one_order() -> None:
    assert stored({"b", "a"}) == {"SS": ["a", "b"]}
    assert stored({2, 1.5}) == {"NS": ["1.5", "2"]}
    assert stored({b"b", b"a"}) == {"BS": [b"a", b"b"]}
    assert stored({Colour.RED, "blue"}) == {"SS": ["blue", "red"]}
    assert stored({True}) == {"L": [{"BOOL": True}]}
    assert stored({1, "a"}) == stored({"a", 1}) == {"L": [{"N": "1"}, {"S": "a"}]}
    assert stored({("b", 1), ("a", 2)}) == {"L": [{"L": [{"S": "a"}, {"N": "2"}]}, {"L": [{"S": "b"}, {"N": "1"}]}]}
    assert stored(set()) == {"L": []}
    with pytest.raises(ValidationError, match="one and the same value"):
        ModelCodec(Anything).encode(Anything(value={uuid.UUID(int=1), str(uuid.UUID(int=1))}))


# --- 23: items that do not validate ---------------------------------------------------------------------------------


def test_corner_23_an_item_that_does_not_validate_names_the_field() -> None:
    class Order(BaseModel):
        total: int
        lines: list[Address]

    codec = ModelCodec(Order)
    with pytest.raises(ValidationError, match="no valid Order") as caught:
        codec.decode({"total": {"S": "many"}, "lines": {"L": [{"M": {}}]}})
    assert set(caught.value.errors) == {"total", "lines.0.city"}
    assert isinstance(caught.value.original_error, pydantic.ValidationError)
    assert codec.decode_partial({"lines": {"L": []}})["lines"] == []


@pytest.mark.parametrize(
    "item",
    [
        {"whole": {"M": {}}},
        {"exact": {"SS": ["a"]}},
        {"ratio": {"BOOL": True}, "exact": {"B": b"x"}},
        {"amounts": {"S": "x"}},
        {"amounts": {"L": [{"M": {}}]}},
        {"whole": {"NULL": True}},
    ],
)
def test_corner_23_any_wrong_type_is_a_validation_error(item: Any) -> None:
    with pytest.raises(ValidationError):
        ModelCodec(Numbers).decode(item)


@pytest.mark.parametrize("wire", [{}, {"X": 1}, {"n": "1"}])
def test_corner_23_what_is_no_attribute_value_says_so(wire: Any) -> None:
    with pytest.raises(ValidationError, match="not a DynamoDB attribute value"):
        ModelCodec(Numbers).decode({"whole": wire})


# --- 24: partial reads ----------------------------------------------------------------------------------------------


class Account(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    total: Decimal = Field(ge=0)
    at: dt.datetime = Field(alias="At")
    tags: set[str] = set()
    home: Address | None = None


def test_corner_24_a_partial_read_is_no_model_and_has_no_defaults() -> None:
    codec = ModelCodec(Account, derived=[Derived("index", ("id",), lambda name: name)])
    partial = codec.decode_partial(
        {
            "total": {"N": "5"},
            "At": {"S": "2024-07-01T12:00:00.000000+00:00"},
            "other": {"NS": ["1"]},
            "index": {"S": "x"},
        }
    )
    assert not isinstance(partial, BaseModel)
    assert dict(partial) == {"total": Decimal(5), "at": dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC), "other": {1}}
    assert (partial.total, type(partial["total"])) == (Decimal(5), Decimal)
    with pytest.raises(AttributeError, match="'tags' was not read, or the item has none; it has"):
        _ = partial.tags
    with pytest.raises(KeyError):
        _ = partial["tags"]
    assert partial.get("tags") is None
    assert partial == {**partial}
    assert repr(partial).startswith("PartialItem({")


def test_corner_24_whole_fields_are_validated_and_pieces_are_not() -> None:
    codec = ModelCodec(Account)
    with pytest.raises(ValidationError, match="total is not valid") as caught:
        codec.decode_partial({"total": {"N": "-1"}})
    assert list(caught.value.errors) == ["total"]
    piece = codec.decode_partial({"home": {"M": {"geo": {"NULL": True}}}, "total": {"N": "-1"}}, names=["at"])
    assert dict(piece) == {"home": {"geo": None}, "total": -1}


def test_partial_items_can_be_copied() -> None:
    import copy
    import pickle

    partial = PartialItem({"a": [1]})
    assert copy.deepcopy(partial) == pickle.loads(pickle.dumps(partial)) == partial


# --- sizes ----------------------------------------------------------------------------------------------------------


def sized(total: int) -> dict[str, Any]:
    fixed = {"id": {"S": "é"}, "n": {"N": "-12.50"}, "l": {"L": [{"BOOL": True}, {"M": {"k": {"B": b"12"}}}]}}
    # 2+2, 1+(2 digits each byte: 3 digits are 2, +1, +1 for the sign), 1+3+(1+1)+(1+3+(1+1+2)), "big" and its text
    rest = total - (2 + 2) - (1 + 4) - (1 + 3 + 2 + 1 + 3 + 1 + 1 + 2) - len("big")
    return {**fixed, "big": {"S": "x" * rest}}


@pytest.mark.parametrize("total", [100, MAX_ITEM_BYTES - 1, MAX_ITEM_BYTES])
def test_items_up_to_400_kb_are_taken(total: int) -> None:
    assert item_bytes(sized(total)) == total
    assert len(item_json(sized(total), table_name="t", key=str)) >= total


def test_an_item_over_400_kb_names_its_largest_attribute() -> None:
    with pytest.raises(ItemTooLargeError, match=r"409,601 bytes .* holds 409,600; .*'big'") as caught:
        item_json(sized(MAX_ITEM_BYTES + 1), table_name="orders", key=lambda: {"id": "é"})
    assert caught.value.context == {"table_name": "orders", "key": {"id": "é"}}
    assert list(caught.value.errors) == ["big"]


def test_binary_counts_its_bytes_whether_as_bytes_or_as_base64() -> None:
    item = ModelCodec(Anything).encode(Anything(value=[b"12345", {b"1", b"22"}]))
    as_json = from_json(ModelCodec(Anything).encode_json(Anything(value=[b"12345", {b"1", b"22"}])))
    assert item_bytes(item) == item_bytes(as_json) == 5 + 3 + (1 + 5) + (1 + 3)


def nested(wraps: int) -> Any:
    value: Any = "leaf"
    for level in range(wraps):
        value = [value] if level % 2 else {"a": value}
    return value


def test_values_may_be_nested_32_levels_deep() -> None:
    # As AWS counts (recorded from it): 31 lists and maps around a leaf are taken, 32 are not.
    def checked(item: Any) -> bytes:
        return item_json(item, table_name="t", key=str)

    wide = {"wide": stored([nested(30)] * 40)}
    for check in (item_bytes, checked):
        check({"deep": stored(nested(31)), **wide})
        for item in ({"deep": stored(nested(32))}, {"deep": stored(nested(32)), **wide}):
            with pytest.raises(ValidationError, match=r"deep = .* more than 32 levels") as caught:
                check(item)
            assert list(caught.value.errors) == ["deep"]


def test_an_item_whose_json_is_long_may_still_be_small() -> None:
    item = stored({"flags": [True] * 100_000})["M"]
    assert len(to_json(item)) > MAX_ITEM_BYTES > item_bytes(item)
    assert item_json(item, table_name="t", key=str) == to_json(item)
    with pytest.raises(ItemTooLargeError):
        item_json(stored({"flags": [True] * 250_000})["M"], table_name="t", key=str)


def test_json_may_be_sent_with_escapes() -> None:
    for text in ('{"e":{"S":"e"}}', '{"e":{"S":"é"}}', '{"e":{"S":"😀"}}'):
        escaped = json.dumps(json.loads(text), separators=(",", ":"))
        assert len(text.encode()) <= len(escaped) <= most_bytes(text.encode())
    assert most_bytes(b'{"e":{"S":"e"}}') == len('{"e":{"S":"e"}}')


def test_half_a_surrogate_pair_is_refused_by_name() -> None:
    codec = ModelCodec(Anything)
    with pytest.raises(ValidationError, match=r"value.0 = .* no valid Unicode"):
        codec.encode(Anything(value=["\ud800"]))
    with pytest.raises(ValidationError, match=r"value = .* no valid Unicode"):
        item_bytes({"value": {"S": "\ud800"}})
    with pytest.raises(ValidationError, match="no valid Unicode"):
        codec.encode_json(Anything(value={"\udfff": 1}))


def test_from_json_refuses_what_is_no_json() -> None:
    with pytest.raises(ValidationError, match="not JSON"):
        from_json(b"{")


# --- forms of their own ---------------------------------------------------------------------------------------------


class Expiring(BaseModel):
    id: str
    expires_at: dt.datetime | None = Field(None, alias="ttl")


def expiring(**options: Any) -> ModelCodec[Expiring]:
    return ModelCodec(Expiring, stored={"expires_at": EpochSeconds()}, **options)


@pytest.mark.parametrize(
    ("at", "epoch"),
    [
        (dt.datetime(2024, 7, 1, 12, tzinfo=NEW_YORK), 1719849600),
        (dt.datetime(2024, 7, 1, 16, 0, 0, 1, tzinfo=dt.UTC), 1719849601),
        (dt.datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=dt.UTC), -1),
        (dt.datetime(9999, 12, 31, 23, 59, 58, 999_999, tzinfo=dt.UTC), 253402300799),
    ],
)
def test_ttl_is_whole_seconds_never_too_early(at: dt.datetime, epoch: int) -> None:
    codec = expiring()
    item = codec.encode(Expiring(id="a", ttl=at))
    assert item["ttl"] == {"N": str(epoch)}
    decoded = codec.decode(item).expires_at
    assert decoded is not None
    assert dt.timedelta(0) <= decoded - at < dt.timedelta(seconds=1)
    target = codec.target(("expires_at",))
    assert target.names == ("ttl",)
    assert target.written(at) == target.compared(at) == {"N": str(epoch)}


def test_ttl_in_zones_and_missing() -> None:
    codec = expiring(times=TimeRules.of(assumed="Asia/Tokyo", stored_in_utc=True, shown="America/New_York"))
    item = codec.encode(Expiring(id="a", ttl=dt.datetime(2024, 7, 1, 12)))  # noqa: DTZ001
    assert item["ttl"] == {"N": "1719802800"}
    shown = codec.decode(item).expires_at
    assert shown is not None
    assert shown.tzinfo == NEW_YORK
    assert codec.encode(Expiring(id="a")) == {"id": {"S": "a"}}
    assert codec.decode({"id": {"S": "a"}}).expires_at is None


@pytest.mark.parametrize("wire", [{"N": "1719849600000"}, {"S": "2024-07-01T16:00:00Z"}, {"N": "1719849600.0"}])
def test_ttl_written_by_others_is_read(wire: Any) -> None:
    assert expiring().decode({"id": {"S": "a"}, "ttl": wire}).expires_at == dt.datetime(2024, 7, 1, 16, tzinfo=dt.UTC)


class Kind(Enum):
    LOAD = "load"
    SAVE = "save"


class Stage(BaseModel):
    kind: Kind
    at: dt.datetime
    seconds: float = 0.5


class Run(BaseModel):
    id: str
    stages: list[Stage] = []


AT = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)


def test_a_keyed_list_is_a_map_that_keeps_the_order() -> None:
    codec = ModelCodec(Run, stored={"stages": KeyedList("kind")})
    model = Run(id="r", stages=[Stage(kind=Kind.SAVE, at=AT), Stage(kind=Kind.LOAD, at=AT)])
    item = codec.encode(model)
    assert list(item["stages"]["M"]) == ["save", "load"], "by the stored key, as paths name it"
    assert item["stages"]["M"]["load"]["M"]["position"] == {"N": "1"}
    reordered = {**item, "stages": {"M": dict(reversed(item["stages"]["M"].items()))}}
    assert codec.decode(reordered) == model
    assert codec.decode({"id": {"S": "r"}, "stages": {"L": []}}) == Run(id="r"), "lists of older items are read"
    assert codec.encode(Run(id="r"))["stages"] == {"M": {}}
    target = codec.target(("stages", "load", "seconds"))
    assert target.names == ("stages", "load", "seconds")
    assert target.written(1) == {"N": "1"}


def test_a_keyed_list_refuses_what_it_would_lose() -> None:
    codec = ModelCodec(Run, stored={"stages": KeyedList("kind")})
    with pytest.raises(ValidationError, match=r"stages = .* two elements with the same 'kind'"):
        codec.encode(Run(id="r", stages=[Stage(kind=Kind.LOAD, at=AT), Stage(kind=Kind.LOAD, at=AT)]))

    class Placed(BaseModel):
        name: str = Field(alias="Name")
        position: int

    class Holder(BaseModel):
        entries: list[Placed]

    with pytest.raises(DeclarationError, match="'position' of their own"):
        ModelCodec(Holder, stored={"entries": KeyedList("Name")})
    with pytest.raises(DeclarationError, match="no attribute 'name'"):
        ModelCodec(Holder, stored={"entries": KeyedList("name", position="_order")})
    model = Holder(entries=[Placed(Name="b", position=7), Placed(Name="a", position=7)])
    assert there_and_back(model, stored={"entries": KeyedList("Name", position="_order")}) == model


def test_derived_attributes_are_written_and_never_read() -> None:
    class Job(BaseModel):
        model_config = ConfigDict(extra="forbid")
        state: str
        at: dt.datetime

    codec = ModelCodec(
        Job,
        derived=[
            Derived("open_since", ("state", "at"), lambda state, at: at if state == "open" else None),
            Derived("rank", ("state",), lambda _: 5, tag="N"),
        ],
        keep_unknown=True,
    )
    item = codec.encode(Job(state="open", at=AT))
    assert item["open_since"] == {"S": "2024-07-01T12:00:00.000000+00:00"}
    assert codec.decode(item) == Job(state="open", at=AT)
    assert "open_since" not in codec.encode(Job(state="done", at=AT)), "a sparse index holds the others only"
    assert codec.target(("open_since",)).compared(AT) == item["open_since"]
    broken = ModelCodec(Job, derived=[Derived("x", ("state",), lambda _: math.nan)])
    with pytest.raises(ValidationError, match="x = nan"):
        broken.encode(Job(state="open", at=AT))


# --- single places --------------------------------------------------------------------------------------------------


class Price(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, str_to_lower=True)
    currency: str = Field(alias="Currency", min_length=3)
    amount: Decimal = Field(gt=0)
    history: list[Decimal] = []
    by_region: dict[int, Decimal] = {}
    labels: dict[str, set[str]] = {}

    @field_validator("currency")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "xxx":
            raise ValueError("unknown currency")
        return value

    @field_serializer("amount")
    def _in_cents(self, value: Decimal) -> int:
        return int(value * 100)


class Offer(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    id: str
    price: Price
    prices: dict[str, Price] = {}
    start: dt.date = dt.date(2024, 1, 1)
    end: dt.date = dt.date(2024, 12, 31)
    internal: int = Field(0, exclude=True)

    @field_validator("end")
    @classmethod
    def _after_start(cls, value: dt.date, info: ValidationInfo) -> dt.date:
        if info.data.get("start", dt.date.min) > value:
            raise ValueError("ends before it starts")
        return value


@pytest.fixture(scope="module")
def offers() -> ModelCodec[Offer]:
    return ModelCodec(Offer)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (("id",), ("id",)),
        (("price", "currency"), ("price", "Currency")),
        (("price", "Currency"), ("price", "Currency")),
        (("price.currency",), ("price", "Currency")),
        (("price.history[2]",), ("price", "history", 2)),
        (("price", "history", 0), ("price", "history", 0)),
        (("prices", "eu", "currency"), ("prices", "eu", "Currency")),
        (("price", "by_region", 5), ("price", "by_region", "5")),
    ],
)
def test_paths_become_stored_names(offers: ModelCodec[Offer], path: Any, names: Any) -> None:
    assert offers.target(path).names == names


@pytest.mark.parametrize(
    "path",
    [
        ("nothing",),
        ("price", "nothing"),
        ("id", "x"),
        ("id", 0),
        ("price", "history", "first"),
        ("price", "labels", "x", 0),
        ("price..currency",),
        ("price.history[x]",),
        ("price.history[0",),
        ("price.history]0[",),
        ("",),
    ],
)
def test_places_that_are_not_there_are_refused(offers: ModelCodec[Offer], path: Any) -> None:
    with pytest.raises(ExpressionError):
        offers.target(path)


def test_single_fields_are_validated_and_written_as_in_the_whole_model(offers: ModelCodec[Offer]) -> None:
    assert offers.target(("id",)).written("  x ") == {"S": "x"}, "the model's configuration holds"
    assert offers.target(("price", "currency")).written(" EUR ") == {"S": "eur"}, "the nested model's too"
    assert offers.target(("price", "amount")).written("1.25") == {"N": "125"}, "and its serializers"
    assert offers.target(("price", "amount")).compared(Decimal("0.05")) == {"N": "5"}
    assert offers.target(("end",)).written("2024-02-01") == {"S": "2024-02-01"}, "validators see no other field"
    whole = Offer(id="x", price=Price(Currency="eur", amount=Decimal("1.25")))
    assert offers.encode(whole)["price"]["M"]["amount"] == {"N": "125"}


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("price", "currency"), "xxx", "price.currency"),
        (("price", "currency"), "a", "price.currency"),
        (("price", "amount"), -1, "price.amount"),
        (("end",), "soon", "end"),
        (("price",), {"Currency": "eur"}, "price.amount"),
        (("price", "history", 0), "x", "price.history[0]"),
        (("price", "by_region", 5), "x", "price.by_region[5]"),
    ],
)
def test_single_values_are_refused_as_in_the_whole_model(
    offers: ModelCodec[Offer], path: Any, value: Any, where: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        offers.target(path).written(value)
    assert list(caught.value.errors) == [where]


def test_a_field_that_is_never_written_cannot_be_addressed_by_value(offers: ModelCodec[Offer]) -> None:
    with pytest.raises(ExpressionError, match="internal"):
        offers.target(("internal",)).written(5)


def test_values_are_compared_without_the_constraints(offers: ModelCodec[Offer]) -> None:
    codec = ModelCodec(Account)
    assert codec.target(("total",)).compared(-5) == {"N": "-5"}
    assert codec.target(("total",)).compared("7") == {"N": "7"}
    with pytest.raises(ExpressionError, match=r"total is never 'x': it is stored as N"):
        codec.target(("total",)).compared("x")
    with pytest.raises(ExpressionError, match="id is never 5"):
        codec.target(("id",)).compared(5)
    assert codec.target(("anything", "at all")).compared(5) == {"N": "5"}, "the model allows any attribute"


def test_strict_models_still_compare_with_text() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        at: dt.datetime
        colour: Colour

    codec = ModelCodec(Strict)
    assert codec.target(("at",)).compared("2024-07-01T14:00:00+02:00") == {"S": "2024-07-01T12:00:00.000000+00:00"}
    assert codec.target(("colour",)).compared("red") == {"S": "red"}
    with pytest.raises(ValidationError):
        codec.target(("at",)).written("2024-07-01")
    assert dict(codec.decode_partial({"at": {"S": "2024-07-01T12:00:00.000000+00:00"}, "colour": {"S": "red"}})) == {
        "at": AT,
        "colour": Colour.RED,
    }


@pytest.mark.parametrize("field", [str, list[str], dict[str, Any], set[str], bytes, Any])
@pytest.mark.parametrize(
    "wire",
    [{"L": "x"}, {"L": ["x"]}, {"M": []}, {"M": {"B": "AA=="}}, {"N": 5}, {"B": 5}, {"B": []}, {"BS": [5]}, {"B": "A"}],
)
def test_what_is_no_attribute_value_is_refused(field: Any, wire: Any) -> None:
    """A broken proxy or emulator may send anything, and bytes of a number would be as many zeros."""
    codec = ModelCodec(pydantic.create_model("Thing", value=(field, ...)))
    with pytest.raises(ValidationError, match=r"stored item|not a DynamoDB"):
        codec.decode({"value": wire})
