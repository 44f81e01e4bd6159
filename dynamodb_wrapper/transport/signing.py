"""Signature Version 4, as far as DynamoDB needs it: a POST without a query, its whole body signed.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from dynamodb_wrapper.exceptions import CredentialsError
from dynamodb_wrapper.transport.failures import BAD_KEYS
from dynamodb_wrapper.transport.http import CONTENT_TYPE

if TYPE_CHECKING:
    from _hashlib import HASH

_ALGORITHM = "AWS4-HMAC-SHA256"
_BLOCK_BYTES = 64
_HEADER_TEXT = re.compile(r"[!-~]*")


class Keys(Protocol):
    """Credentials at one moment, such as botocore's frozen ones; equal ones are the same ones."""

    @property
    def access_key(self) -> str: ...  # noqa: D102
    @property
    def secret_key(self) -> str: ...  # noqa: D102
    @property
    def token(self) -> str | None: ...  # noqa: D102


class _Hmac:
    """HMAC-SHA256 with one key, as RFC 2104 has it; what the key alone makes of it is done once."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """Take a key that is no longer than a block of the hash: 64 bytes."""
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner: HASH = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer: HASH = sha256(bytes(byte ^ 0x5C for byte in block))

    def hexdigest(self, message: bytes) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.hexdigest()


@dataclass(frozen=True, slots=True, repr=False)
class _Day:
    """What is the same for all requests of one day with the same credentials."""

    date: str
    keys: Keys
    scope: str
    hmac: _Hmac
    names: str
    signed_token: str
    sent_token: str


class Signer:
    """Signs requests to one endpoint; safe under threads, which at worst do the same work twice."""

    def __init__(self, *, region: str, service: str, host: str, path: str) -> None:
        """Sign for that host and path, as they are sent."""
        self._region = region
        self._service = service
        self._before = f"POST\n{path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:"
        self._day: _Day | None = None
        self._second = (-1, "")
        self.clock_offset = 0.0
        """The seconds that AWS's clock is ahead of this machine's."""

    def sign(self, target: str, body: bytes, keys: Keys) -> str:
        """Return the header lines that say when and by whom a request was made, each with its line end.

        Raises:
            CredentialsError: The credentials are no text for a header.
        """
        timestamp = self._timestamp(int(time.time() + self.clock_offset))
        day = self._day
        if day is None or day.date != timestamp[:8] or (day.keys is not keys and day.keys != keys):
            day = self._day = self._new_day(timestamp[:8], keys)
        canonical = (
            f"{self._before}{timestamp}\n{day.signed_token}x-amz-target:{target}\n\n{day.names}\n"
            f"{sha256(body).hexdigest()}"
        )
        to_sign = f"{_ALGORITHM}\n{timestamp}\n{day.scope}\n{sha256(canonical.encode()).hexdigest()}"
        return (
            f"X-Amz-Date: {timestamp}\r\n{day.sent_token}"
            f"Authorization: {_ALGORITHM} Credential={keys.access_key}/{day.scope}, SignedHeaders={day.names}, "
            f"Signature={day.hmac.hexdigest(to_sign.encode())}\r\n"
        )

    def _timestamp(self, second: int) -> str:
        known, text = self._second
        if second != known:
            text = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            self._second = (second, text)
        return text

    def _new_day(self, date: str, keys: Keys) -> _Day:
        if not _HEADER_TEXT.fullmatch(f"{keys.access_key}{keys.token or ''}"):
            raise CredentialsError(BAD_KEYS)
        key = f"AWS4{keys.secret_key}".encode()
        for part in (date, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return _Day(
            date,
            keys,
            scope=f"{date}/{self._region}/{self._service}/aws4_request",
            hmac=_Hmac(key),
            names=f"content-type;host;x-amz-date;{'x-amz-security-token;' if keys.token else ''}x-amz-target",
            signed_token=f"x-amz-security-token:{keys.token}\n" if keys.token else "",
            sent_token=f"X-Amz-Security-Token: {keys.token}\r\n" if keys.token else "",
        )
