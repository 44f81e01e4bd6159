"""Attribute values without a model: Python to wire form and back."""

from __future__ import annotations

import base64
import datetime as dt
import json
import string
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamodb_wrapper.codec import RefusedValueError, TimeRules, WireEncoder, from_json, item_bytes, read_any, to_json
from dynamodb_wrapper.codec.wire import number_text, read_number
from dynamodb_wrapper.exceptions import ValidationError

ENCODER = WireEncoder(TimeRules())

DIGITS = st.integers(-(10**38) + 1, 10**38 - 1)
NUMBERS = DIGITS | st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), DIGITS, st.integers(-90, 80))
KEYABLE = st.text(max_size=8) | NUMBERS | st.binary(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | KEYABLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.sets(st.text(max_size=3), min_size=1, max_size=3)
        | st.sets(NUMBERS, min_size=1, max_size=3)
        | st.sets(st.binary(max_size=3), min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_plain_values_come_back(value: Any) -> None:
    wire = ENCODER.encode(value)
    assert read_any(wire) == value
    assert read_any(from_json(to_json(wire))) == value
    assert ENCODER.encode(read_any(wire)) == wire


@given(NUMBERS)
def test_corner_16_numbers_are_in_dynamodbs_own_form(number: int | Decimal) -> None:
    text = ENCODER.encode(number)["N"]
    assert set(text) <= set(string.digits + "-.")
    assert Decimal(text) == number
    assert text == number_text(Decimal(text)), "one text for one number"
    if "." in text:
        assert not text.endswith(("0", "."))
    assert text.removeprefix("-").startswith(("0.", *"123456789")) or text == "0"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-0", 0),
        ("007", 7),
        ("1.0", 1),
        ("-1.50", Decimal("-1.5")),
        ("1E+30", 10**30),
        ("1e-3", Decimal("0.001")),
        ("1" * 38, int("1" * 38)),
        ("0." + "1" * 38, Decimal("0." + "1" * 38)),
        ("1" + "0" * 125, 10**125),
    ],
)
def test_any_writers_numbers_are_read_exactly(text: str, number: int | Decimal) -> None:
    read = read_number(text)
    assert (read, type(read)) == (number, type(number))


def test_corner_19_binary_payloads_may_be_base64_text() -> None:
    text = base64.b64encode(b"\x00\xff").decode()
    assert (
        read_any({"B": text}) == read_any({"B": b"\x00\xff"}) == read_any({"B": bytearray(b"\x00\xff")}) == b"\x00\xff"
    )
    assert read_any({"BS": [text]}) == {b"\x00\xff"}
    assert to_json({"B": b"\x00\xff"}) == to_json({"B": bytearray(b"\x00\xff")}) == b'{"B":"AP8="}'


def test_refusals_name_the_place() -> None:
    with pytest.raises(RefusedValueError) as caught:
        ENCODER.encode({"a": [1, {"b c": (Decimal("NaN"),)}]})
    assert caught.value.steps == ["a", "1", "b c", "0"]
    error = caught.value.as_validation_error(owner="Order")
    assert str(error).startswith("Order: a.1.b c.0 = Decimal('NaN') cannot be stored: DynamoDB has no NaN")
    assert isinstance(error, ValidationError)


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(RefusedValueError) as caught:
        ENCODER.encode({1: 2, "1": "x" * 10_000})
    assert len(str(caught.value.as_validation_error(owner="Order"))) < 600


@pytest.mark.parametrize(
    ("wire", "place", "kind"),
    [
        ({"N": object()}, "N", "object"),
        ({"Item": {"tags": {"SS": {"a"}}}}, "Item.tags.SS", "set"),
        ({"L": [{"S": "x"}, {"SS": frozenset()}]}, "L.1.SS", "frozenset"),
        ({"N": Decimal(1)}, "N", "Decimal"),
        ({"S": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, "S", "datetime"),
        ({"NS": iter(["1"])}, "NS", "list_iterator"),
        ({1: {"S": "x"}}, "a name", "int"),
        (Decimal(1), "it", "Decimal"),
    ],
)
def test_only_wire_values_are_written_as_json(wire: Any, place: str, kind: str) -> None:
    with pytest.raises(ValidationError, match=f"no wire value: {place}: .* is a {kind};") as caught:
        to_json(wire)
    assert list(caught.value.errors) == [place]


def test_a_wire_value_that_contains_itself() -> None:
    wire: dict[str, Any] = {}
    wire["M"] = wire
    with pytest.raises(ValidationError, match="contains itself"):
        to_json(wire)


ODD = st.text(st.sampled_from('"\\/BS:[]{}\x00\x1f\x7f\u00e9\u2028\U0001f600'), max_size=8)


@given(VALUES | ODD, st.dictionaries(st.sampled_from(["B", "BS", "M", "BOOL"]) | ODD, VALUES | ODD, max_size=3))
def test_json_is_that_of_the_standard_library_byte_for_byte(value: Any, attributes: dict[str, Any]) -> None:
    wire = {"TableName": "t", "Limit": 10, "Item": ENCODER.encode(attributes)["M"], "Other": ENCODER.encode(value)}
    expected = json.dumps(
        wire, default=lambda raw: base64.b64encode(raw).decode(), ensure_ascii=False, separators=(",", ":")
    )
    assert to_json(wire) == expected.encode()


@given(st.dictionaries(st.text(max_size=5) | ODD, VALUES | ODD, max_size=4))
def test_an_item_never_takes_more_bytes_than_its_json(attributes: dict[str, Any]) -> None:
    item = ENCODER.encode(attributes)["M"]
    assert item_bytes(item) <= len(to_json(item))


@pytest.mark.parametrize(
    "wire",
    [
        {"S": ""},
        {"N": "0"},
        {"N": "-1"},
        {"N": "-123"},
        {"B": b""},
        {"B": b"1"},
        {"BOOL": True},
        {"NULL": True},
        {"L": []},
        {"L": [{"L": []}, {"S": ""}]},
        {"M": {}},
        {"M": {"": {"M": {}}}},
        {"SS": [""]},
        {"NS": ["-1", "1"]},
        {"BS": [b"", b"1"]},
    ],
)
def test_the_smallest_values_of_each_type_take_no_more_bytes_than_their_json(wire: Any) -> None:
    assert item_bytes({"": wire}) <= len(to_json({"": wire}))
