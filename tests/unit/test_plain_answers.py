"""Answers that come in one piece, and the names of headers, which are made out once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamodb_wrapper.exceptions import CorruptResponseError
from dynamodb_wrapper.transport import http

BODY = b'{"Item":{}}'
FIELDS = [
    "Server: Server",
    "Connection: keep-alive",
    "Connection: Keep-Alive",
    "Connection: close",
    "x-amz-crc32:  7 \t",
    "X-AMZ-CRC32: 8",
    "Content-Type: a: b",
    f"Content-Length: {len(BODY)}",
    "Content-Length: 3",
    "Content-Length: 0011",
    "content-length:",
    "Transfer-Encoding: chunked",
    "Empty:",
    "Server",
    " folded",
    "a b: c",
    ": nameless",
    "bare\rreturn: x",
    "bare: \nfeed",
    "nul: \0",
]


def outcome(parts: list[bytes]) -> http.Answer | str:
    reading = http.reading()
    next(reading)
    try:
        for part in (*parts, b""):
            reading.send(part)
    except StopIteration as end:
        answer: http.Answer = end.value
        return answer
    except (CorruptResponseError, EOFError) as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("the end of the connection did not end the answer")


@given(
    status=st.sampled_from(["HTTP/1.1 200 OK", "HTTP/1.1 200 -", "HTTP/1.0 200 OK", "HTTP/1.1 400 Bad Request"]),
    fields=st.lists(st.sampled_from(FIELDS), max_size=6),
    beyond=st.sampled_from([b"", b"", b"HTTP/1.1 200 OK\r\n\r\n"]),
    cut=st.integers(0, 5),
)
def test_one_piece_is_read_as_two_are(status: str, fields: list[str], beyond: bytes, cut: int) -> None:
    raw = "\r\n".join([status, *fields, "", ""]).encode() + BODY + beyond
    raw = raw[: len(raw) - cut]
    middle = raw.index(b"\r\n") + 1
    in_one, in_two = outcome([raw]), outcome([raw[:middle], raw[middle:]])
    assert in_one == in_two


def test_the_usual_answer_takes_no_second_look() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: keep-alive\r\nA:  b \r\na: c\r\n\r\n" + BODY
    expected = {"content-length": "11", "connection": "keep-alive", "a": "b, c"}
    assert http._plain(raw) == http.Answer(200, expected, BODY, reusable=True)
    assert http._plain(raw + b"x") is http._plain(raw[:-1]) is None


def test_names_are_remembered_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_names", http._Names())
    for number in range(1000):
        raw = f"HTTP/1.1 200 OK\r\nX-Name-{number}: {number}\r\nContent-Length: 11\r\n\r\n".encode() + BODY
        answer = outcome([raw])
        assert isinstance(answer, http.Answer)
        assert answer.headers == {f"x-name-{number}": str(number), "content-length": "11"}
    assert len(http._names) == 256


@pytest.mark.parametrize("field", ["Server", "Ser ver: x", ""])
def test_what_is_no_name_is_refused_each_time(field: str) -> None:
    raw = f"HTTP/1.1 200 OK\r\nServer: x\r\n{field}\r\nContent-Length: 11\r\n".encode() + b"\r\n" + BODY
    for _ in range(2):
        assert field == "" or "is not a header" in str(outcome([raw]))
    assert field not in http._names or field == "Server"
