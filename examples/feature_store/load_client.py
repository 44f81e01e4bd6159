"""Sends one request again and again over some connections, and counts."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Shot:
    """A request, and what its answer must contain."""

    name: str
    method: str
    path: str
    body: object = None
    expected: bytes = b"{"

    def as_bytes(self) -> bytes:
        content = b"" if self.body is None else json.dumps(self.body).encode()
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: loopback\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


@dataclass
class Result:
    """What came of it: seconds for each answer, how many answers were wrong, and what the service computed."""

    elapsed: float = 0.0
    cpu_seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    errors: int = 0

    def as_columns(self) -> str:
        count = len(self.times)
        figures = f"{count / self.elapsed:,.0f} | {self._percentile_ms(50):.1f} | {self._percentile_ms(99):.1f}"
        return f"{figures} | {self.cpu_seconds / count * 1000:.2f} | {self.errors}"

    def _percentile_ms(self, percent: int) -> float:
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000


async def fire(url: str, shot: Shot, result: Result, *, seconds: float, connections: int) -> None:
    """Send a request over and over, on each connection the next one when the one before is answered."""
    started = time.perf_counter()
    await asyncio.gather(*(_fire_on_one(url, shot, started + seconds, result) for _ in range(connections)))
    result.elapsed += time.perf_counter() - started


async def _fire_on_one(url: str, shot: Shot, until: float, result: Result) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    request = shot.as_bytes()
    while (sent := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        result.times.append(time.perf_counter() - sent)
        result.errors += not head.startswith(b"HTTP/1.1 200") or shot.expected not in body
    writer.close()
    await writer.wait_closed()
