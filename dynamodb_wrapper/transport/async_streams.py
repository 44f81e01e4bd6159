"""Connections of event loops, and what goes over them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from dynamodb_wrapper.transport import http
from dynamodb_wrapper.transport.sockets import (
    MOST_AGE_SECONDS,
    MOST_IDLE_SECONDS,
    MOST_RECEIVE_BYTES,
    RECEIVE_BYTES,
    Clock,
    new_poll,
)

if TYPE_CHECKING:
    from typing import Any

_TLS_RECORD_BYTES = 17 * 1024
"""What OpenSSL may hold of a record that had come in part: 16 KB, and what is around them."""


class AsyncStream(asyncio.BufferedProtocol):
    """One connection of one event loop, one request at a time.

    Bytes come into memory of its own: for each read of a plain protocol, asyncio makes room for 256 KB, which can take
    as long as the rest of a small exchange.

    Attributes:
        is_open: Whether it may carry a request, as far as the event loop has seen.
        idle_since: When it was last used.
    """

    __slots__ = (
        "_answered",
        "_buffer",
        "_clock",
        "_ends_at",
        "_is_tls",
        "_loop",
        "_lost",
        "_missing",
        "_poll",
        "_reading",
        "_room",
        "_socket",
        "_timer",
        "_timer_ends_at",
        "_transport",
        "idle_since",
        "is_open",
        "opened_at",
    )

    _transport: asyncio.Transport

    def __init__(
        self, connected: socket.socket, lost: Callable[[AsyncStream], object], clock: Clock, *, is_tls: bool
    ) -> None:
        """Be the protocol over a connected socket; `lost` is told of its end."""
        self._loop = asyncio.get_running_loop()  # asked for once: on Python 3.11 that is a system call
        self._socket = connected
        self._lost = lost
        self._clock = clock
        self._is_tls = is_tls
        self._poll = new_poll(connected)
        self._buffer = self._room = memoryview(bytearray(RECEIVE_BYTES))
        self._missing = 0
        self._reading: http.Reading | None = None
        self._answered: asyncio.Future[http.Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ends_at = self._ends_at = 0.0
        self.opened_at = self.idle_since = clock()
        self.is_open = False

    def is_quiet(self, now: float) -> bool:
        """Return whether it may carry a request, as far as that is known at once: `is_usable` tells for certain."""
        return self.is_open and not self._is_old(now) and not self._poll()

    async def is_usable(self, now: float) -> bool:
        """Return whether it may carry a request: it is neither old nor closed, and has no bytes nobody asked for."""
        if self._is_old(now):
            return False
        if self._poll():  # something has come that the loop has not seen yet; let it look
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return self.is_open

    def _is_old(self, now: float) -> bool:
        return now - self.idle_since > MOST_IDLE_SECONDS or now - self.opened_at > MOST_AGE_SECONDS

    async def exchange(self, request: bytes, seconds: float) -> http.Answer | None:
        """Send a request and return its answer; None when the system took nothing of the request.

        Whatever it raises, the connection is not to be used again.

        Raises:
            TimeoutError: It did not come in time.
            EOFError: The connection ended before it had.
            OSError: The connection broke.
            CorruptResponseError: It is no answer of DynamoDB's.
        """
        if not self.is_open:
            return None
        reading = self._reading = http.reading()
        self._missing = next(reading)
        answered: asyncio.Future[http.Answer] = self._loop.create_future()
        self._answered = answered
        self._end_after(seconds)
        self._transport.write(request)
        if self._transport.is_closing() and not self._is_tls:  # of TLS, some records may have gone out
            self._reading = self._answered = None
            return None
        try:
            answer = await answered
        except asyncio.CancelledError:
            if not answered.cancelled():
                answered.exception()  # it came in the same moment: an error in it counts as seen
            raise
        self._answered = None
        if not answer.reusable or self._transport.get_write_buffer_size():  # answered before the request had gone out
            self.close()
        return answer

    def close(self) -> None:
        """Close it at once; closing twice is fine."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        with suppress(RuntimeError):  # the event loop is closed, so nobody can do more
            self._transport.abort()

    def discard(self) -> None:
        """Close it though nobody has got it yet.

        Once the event loop has made it secure, only its transport may close the socket: a descriptor that is closed
        behind the loop's back is still watched by it, and soon another connection's.
        """
        if hasattr(self, "_transport"):
            self.close()
        else:
            self._socket.close()

    def abandon(self) -> None:
        """Give its socket back to the system without asking an event loop that is closed, or another process's."""
        self.is_open = False
        self._socket.close()

    def _end_after(self, seconds: float) -> None:
        # A timer for each exchange would cost as much as the rest: one that ends too early is set anew when it does.
        self._ends_at = self._clock() + seconds
        if self._timer is None:
            self._set_timer(seconds)
        elif self._timer_ends_at > self._ends_at:
            self._timer.cancel()
            self._set_timer(seconds)

    def _set_timer(self, seconds: float) -> None:
        self._timer_ends_at = self._ends_at
        self._timer = self._loop.call_later(seconds, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._answered is None:
            return
        left = self._ends_at - self._clock()
        if left > 0:
            self._set_timer(left)
        else:
            self._fail(TimeoutError())

    def _fail(self, error: BaseException) -> None:
        answered, self._answered, self._reading = self._answered, None, None
        if answered is not None and not answered.done():
            answered.set_exception(error)

    def _read(self, data: bytes) -> None:
        reading, answered = self._reading, self._answered
        if reading is None or answered is None:
            return
        try:
            self._missing = reading.send(data)
        except StopIteration as end:
            self._reading = None
            if not answered.done():
                answered.set_result(end.value)
        except Exception as error:  # noqa: BLE001 - raised in the task that waits
            self._fail(error)

    # --- what the event loop tells --------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """It is connected, and secure."""
        self._transport = transport
        self.is_open = True

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where bytes that are about to come are put; `buffer_updated` is told when they have."""
        if self._reading is None:
            return self._room
        # TLS tells how much has come encrypted, and at the end of a connection it asks for room only once.
        wanted = max(self._missing, sizehint + _TLS_RECORD_BYTES if self._is_tls else 0)
        if wanted > RECEIVE_BYTES:
            self._room = memoryview(bytearray(min(wanted, MOST_RECEIVE_BYTES)))
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come, so many."""
        room, self._room = self._room, self._buffer  # what was made for a large answer is not kept
        self.data_received(bytes(room[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes have come; those that nobody asked for end it, as nobody knows where the next answer would begin."""
        if self._reading is None:
            self.close()
        else:
            self._read(data)

    def eof_received(self) -> None:
        """No more bytes will come; the transport closes itself."""
        self.is_open = False
        self._read(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whomever."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        if exc is None:
            self._read(b"")
        else:
            self._fail(exc)
        self._lost(self)
