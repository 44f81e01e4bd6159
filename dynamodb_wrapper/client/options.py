"""How a document-level client is made: its options, as a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, Unpack, cast

from dynamodb_wrapper.client.async_document_client import AsyncDocumentClient
from dynamodb_wrapper.client.document_client import DocumentClient
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.config.fields import LONGEST_TIMEOUT, ConfigOptions
from dynamodb_wrapper.exceptions import ValidationError

LOCAL_ENDPOINT = "http://localhost:8000"

_SETTINGS = {
    "region": "region_name",
    "max_retries": "retries",
    "max_sockets": "max_pool_connections",
    "request_timeout": "timeout_seconds",
    "connection_timeout": "connect_timeout_seconds",
    "enable_logging": "debug_logging",
}
_MILLISECONDS = frozenset({"request_timeout", "connection_timeout"})
_DEFAULTS: ConfigOptions = {
    "region_name": "us-east-1",
    "retries": 3,
    "max_pool_connections": 50,
    "timeout_seconds": 30.0,
    "connect_timeout_seconds": 5.0,
    "debug_logging": False,
}


class ClientOptions(TypedDict, total=False):
    """The options of `get_dynamodb_client`."""

    region: str | None
    local: bool | None
    local_endpoint: str | None
    max_retries: int | None
    max_sockets: int | None
    request_timeout: float | None
    connection_timeout: float | None
    enable_logging: bool | None


def configuration(options: ClientOptions) -> DynamoDBConfig:
    """Return the configuration of options: each one given holds, then the environment, then the default.

    Raises:
        ValidationError: An option or a variable of the environment is wrong, or an option unknown; names it.
    """
    unknown = options.keys() - ClientOptions.__annotations__.keys()
    if unknown:
        known = ", ".join(ClientOptions.__annotations__)
        raise ValidationError(
            f"the client has no option {', '.join(sorted(unknown))}; it has {known}", dict.fromkeys(unknown, "unknown")
        )
    given = {name: value for name, value in options.items() if value is not None}
    settings = {_SETTINGS[name]: _setting(name, value) for name, value in given.items() if name in _SETTINGS}
    try:
        config = DynamoDBConfig(**cast(ConfigOptions, settings))
        named = config.model_fields_set
        missing = {name: value for name, value in _DEFAULTS.items() if name not in named}
        if _is_local(config, given):
            missing |= _local(config, given.get("local_endpoint"))
        return config.model_copy(update=missing)
    except ValidationError as error:
        raise _by_option(error, given) from error


def _is_local(config: DynamoDBConfig, given: Mapping[str, object]) -> bool:
    local = given.get("local", "environment" in config.model_fields_set and config.environment == "dev")
    if not isinstance(local, bool):
        raise ValidationError(f"local is {local!r}: must be True or False", {"local": "must be True or False"})
    return local


def _local(config: DynamoDBConfig, endpoint: object) -> dict[str, object]:
    """Return the settings of a DynamoDB on this machine that neither option nor environment gave."""
    settings: dict[str, object] = {"endpoint_url": endpoint or config.endpoint_url or LOCAL_ENDPOINT}
    if config.aws_access_key_id is None:  # any will do there, and none of a profile is to be looked for
        settings |= {"aws_access_key_id": "local", "aws_secret_access_key": "local", "profile_name": None}
    return settings


def _setting(option: str, value: object) -> object:
    if option not in _MILLISECONDS:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_TIMEOUT * 1000:
        allowed = f"a number of milliseconds greater than 0 and at most {LONGEST_TIMEOUT * 1000:.0f}"
        raise ValidationError(f"{option} is {value!r}: must be {allowed}", {option: f"{value!r}: must be {allowed}"})
    return value / 1000


def _by_option(error: ValidationError, given: Mapping[str, object]) -> ValidationError:
    """Return the error of settings under the names that the caller knows them by."""
    options = {**_SETTINGS, "local_endpoint": "endpoint_url"}
    names = {setting: option for option, setting in options.items() if option in given}
    errors = {names.get(setting, setting): problem for setting, problem in error.errors.items()}
    if errors.keys() == error.errors.keys():
        return error
    return ValidationError("; ".join(f"{name} {problem}" for name, problem in errors.items()), errors, error)


def _chosen(config: DynamoDBConfig | None, options: ClientOptions) -> DynamoDBConfig:
    if config is not None and options:
        raise ValidationError(
            f"config= says everything: leave out {', '.join(options)}", dict.fromkeys(options, "given beside config")
        )
    return configuration(options) if config is None else config


def get_dynamodb_client(*, config: DynamoDBConfig | None = None, **options: Unpack[ClientOptions]) -> DocumentClient:
    """Return a client for plain dicts, on the connection pool that its configuration shares with repositories.

    An option that is given holds; one that is left out, or None, comes from the environment, then from its default.

    Args:
        config: A whole configuration instead of options: ``DynamoDBConfig.embedded()``, or that of repositories, whose
            pool the client then shares.
        **options: ``region``: default ``"us-east-1"``; ``AWS_REGION``, else ``AWS_DEFAULT_REGION``.
            ``local``: whether DynamoDB is on this machine; by default, whether ``DYNAMODB_ENVIRONMENT``, else
            ``ENVIRONMENT``, says development. Where the environment has no credentials, "local" is used for them.
            ``local_endpoint``: where it is then, default ``"http://localhost:8000"``; ``DYNAMODB_ENDPOINT_URL``, else
            ``DYNAMODB_LOCAL_ENDPOINT``, else ``AWS_ENDPOINT_URL_DYNAMODB``, which hold without ``local`` as well.
            ``max_retries``: after the first attempt, default 3; ``DYNAMODB_MAX_RETRIES``.
            ``max_sockets``: connections kept open, default 50; ``DYNAMODB_MAX_SOCKETS``.
            ``request_timeout``: milliseconds to wait for an answer, default 30,000; ``DYNAMODB_REQUEST_TIMEOUT``.
            ``connection_timeout``: milliseconds to wait for a connection, default 5,000;
            ``DYNAMODB_CONNECTION_TIMEOUT``.
            ``enable_logging``: whether each request is logged, with its duration and capacity, default False;
            ``DYNAMODB_DEBUG_LOGGING``, else ``DYNAMODB_ENABLE_LOGGING``.

    Raises:
        ValidationError: An option is unknown or wrong, or ``config`` comes with other options.
    """
    return DocumentClient(_chosen(config, options))


def get_async_dynamodb_client(
    *, config: DynamoDBConfig | None = None, **options: Unpack[ClientOptions]
) -> AsyncDocumentClient:
    """Return a client for plain dicts, on the connection pool that its configuration shares with repositories.

    An option that is given holds; one that is left out, or None, comes from the environment, then from its default.

    Args:
        config: A whole configuration instead of options: ``DynamoDBConfig.embedded()``, or that of repositories, whose
            pool the client then shares.
        **options: ``region``: default ``"us-east-1"``; ``AWS_REGION``, else ``AWS_DEFAULT_REGION``.
            ``local``: whether DynamoDB is on this machine; by default, whether ``DYNAMODB_ENVIRONMENT``, else
            ``ENVIRONMENT``, says development. Where the environment has no credentials, "local" is used for them.
            ``local_endpoint``: where it is then, default ``"http://localhost:8000"``; ``DYNAMODB_ENDPOINT_URL``, else
            ``DYNAMODB_LOCAL_ENDPOINT``, else ``AWS_ENDPOINT_URL_DYNAMODB``, which hold without ``local`` as well.
            ``max_retries``: after the first attempt, default 3; ``DYNAMODB_MAX_RETRIES``.
            ``max_sockets``: connections kept open, default 50; ``DYNAMODB_MAX_SOCKETS``.
            ``request_timeout``: milliseconds to wait for an answer, default 30,000; ``DYNAMODB_REQUEST_TIMEOUT``.
            ``connection_timeout``: milliseconds to wait for a connection, default 5,000;
            ``DYNAMODB_CONNECTION_TIMEOUT``.
            ``enable_logging``: whether each request is logged, with its duration and capacity, default False;
            ``DYNAMODB_DEBUG_LOGGING``, else ``DYNAMODB_ENABLE_LOGGING``.

    Raises:
        ValidationError: An option is unknown or wrong, or ``config`` comes with other options.
    """
    return AsyncDocumentClient(_chosen(config, options))
