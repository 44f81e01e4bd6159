"""The types of the settings: what each one accepts and turns it into, and the keywords as a consumer types them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, SecretStr, WithJsonSchema

from dynamodb_wrapper.utils import validate_timezone_string

MASK = "**********"
"""What is shown instead of a secret: what Pydantic's `SecretStr` shows."""

SECRET_FIELDS = frozenset({"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "cursor_secret"})
"""The settings whose values are never shown (the key id is half of a pair, and names the account)."""

LONGEST_TIMEOUT = 3600.0
"""Seconds. No request to DynamoDB takes an hour; a larger number is one meant in milliseconds."""

_ENVIRONMENTS: dict[str, Literal["dev", "staging", "prod"]] = {
    "dev": "dev", "develop": "dev", "development": "dev", "local": "dev", "test": "dev", "testing": "dev",
    "stage": "staging", "staging": "staging", "stg": "staging",
    "live": "prod", "prod": "prod", "production": "prod",
}  # fmt: skip

ALLOWED: dict[str, str] = {
    "aws_access_key_id": "text that is not empty",
    "aws_secret_access_key": "text that is not empty",
    "aws_session_token": "text that is not empty",
    "profile_name": "the name of a profile in the AWS configuration files",
    "region_name": 'the name of an AWS region, such as "eu-west-1"',
    "endpoint_url": "http://host[:port], https://host[:port] or embedded://name, without user name and password",
    "table_prefix": "text of the characters DynamoDB allows in table names: letters, digits, '_', '.' and '-'",
    "environment": "dev, staging or prod (or a name for one of them: " + ", ".join(sorted(_ENVIRONMENTS)) + ")",
    "max_pool_connections": "a whole number, 1 or more",
    "retries": (
        "a number of retries, 0 or more, or botocore's mapping of max_attempts (retries, 0 or more), "
        "total_max_attempts (1 or more) and mode (legacy, standard or adaptive)"
    ),
    "timeout_seconds": f"a number of seconds greater than 0 and at most {LONGEST_TIMEOUT:.0f}",
    "connect_timeout_seconds": f"a number of seconds greater than 0 and at most {LONGEST_TIMEOUT:.0f}",
    "deadline_seconds": f"a number of seconds greater than 0 and at most {LONGEST_TIMEOUT:.0f}, or None",
    "transport": "auto, direct or botocore",
    "cursor_secret": "text that is not empty",
    "default_timezone": 'an IANA time zone name such as "Europe/London" or "UTC"',
    "user_timezone": 'an IANA time zone name such as "Europe/London" or "UTC", or None',
    "store_timestamps_in_utc": "true or false",
    "debug_logging": "true or false",
    "report_capacity": "true or false",
}
"""What each setting may be, by field name; the second half of every error message."""


class RetryOptions(Mapping[str, int | str]):
    """botocore's ``retries`` mapping, immutable and hashable; equal to the dict it was made from.

    Args:
        options: ``max_attempts`` (retries after the first attempt, 0 or more), ``total_max_attempts`` (attempts with
            the first, 1 or more; wins over ``max_attempts``) and ``mode`` (``legacy``, ``standard``, ``adaptive``).

    Raises:
        ValueError: If a key or value is not one of these.
    """

    __slots__ = ("_options",)

    def __init__(self, options: Mapping[str, object]) -> None:
        checked: dict[str, int | str] = {}
        for name, value in options.items():
            if name in ("max_attempts", "total_max_attempts"):
                checked[name] = _whole_number(value, at_least=1 if name == "total_max_attempts" else 0)
            elif name == "mode" and isinstance(value, str) and value in ("legacy", "standard", "adaptive"):
                checked[name] = value
            else:
                raise ValueError(f"{name!r} is not an option of retries, or has a wrong value")
        self._options = checked

    def __getitem__(self, name: str) -> int | str:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __hash__(self) -> int:
        return hash(frozenset(self._options.items()))

    def __repr__(self) -> str:
        return repr(self._options)


def total_attempts(retries: int | RetryOptions, default_retries: int) -> int:
    """Return how many times a request is sent at most, the first one included.

    Args:
        retries: The setting; of its mapping form ``total_max_attempts`` wins over ``max_attempts``, as in botocore.
        default_retries: The retries of a mapping that names neither.
    """
    if isinstance(retries, int):
        return retries + 1
    if "total_max_attempts" in retries:
        return int(retries["total_max_attempts"])
    return int(retries.get("max_attempts", default_retries)) + 1


def _whole_number(value: object, *, at_least: int) -> int:
    if isinstance(value, str):
        value = int(value)
    # bool is an int to Python, but True as a count is a mistake.
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ValueError(f"must be a whole number, {at_least} or more")
    return value


def _retries(value: object) -> int | RetryOptions:
    return RetryOptions(value) if isinstance(value, Mapping) else _whole_number(value, at_least=0)


def _plain_retries(value: int | RetryOptions) -> int | dict[str, int | str]:
    return value if isinstance(value, int) else dict(value)


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _revealed(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _environment(value: object) -> str:
    known = _ENVIRONMENTS.get(value.strip().lower()) if isinstance(value, str) else None
    if known is None:
        raise ValueError("is not an environment")
    return known


def _prefix(value: object) -> object:
    return "" if value is None else value


def _timezone(value: str) -> str:
    if not validate_timezone_string(value):
        raise ValueError("is not a time zone")
    return value


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    # urlsplit() drops line breaks and keeps spaces without a word; reading .port raises ValueError when it is no port.
    spaced = re.search(r"[\s\x00-\x1f]", value) is not None
    if spaced or parts.scheme not in ("http", "https", "embedded") or not parts.hostname or parts.port == 0:
        raise ValueError("is not an endpoint")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password, which would be shown in logs")
    return value


KeyId = Annotated[str, BeforeValidator(_revealed), Field(min_length=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Name = Annotated[str, Field(min_length=1)]
# A region becomes part of a host name, so it must be one label of it; which ones exist is AWS's to say.
Region = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$")]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
TablePrefix = Annotated[str, BeforeValidator(_prefix), Field(pattern=r"^[A-Za-z0-9_.-]*$")]
Environment = Annotated[Literal["dev", "staging", "prod"], BeforeValidator(_environment)]
PoolSize = Annotated[int, BeforeValidator(_not_bool), Field(ge=1)]
Retries = Annotated[
    int | RetryOptions,
    PlainValidator(_retries),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "object"}]}),
    PlainSerializer(_plain_retries),
]
Seconds = Annotated[float, BeforeValidator(_not_bool), Field(gt=0, le=LONGEST_TIMEOUT, allow_inf_nan=False)]
Timezone = Annotated[str, AfterValidator(_timezone)]

EnvFile = str | Path | Sequence[str | Path] | None
"""One ``.env`` file or several, the last one winning; None for none."""


class ConfigOptions(TypedDict, total=False):
    """The keywords of `DynamoDBConfig` and its factories, as values that are accepted for them."""

    aws_access_key_id: str | SecretStr | None
    aws_secret_access_key: str | SecretStr | None
    aws_session_token: str | SecretStr | None
    profile_name: str | None
    region_name: str | None
    endpoint_url: str | None
    table_prefix: str | None
    environment: str
    max_pool_connections: int
    retries: int | Mapping[str, Any]
    timeout_seconds: float
    connect_timeout_seconds: float
    deadline_seconds: float | None
    transport: Literal["auto", "direct", "botocore"]
    cursor_secret: str | SecretStr | None
    default_timezone: str
    user_timezone: str | None
    store_timestamps_in_utc: bool
    debug_logging: bool
    report_capacity: bool
    _env_file: EnvFile
    _env_file_encoding: str | None
