"""The wire protocol, by bytes: whole, split, odd, damaged."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamodb_wrapper.exceptions import CorruptResponseError
from dynamodb_wrapper.transport import http
from dynamodb_wrapper.transport.failures import Verdict, hint_of
from dynamodb_wrapper.transport.integrity import checked_body

BODY = b'{"Item":{"p":{"S":"x"}}}'


def read(*parts: bytes) -> http.Answer:
    """Feed the parts, then the end of the connection."""
    reading = http.reading()
    next(reading)
    try:
        for part in (*parts, b""):
            reading.send(part)
    except StopIteration as end:
        answer: http.Answer = end.value
        return answer
    raise AssertionError("the end of the connection did not end the answer")


def answer(
    body: bytes = BODY, *fields: str, status: str = "200 OK", length: int | None = None, version: str = "1.1"
) -> bytes:
    lines = [f"HTTP/{version} {status}", *fields, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(chunks: Iterable[bytes], *fields: str, extension: str = "", trailers: Sequence[str] = ()) -> bytes:
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *fields, "", ""]).encode()
    coded = b"".join(f"{len(chunk):x}{extension}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    return head + coded + f"0{extension}\r\n".encode() + "".join(f"{line}\r\n" for line in trailers).encode() + b"\r\n"


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_request_is_written_as_it_is_signed() -> None:
    head = http.request_head("/", "localhost:8000", "DynamoDB_20120810.GetItem", "us")
    assert http.request(head, "X-Amz-Date: now\r\n", b"{}") == (
        b"POST / HTTP/1.1\r\nHost: localhost:8000\r\nAccept-Encoding: identity\r\nUser-Agent: us\r\n"
        b"X-Amz-Target: DynamoDB_20120810.GetItem\r\nContent-Type: application/x-amz-json-1.0\r\n"
        b"X-Amz-Date: now\r\nContent-Length: 2\r\n\r\n{}"
    )


@pytest.mark.parametrize(
    ("host", "port", "is_tls", "header"),
    [
        ("h", 80, False, "h"),
        ("h", 443, True, "h"),
        ("h", 443, False, "h:443"),
        ("h", 80, True, "h:80"),
        ("::1", 8000, False, "[::1]:8000"),
        ("::1", 80, False, "[::1]"),
    ],
)
def test_the_host_has_its_port_unless_it_is_the_schemes_own(host: str, port: int, is_tls: bool, header: str) -> None:
    assert http.host_header(host, port, is_tls=is_tls) == header


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer() -> None:
    got = read(answer(BODY, "x-amzn-RequestId: R1", "X-Amz-CRC32:  7 \t", "Empty:", "Twice: a", "twice: b"))
    assert got == http.Answer(
        200,
        {"x-amzn-requestid": "R1", "x-amz-crc32": "7", "empty": "", "twice": "a, b", "content-length": str(len(BODY))},
        BODY,
        reusable=True,
    )


def test_every_split_gives_the_same() -> None:
    for whole in (answer(), chunked([BODY[:5], BODY[5:]], extension=";a=b", trailers=["T: 1"])):
        expected = read(whole)
        assert expected.body == BODY
        assert [read(whole[:at], whole[at:]) for at in range(1, len(whole))] == [expected] * (len(whole) - 1)
        assert read(*[whole[at : at + 1] for at in range(len(whole))]) == expected


def test_what_is_missing_is_told() -> None:
    reading = http.reading()
    assert next(reading) == 0
    assert reading.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n") == 0
    assert reading.send(b"\r\n" + b"x" * 10) == 990
    assert reading.send(b"x" * 500) == 490


@pytest.mark.parametrize(
    ("raw", "reusable"),
    [
        (answer(), True),
        (answer(BODY, "Connection: keep-alive"), True),
        (answer(BODY, "Connection: close"), False),
        (answer(BODY, "CONNECTION: Keep-Alive, Close"), False),
        (answer(version="1.0"), False),
        (answer(BODY, "Connection: keep-alive", version="1.0"), False),
        (answer() + b"H", False),
        (answer(BODY, f"Content-Length: {len(BODY)}"), True),
        (chunked([BODY]), True),
        (chunked([BODY], "Content-Length: 5"), False),
        (b"HTTP/1.1 200 OK\r\n\r\n" + BODY, False),
        (b"HTTP/1.1 200\r\n\r\n" + BODY, False),
    ],
)
def test_a_connection_is_used_again_only_if_the_answer_ended_for_certain(raw: bytes, reusable: bool) -> None:
    got = read(raw)
    assert (got.body, got.reusable) == (BODY, reusable)


def test_interim_answers_are_skipped() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert read(interim + answer()) == read(answer())


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_answers_have_no_body(status: str) -> None:
    got = read(answer(b"", status=status, length=5))
    assert (got.body, got.reusable) == (b"", True)


# --- what is refused -------------------------------------------------------------------------------------------------

GARBAGE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "bare line feed in the head": b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
    "folded header": answer(b"", "A: b", "  c"),
    "space before the colon": answer(b"", "A : b"),
    "header without a name": answer(b"", ": b"),
    "header without a colon": answer(b"", "Content-Length 5"),
    "NUL in a header": answer(b"", "A: \0"),
    "switching protocols": b"HTTP/1.1 101 Switching\r\n\r\n",
    "lengths differ": answer(BODY, "Content-Length: 5"),
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "length with a plus": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n12345",
    "length in other digits": "HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\n12".encode("latin-1"),
    "no length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    "length of many digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "absurd length": b"HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,
    "long head": answer(b"", *["A: b"] * 20_000),
    "endless interim answers": b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" * 20_000,
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "empty coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\nContent-Length: 0\r\n\r\n",
    "coded twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunk without a size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    "chunk with a signed size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n",
    "chunk longer than its size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "absurd chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
    "endless trailers": chunked([BODY], trailers=["A: b"] * 20_000),
    "endless chunk extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;" + b"a" * 70_000,
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(CorruptResponseError) as caught:
        read(raw)
    assert hint_of(caught.value).verdict is Verdict.LOST


def test_a_damaged_refusal_says_that_nothing_was_done() -> None:
    with pytest.raises(CorruptResponseError) as caught:
        read(answer(b"", "Content-Length: x", status="400 Bad Request"))
    assert hint_of(caught.value).verdict is Verdict.SAFE


def test_garbage_is_refused_before_more_is_waited_for() -> None:
    reading = http.reading()
    next(reading)
    with pytest.raises(CorruptResponseError, match=r"not HTTP/1\.1"):
        reading.send(b"HI")


def test_a_body_without_a_length_has_a_limit() -> None:
    reading = http.reading()
    next(reading)
    reading.send(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(64):
        reading.send(bytes(2**20))
    with pytest.raises(CorruptResponseError, match="larger than 64 MB"):
        reading.send(b"x")


def test_a_cut_answer_is_an_early_end() -> None:
    for whole in (answer(), chunked([BODY], trailers=["T: 1"]), answer(b"", status="100 Continue")):
        head = len(whole) if b" 100 " in whole else whole.index(b"\r\n\r\n") + 4
        for at in range(len(whole)):
            with pytest.raises(EOFError if at < head else CorruptResponseError, match="closed before"):
                read(*([whole[:at]] if at else []))


def test_a_refusal_that_ends_early_says_that_nothing_was_done() -> None:
    with pytest.raises(CorruptResponseError) as caught:
        read(answer(BODY, status="400 Bad Request")[:-1])
    assert hint_of(caught.value).verdict is Verdict.SAFE


# --- fuzz ------------------------------------------------------------------------------------------------------------

names = st.text("abcdefXYZ-_0123456789!#$%&'*+.^`|~", min_size=1, max_size=12).map(lambda name: f"X-{name}")
values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
fields = st.lists(st.builds("{}: {}".format, names, values), max_size=5)
bodies = st.dictionaries(st.text(max_size=5), st.text(max_size=200), max_size=5).map(
    lambda body: json.dumps(body).encode()
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """An answer as bytes, and the body in it."""
    body = draw(bodies)
    lines = [*draw(fields), f"x-amz-crc32: {zlib.crc32(body)}", *draw(fields)]
    framing = draw(st.sampled_from(["length", "chunked", "end"]))
    if framing == "length":
        raw = answer(body, *lines)
    elif framing == "chunked":
        size = draw(st.integers(1, 50))
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        raw = chunked(chunks, *lines, extension=draw(st.sampled_from(["", ";a", ' ; a="b"'])), trailers=draw(fields))
    else:
        raw = "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1") + body
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    return interim + raw, body


def split(raw: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    return [raw[begin:end] for begin, end in pairwise(places)]


@given(answers(), st.lists(st.integers(0, 10_000), max_size=8))
def test_any_answer_in_any_pieces(made: tuple[bytes, bytes], cuts: list[int]) -> None:
    raw, body = made
    got = read(*split(raw, cuts))
    assert checked_body(got.status, got.headers, got.body) == body
    assert got.headers == read(raw).headers


@given(answers(), st.data())
def test_damage_is_noticed(made: tuple[bytes, bytes], data: st.DataObject) -> None:
    raw, body = made
    at = data.draw(st.integers(0, len(raw) - 1))
    kind = data.draw(st.sampled_from(["change", "remove", "insert", "cut"]))
    byte = data.draw(st.binary(min_size=1, max_size=1))
    damaged = {
        "change": raw[:at] + byte + raw[at + 1 :],
        "remove": raw[:at] + raw[at + 1 :],
        "insert": raw[:at] + byte + raw[at:],
        "cut": raw[:at],
    }[kind]
    try:
        got = read(*split(damaged, data.draw(st.lists(st.integers(0, 10_000), max_size=4))))
        used = checked_body(got.status, got.headers, got.body)
    except (CorruptResponseError, EOFError):
        return
    assert used == body or got.status >= 300


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=10))
def test_noise_gives_an_error(parts: list[bytes]) -> None:
    with pytest.raises((CorruptResponseError, EOFError)):
        read(*parts)


@given(
    st.lists(
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK",
                b"\r\n",
                b"\n",
                b"0",
                b"5",
                b": ",
                b"Content-Length",
                b"x" * 9,
                b"Transfer-Encoding",
                b"chunked",
                b"HTTP/1.1 100 C\r\n\r\n",
                b"Connection",
                b"close",
                b";",
                b",",
                b" ",
            ]
        ),
        max_size=40,
    )
)
def test_pieces_of_http_in_any_order_end_in_an_answer_or_an_error(parts: list[bytes]) -> None:
    try:
        got = read(*parts)
    except (CorruptResponseError, EOFError):
        return
    assert b"".join(parts).startswith(b"HTTP/1.1")
    assert len(got.body) <= len(b"".join(parts))
