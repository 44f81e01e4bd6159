"""Cursors come back exact, belong to their query, and tell damage."""

from __future__ import annotations

import base64
import os
import re
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import InvalidCursorError, ValidationError
from dynamodb_wrapper.operations.cursors import fingerprint, read_cursor, write_cursor

ROOT = Path(__file__).resolve().parents[2]
ALPHABET = string.ascii_letters + string.digits + "-_"
QUERY = fingerprint(["Query", {"TableName": "orders"}])
KEY: Item = {"id": {"S": "c1"}, "at": {"N": "12.5"}, "raw": {"B": b"\x00\xff"}}

NUMBERS = st.integers(-(10**38) + 1, 10**38 - 1).map(str) | st.decimals(-9, 9, places=3).map(str)
VALUES = (
    st.text(min_size=1, max_size=20).map(lambda text: {"S": text})
    | NUMBERS.map(lambda text: {"N": text})
    | st.binary(min_size=1, max_size=20).map(lambda raw: {"B": raw})
)
KEYS = st.dictionaries(st.text(min_size=1, max_size=12), VALUES, min_size=1, max_size=4)
SECRETS = st.none() | st.text(min_size=1, max_size=8)


@given(KEYS, st.binary(min_size=8, max_size=8), SECRETS)
def test_any_key_comes_back(key: Item, query: bytes, secret: str | None) -> None:
    cursor = write_cursor(key, query, secret)
    assert read_cursor(cursor, query, secret) == key
    assert set(cursor) <= set(ALPHABET), "it goes into a URL as it is"
    assert write_cursor(key, query, secret) == cursor


@given(KEYS, SECRETS, st.data())
def test_corner_26_a_damaged_cursor_never_leads_elsewhere(key: Item, secret: str | None, data: st.DataObject) -> None:
    cursor = write_cursor(key, QUERY, secret)
    place = data.draw(st.integers(0, len(cursor) - 1) | st.just(len(cursor) - 1))
    other = data.draw(st.sampled_from(ALPHABET + "=+/ .%é\n").filter(lambda character: character != cursor[place]))
    changes = {
        "replaced": cursor[:place] + other + cursor[place + 1 :],
        "inserted": cursor[:place] + other + cursor[place:],
        "removed": cursor[:place] + cursor[place + 1 :],
        "cut": cursor[:place],
        "longer": cursor + other,
    }
    damaged = changes[data.draw(st.sampled_from(list(changes)))]
    if damaged != cursor:
        try:
            assert read_cursor(damaged, QUERY, secret) == key, "never another key"
        except InvalidCursorError:
            return
        assert same_bytes(damaged, cursor)


def same_bytes(one: str, other: str) -> bool:
    """Whether two texts are the same but for base64's spare bits, its padding and its other alphabet."""
    plain = [text.rstrip("=").replace("+", "-").replace("/", "_") for text in (one, other)]
    return len(plain[0]) == len(plain[1]) and plain[0][:-1] == plain[1][:-1]


def test_corner_26_any_damaged_character_is_found() -> None:
    for length in range(1, 7):
        cursor = write_cursor({"id": {"S": "x" * length}}, QUERY, "secret")
        others = [
            cursor[:place] + other + cursor[place + 1 :]
            for place in range(len(cursor))
            for other in ALPHABET + "+/="
            if other != cursor[place]
        ]
        for damaged in (*others, cursor + "=", cursor + "==", cursor + "\n"):
            with pytest.raises(InvalidCursorError):
                read_cursor(damaged, QUERY, "secret")


@pytest.mark.parametrize("nonsense", ["", "=", "abc", "a" * 200, "é", "../..", None, 5, b"abc", "null", "{}"])
def test_corner_26_what_is_no_cursor_is_an_error(nonsense: Any) -> None:
    with pytest.raises(InvalidCursorError):
        read_cursor(nonsense, QUERY, None)


def test_corner_26_a_cursor_of_another_query_is_an_error() -> None:
    cursor = write_cursor(KEY, QUERY, "secret")
    with pytest.raises(InvalidCursorError, match="belongs to another query") as caught:
        read_cursor(cursor, fingerprint(["Query", {"TableName": "others"}]), "secret")
    assert isinstance(caught.value, ValidationError)


@pytest.mark.parametrize(("written", "read"), [("mine", "two"), (None, "two"), ("mine", None), ("mine", "mine ")])
def test_corner_26_a_cursor_of_another_secret_is_an_error(written: str | None, read: str | None) -> None:
    with pytest.raises(InvalidCursorError, match="not made with this cursor_secret") as caught:
        read_cursor(write_cursor(KEY, QUERY, written), QUERY, read)
    assert "mine" not in repr(caught.value)


def test_corner_26_a_forged_cursor_is_an_error() -> None:
    """Whoever knows the format, but not the secret, cannot make one, nor graft a key onto another's seal."""
    honest = write_cursor(KEY, QUERY, "secret")
    forged = write_cursor({"id": {"S": "someone else's"}}, QUERY, None)
    seal = 22 - 1  # 16 bytes are 21 whole characters and a bit
    for attempt in (forged, honest[:seal] + forged[seal:], forged[:seal] + honest[seal:]):
        with pytest.raises(InvalidCursorError):
            read_cursor(attempt, QUERY, "secret")


def test_corner_42_a_cursor_does_not_hold_the_secret() -> None:
    cursor = write_cursor(KEY, QUERY, "topsecret")
    assert b"topsecret" not in base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


@given(st.lists(st.sampled_from(["a", "b", 1, None, b"x", True]), max_size=4), st.text(max_size=3))
def test_fingerprints_are_equal_for_equal_requests_only(parts: list[Any], text: str) -> None:
    request = [text, {"parts": parts}]
    assert fingerprint(request) == fingerprint([text, {"parts": list(parts)}])
    assert len(fingerprint(request)) == 8
    assert fingerprint(request) != fingerprint([text, {"parts": [*parts, 0]}])
    assert fingerprint(request) != fingerprint([f"{text}x", {"parts": parts}])


PROGRAM = """
import datetime, decimal
from pydantic import BaseModel
from dynamodb_wrapper.codec import ModelCodec
from dynamodb_wrapper.expressions import ExpressionWriter, F
from dynamodb_wrapper.operations.cursors import fingerprint, write_cursor

class M(BaseModel):
    id: str
    tags: set[str] = set()
    mixed: set[int | str] = set()
    total: decimal.Decimal = decimal.Decimal(0)

words = {"alpha", "beta", "gamma", "delta", "epsilon"}
writer = ExpressionWriter(ModelCodec(M))
text = writer.condition(
    F.id.in_(words) & (F.tags == words) & (F.mixed == {1, "a", "b", 2}) & F.total.in_({decimal.Decimal(1), 2.5})
)
print(write_cursor({"id": {"S": "x"}}, fingerprint([text, writer.parameters()]), "secret"))
"""


def test_cursors_are_the_same_in_every_process() -> None:
    cursors = set()
    for seed in ("0", "1", "2", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        cursors.add(done.stdout.strip())
    assert len(cursors) == 1
    assert re.fullmatch(r"[\w-]+", cursors.pop())
