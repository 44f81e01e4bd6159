"""Signatures, against botocore's."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from dynamodb_wrapper.exceptions import CredentialsError
from dynamodb_wrapper.transport.http import request, request_head
from dynamodb_wrapper.transport.signing import Signer

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp()
TARGET = "DynamoDB_20120810.GetItem"


def signer(host: str = "localhost:8000", path: str = "/") -> Signer:
    return Signer(region="eu-west-1", service="dynamodb", host=host, path=path)


def headers_of(lines: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in lines.split("\r\n") if line)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [NOON]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@given(
    secret=st.text(min_size=1, max_size=60),
    key=printable,
    token=st.none() | printable,
    body=st.binary(max_size=200),
    second=st.integers(0, 4_000_000_000),
    host=st.sampled_from(["localhost:8000", "dynamodb.eu-west-1.amazonaws.com", "[::1]:8000", "a:443"]),
    path=st.sampled_from(["/", "/db", "/a/b_c~d-e.f/"]),
)
def test_signatures_are_botocores(
    secret: str, key: str, token: str | None, body: bytes, second: int, host: str, path: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: float(second))
        ours = signer(host, path).sign(TARGET, body, ReadOnlyCredentials(key, secret, token))
        # The headers that go over the wire, as they go, are what botocore is given to sign.
        raw = request(request_head(path, host, TARGET, "dynamodb-wrapper"), ours, body).split(b"\r\n\r\n", 1)[0]
    sent = headers_of(raw.decode().split("\r\n", 1)[1])
    authorization = sent.pop("Authorization")
    for unsigned in ("User-Agent", "Accept-Encoding", "Content-Length"):
        sent.pop(unsigned)
    theirs: Any = AWSRequest("POST", f"http://{host}{path}", headers=sent, data=body)
    theirs.context["timestamp"] = f"{datetime.fromtimestamp(second, UTC):%Y%m%dT%H%M%SZ}"
    botocores: Any = SigV4Auth(Credentials(key, secret, token), "dynamodb", "eu-west-1")
    names = botocores.signed_headers(botocores.headers_to_sign(theirs))
    signature = botocores.signature(botocores.string_to_sign(theirs, botocores.canonical_request(theirs)), theirs)
    assert sent["X-Amz-Date"] == theirs.context["timestamp"]
    assert sent.get("X-Amz-Security-Token") == token
    assert authorization == (
        f"AWS4-HMAC-SHA256 Credential={botocores.scope(theirs)}, SignedHeaders={names}, Signature={signature}"
    )


def test_one_signer_follows_the_day_the_second_and_the_credentials(clock: list[float]) -> None:
    old, new = signer(), ReadOnlyCredentials("K2", "S2", None)
    kept: list[str] = []
    for moment, keys in [
        (NOON, ReadOnlyCredentials("K1", "S1", None)),
        (NOON + 1, ReadOnlyCredentials("K1", "S1", None)),
        (NOON + 1, ReadOnlyCredentials("K1", "S1", "T1")),
        (NOON + 1, ReadOnlyCredentials("K1", "S2", "T1")),
        (NOON + 1, new),
        (NOON + 86_400, new),
        (NOON, ReadOnlyCredentials("K1", "S1", None)),
    ]:
        clock[0] = moment
        kept.append(old.sign(TARGET, b"{}", keys))
        assert kept[-1] == signer().sign(TARGET, b"{}", keys)
    assert len(set(kept)) == 6
    assert kept[0] == kept[6]


def test_the_clock_can_be_set(clock: list[float]) -> None:
    late, right = signer(), signer()
    keys = ReadOnlyCredentials("K", "S", None)
    expected = right.sign(TARGET, b"{}", keys)
    clock[0] -= 1000
    assert late.sign(TARGET, b"{}", keys) != expected
    late.clock_offset = 1000
    assert late.sign(TARGET, b"{}", keys) == expected


@pytest.mark.parametrize("field", ["access_key", "token"])
@pytest.mark.parametrize("text", ["a\r\nHost: evil", "a b", "ä"])
def test_what_cannot_be_a_header_is_refused(field: str, text: str) -> None:
    keys = ReadOnlyCredentials("K", "S", None)._replace(**{field: text})
    with pytest.raises(CredentialsError, match="characters that no key has"):
        signer().sign(TARGET, b"{}", keys)


def test_nothing_secret_in_repr() -> None:
    made = signer()
    made.sign(TARGET, b"{}", ReadOnlyCredentials("K", "TOPSECRET", "TOKEN"))
    assert not re.search("TOPSECRET|TOKEN", repr(made) + repr(made._day))
