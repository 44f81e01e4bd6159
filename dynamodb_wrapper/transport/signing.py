"""Signature Version 4, as far as DynamoDB needs it: a POST without a query, its whole body signed.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from dynamodb_wrapper.exceptions import CredentialsError
from dynamodb_wrapper.transport.failures import BAD_KEYS
from dynamodb_wrapper.transport.http import CONTENT_TYPE

_ALGORITHM = "AWS4-HMAC-SHA256"
_HEADER_TEXT = re.compile(r"[!-~]*")


class Keys(Protocol):
    """Credentials at one moment, such as botocore's frozen ones; equal ones are the same ones."""

    @property
    def access_key(self) -> str: ...  # noqa: D102
    @property
    def secret_key(self) -> str: ...  # noqa: D102
    @property
    def token(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, repr=False)
class _Day:
    """What is the same for all requests of one day with the same credentials."""

    date: str
    keys: Keys
    scope: str
    signing_key: bytes


class Signer:
    """Signs requests to one endpoint; safe under threads, which at worst do the same work twice."""

    def __init__(self, *, region: str, service: str, host: str, path: str) -> None:
        """Sign for that host and path, as they are sent."""
        self._region = region
        self._service = service
        self._host = host
        self._path = path
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
        if day is None or day.date != timestamp[:8] or day.keys != keys:
            day = self._day = self._new_day(timestamp[:8], keys)
        names, signed_token, sent_token = "content-type;host;x-amz-date;x-amz-target", "", ""
        if keys.token:
            names = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
            signed_token = f"x-amz-security-token:{keys.token}\n"
            sent_token = f"X-Amz-Security-Token: {keys.token}\r\n"
        canonical = (
            f"POST\n{self._path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{self._host}\nx-amz-date:{timestamp}\n"
            f"{signed_token}x-amz-target:{target}\n\n{names}\n{sha256(body).hexdigest()}"
        )
        to_sign = f"{_ALGORITHM}\n{timestamp}\n{day.scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(day.signing_key, to_sign.encode(), "sha256").hex()
        return (
            f"X-Amz-Date: {timestamp}\r\n{sent_token}"
            f"Authorization: {_ALGORITHM} Credential={keys.access_key}/{day.scope}, SignedHeaders={names}, "
            f"Signature={signature}\r\n"
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
        return _Day(date, keys, f"{date}/{self._region}/{self._service}/aws4_request", key)
