"""HTTP/1.1 as far as DynamoDB speaks it, over bytes: no sockets here, so blocking and asyncio connections share it.

What is not plain HTTP/1.1 is refused, never guessed at: a wrong guess about where an answer ends would give the rest of
it to the next caller.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass

from dynamodb_wrapper.exceptions import CorruptResponseError
from dynamodb_wrapper.transport.integrity import damaged

CONTENT_TYPE = "application/x-amz-json-1.0"

MOST_HEAD_BYTES = 64 * 1024
MOST_BODY_BYTES = 64 * 1024 * 1024
"""DynamoDB answers with 16 MB at most (``BatchGetItem``)."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n\0]*)?\r\n")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MOST_NAMES = 256
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n\0]*)?\r\n")
_BODILESS = (204, 304)
_BEGINNING = b"HTTP/1."
_KEPT = "keep-alive"
_SUCCESS = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Attributes:
        status: The final status; those from 100 to 199 were skipped.
        headers: By name in lower case; values of a name that came several times are joined by ``", "``.
        body: What came on the wire, chunks put together.
        reusable: Whether the connection may carry another request.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    reusable: bool


Reading = Generator[int, bytes, Answer]
"""Yields how many bytes are still missing, as far as it is known (0 when not); is sent those that come, and ``b""``
when no more will; returns the answer."""


def host_header(host: str, port: int, *, is_tls: bool) -> str:
    """Return the value of ``Host``: the port is left out where it is the scheme's own."""
    name = f"[{host}]" if ":" in host else host
    return name if port == (443 if is_tls else 80) else f"{name}:{port}"


def request_head(path: str, host: str, target: str, user_agent: str) -> str:
    """Return the first lines of a request: those that are the same for each request of one operation."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\nUser-Agent: {user_agent}\r\n"
        f"X-Amz-Target: {target}\r\nContent-Type: {CONTENT_TYPE}\r\n"
    )


def request(head: str, signature: str, body: bytes) -> bytes:
    """Return a whole request.

    Args:
        head: Of `request_head`.
        signature: The header lines that are different each time, each with its line end.
        body: The body.
    """
    return f"{head}{signature}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


def reading() -> Reading:
    """Read one answer.

    Raises:
        EOFError: The connection ended before the head did.
        CorruptResponseError: What came is not HTTP/1.1, or too large to be DynamoDB's, or ended in the middle.
    """
    begun = _not_ended((yield 0))
    if (answer := _plain(begun)) is not None:
        return answer
    arrived = _Arrived(begun)
    interim_bytes = 0
    while True:
        status, head, minor_version = yield from _head(arrived, MOST_HEAD_BYTES - interim_bytes)
        headers = _headers(status, head)
        if status >= 200:
            break
        if status == 101:
            raise damaged("it switches to another protocol", status)
        interim_bytes += len(head)
    keep_alive = minor_version == b"1" and "close" not in _tokens(headers.get("connection", ""))
    try:
        body, is_ended = yield from _body(arrived, status, headers)
    except EOFError as end:
        raise damaged("the connection was closed before it had arrived whole", status) from end
    return Answer(status, headers, body, keep_alive and is_ended and not arrived.data)


def _plain(arrived: bytes) -> Answer | None:
    """Return an answer that has come as nearly all do: a success, in one piece, its length told. None for any other.

    Nothing is decided here about what looks otherwise.
    """
    end = arrived.find(b"\r\n\r\n", 0, MOST_HEAD_BYTES)
    if end < 0 or not arrived.startswith(_SUCCESS):
        return None
    headers = _headers(200, arrived[len(_SUCCESS) : end + 2])
    body = arrived[end + 4 :]
    if headers.get("content-length") != str(len(body)) or "transfer-encoding" in headers:
        return None
    return Answer(200, headers, body, reusable=True) if headers.get("connection", _KEPT) == _KEPT else None


def _body(arrived: _Arrived, status: int, headers: dict[str, str]) -> Generator[int, bytes, tuple[bytes, bool]]:
    """Return the body, and whether it is beyond doubt where it ended."""
    if status in _BODILESS:
        return b"", True
    if "transfer-encoding" in headers:
        if _tokens(headers["transfer-encoding"]) != ["chunked"]:
            raise damaged(f"nobody asked for the transfer encoding {headers['transfer-encoding']!r}", status)
        return (yield from _chunked(arrived, status)), "content-length" not in headers
    if "content-length" in headers:
        return (yield from arrived.exactly(_length(headers["content-length"], status))), True
    return (yield from arrived.until_end(status)), False


class _Arrived:
    """The bytes that have come and were not yet used."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def until(self, mark: bytes, most: int) -> Generator[int, bytes, bytes]:
        """Take what comes before a mark, the mark included; ``b""`` when it does not come within so many bytes."""
        looked = 0
        while (found := self.data.find(mark, looked)) < 0:
            if len(self.data) >= most:
                return b""
            looked = max(0, len(self.data) - len(mark) + 1)
            self.data += _not_ended((yield 0))
        end = found + len(mark)
        if end > most:
            return b""
        taken, self.data = self.data[:end], self.data[end:]
        return taken

    def exactly(self, length: int) -> Generator[int, bytes, bytes]:
        """Take so many bytes."""
        if length > (have := len(self.data)):
            parts = [self.data]
            while have < length:
                part = _not_ended((yield length - have))
                parts.append(part)
                have += len(part)
            self.data = b"".join(parts)
        taken, self.data = self.data[:length], self.data[length:]
        return taken

    def until_end(self, status: int) -> Generator[int, bytes, bytes]:
        """Take everything that comes."""
        parts, have = [self.data], len(self.data)
        self.data = b""
        while part := (yield 0):
            parts.append(part)
            have += len(part)
            if have > MOST_BODY_BYTES:
                raise _too_large(status)
        return b"".join(parts)


def _not_ended(part: bytes) -> bytes:
    if not part:
        raise EOFError("the connection was closed before the answer had arrived whole")
    return part


def _head(arrived: _Arrived, most: int) -> Generator[int, bytes, tuple[int, bytes, bytes]]:
    """Return the status, the header lines and the minor version of HTTP."""
    if not arrived.data:
        arrived.data = _not_ended((yield 0))
    while len(arrived.data) < len(_BEGINNING) and _BEGINNING.startswith(arrived.data):
        arrived.data += _not_ended((yield 0))
    if not arrived.data.startswith(_BEGINNING):
        raise damaged("it is not HTTP/1.1", None)
    head = yield from arrived.until(b"\r\n\r\n", most)
    if not head:
        raise damaged(f"its headers are longer than {MOST_HEAD_BYTES // 1024} KB", None)
    line = _STATUS_LINE.match(head)
    if line is None:
        raise damaged("it is not HTTP/1.1", None)
    return int(line[2]), head[line.end() : -2], line[1]


def _headers(status: int, lines: bytes) -> dict[str, str]:
    text = lines.decode("latin-1")
    fields = text.split("\r\n")
    del fields[-1]  # what follows the last line end: nothing
    headers: dict[str, str] = {}
    try:
        if text.count("\r") != len(fields) or text.count("\n") != len(fields) or "\0" in text:
            raise ValueError
        for field in fields:
            written, value = field.split(":", 1)
            name, value = _names[written], value.strip(" \t")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    except ValueError:
        raise damaged("one of its headers is not a header", status) from None
    return headers


class _Names(dict[str, str]):
    """Names of headers in lower case, as they are written: the same few come with every answer."""

    def __missing__(self, written: str) -> str:
        """Make out one that has not come yet; it is kept while there is room.

        Raises:
            ValueError: It is no name.
        """
        if _NAME.fullmatch(written) is None:
            raise ValueError
        name = written.lower()
        if len(self) < _MOST_NAMES:
            self[written] = name
        return name


_names = _Names()


def _tokens(value: str) -> list[str]:
    return [token.strip().lower() for token in value.split(",")] if value else []


def _length(value: str, status: int) -> int:
    lengths = {length.strip() for length in value.split(",")} if "," in value else {value}  # repeated, but the same
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length):
        raise damaged(f"its Content-Length is {value[:40]!r}", status)
    if int(length) > MOST_BODY_BYTES:
        raise _too_large(status)
    return int(length)


def _chunked(arrived: _Arrived, status: int) -> Generator[int, bytes, bytes]:
    parts: list[bytes] = []
    total = 0
    while True:
        line = yield from arrived.until(b"\r\n", MOST_HEAD_BYTES)
        size = _CHUNK.fullmatch(line)
        if size is None:
            raise damaged("one of its chunks has no size", status)
        length = int(size[1], 16)
        if length == 0:
            break
        total += length
        if total > MOST_BODY_BYTES:
            raise _too_large(status)
        parts.append((yield from arrived.exactly(length)))
        if (yield from arrived.exactly(2)) != b"\r\n":
            raise damaged("one of its chunks has another size than it says", status)
    trailer_bytes = 0
    while line != b"\r\n":
        line = yield from arrived.until(b"\r\n", MOST_HEAD_BYTES - trailer_bytes)
        if not line:
            raise damaged("its trailers are too long", status)
        trailer_bytes += len(line)
    return b"".join(parts)


def _too_large(status: int) -> CorruptResponseError:
    return damaged(f"it is larger than {MOST_BODY_BYTES // 2**20} MB", status)
