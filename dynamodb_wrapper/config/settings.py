"""`DynamoDBConfig`: everything this library lets you decide, in one immutable value."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Self, Unpack, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_serializer, field_validator
from pydantic import ValidationError as PydanticValidationError

from dynamodb_wrapper.config import fields
from dynamodb_wrapper.config.failures import IncompleteCredentialsError, settings_error
from dynamodb_wrapper.config.fields import ConfigOptions
from dynamodb_wrapper.config.sources import (
    CREDENTIALS,
    IDENTITY,
    Found,
    arrange,
    left_for_environment,
    read_environment,
    spark_settings,
)
from dynamodb_wrapper.exceptions import ValidationError

_log = logging.getLogger("dynamodb_wrapper.config")

_DEFAULT_RETRIES = 3
_SOURCES = frozenset(("_env_file", "_env_file_encoding"))
_NOTHING: Mapping[str, object] = MappingProxyType({})


class DynamoDBConfig(BaseModel):
    """Which DynamoDB to talk to, as whom, how patiently, and how tables and times are named.

    Immutable, hashable and picklable: equal configurations share one connection pool. A keyword holds; what is left
    out comes from the environment, then from the defaults below. A keyword given as None is given. Environment
    variables that are empty count as unset; a ``.env`` file is read only with ``_env_file=".env"`` (a missing one
    counts as empty, and the process's environment is stronger than the file).

    Key, secret, token and profile come from one source together: with any of them as a keyword, the environment's are
    not looked at. With none at all, the AWS chain decides (profile, SSO, container or instance role). Where both a
    key and a profile are set, the key signs, and the profile only gives what else is missing, as in boto3.

    Secrets are in no ``repr``, log line, error or JSON dump. Pickles hold them, so that Spark can ship a
    configuration to its executors.

    Args:
        aws_access_key_id: Static credentials, with ``aws_secret_access_key``. ``AWS_ACCESS_KEY_ID``.
        aws_secret_access_key: ``AWS_SECRET_ACCESS_KEY``.
        aws_session_token: Of temporary credentials, with the other two. ``AWS_SESSION_TOKEN``.
        profile_name: A profile of the AWS configuration files. ``AWS_PROFILE``.
        region_name: ``AWS_REGION``, else ``AWS_DEFAULT_REGION``. None leaves it to the profile.
        endpoint_url: ``http://``, ``https://`` or ``embedded://name``; None for AWS. ``DYNAMODB_ENDPOINT_URL``, else
            ``DYNAMODB_LOCAL_ENDPOINT``, else ``AWS_ENDPOINT_URL_DYNAMODB``.
        table_prefix: Put before every table name, with an underscore. ``DYNAMODB_TABLE_PREFIX``.
        environment: ``dev`` (default), ``staging`` or ``prod``; development, stage, production and the like are
            understood. ``DYNAMODB_ENVIRONMENT``, else ``ENVIRONMENT``.
        max_pool_connections: Connections kept open, default 50. ``DYNAMODB_MAX_SOCKETS``.
        retries: Retries after the first attempt, default 3, or botocore's mapping. ``DYNAMODB_MAX_RETRIES``.
        timeout_seconds: To wait for an answer, default 10: DynamoDB gives up on a node of its own after 5 seconds, so
            botocore's 60 only delays the retry. ``DYNAMODB_REQUEST_TIMEOUT``, in milliseconds.
        connect_timeout_seconds: To wait for a connection, default 5. ``DYNAMODB_CONNECTION_TIMEOUT``, in milliseconds.
        deadline_seconds: For one call of a repository, its retries and their delays included; None (default) for no
            limit but those above and ``retries``. ``DYNAMODB_DEADLINE``, in milliseconds.
        transport: ``auto`` (default) sends requests on items over connections of its own, except where somebody relies
            on botocore (see the architecture); so does ``direct``, which logs a warning where it cannot. ``botocore``
            goes through botocore's client. ``DYNAMODB_TRANSPORT``.
        cursor_secret: Signs page cursors, so that a forged one is refused; the same in every process that reads them.
        default_timezone: What naive datetimes are in, default ``"UTC"``. ``DYNAMODB_TIMEZONE``.
        user_timezone: What datetimes are shown in; None for UTC. ``DYNAMODB_USER_TIMEZONE``.
        store_timestamps_in_utc: Whether datetimes are stored as UTC, default True.
        debug_logging: Whether requests are logged, default False. ``DYNAMODB_DEBUG_LOGGING``, else
            ``DYNAMODB_ENABLE_LOGGING``.
        report_capacity: Whether every request asks for the capacity it consumed, so that pages have it, default False.
            It is asked for anyway while requests are logged or observed. ``DYNAMODB_REPORT_CAPACITY``.

    Raises:
        ValidationError: If a keyword is unknown, a value is wrong (``errors`` has each by field: the value, the
            variable it came from and what is allowed), or credentials are incomplete.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    aws_access_key_id: fields.KeyId | None = Field(default=None, repr=False)
    aws_secret_access_key: fields.Secret | None = None
    aws_session_token: fields.Secret | None = None
    profile_name: fields.Name | None = None
    region_name: fields.Region | None = None
    endpoint_url: fields.Endpoint | None = None
    table_prefix: fields.TablePrefix = ""
    environment: fields.Environment = "dev"
    max_pool_connections: fields.PoolSize = 50
    retries: fields.Retries = _DEFAULT_RETRIES
    timeout_seconds: fields.Seconds = 10.0
    connect_timeout_seconds: fields.Seconds = 5.0
    deadline_seconds: fields.Seconds | None = None
    transport: Literal["auto", "direct", "botocore"] = "auto"
    cursor_secret: fields.Secret | None = None
    default_timezone: fields.Timezone = "UTC"
    user_timezone: fields.Timezone | None = None
    store_timestamps_in_utc: bool = True
    debug_logging: bool = False
    report_capacity: bool = False

    def __init__(self, **options: Unpack[ConfigOptions]) -> None:
        values = _concealed(options)
        found = left_for_environment(values, _environment_for(type(self), values))
        values = {name: value for name, value in values.items() if name not in _SOURCES}
        failure: ValidationError | None = None
        try:
            super().__init__(**{name: variable.value for name, variable in found.items()}, **values)
        except PydanticValidationError as error:
            failure = settings_error(error, found, type(self).model_fields)
        # Raised out here so that Pydantic's error, whose inputs may be secrets, is not even its __context__.
        if failure is not None:
            raise failure

    @field_validator("aws_secret_access_key", "aws_session_token", mode="after")
    @classmethod
    def _credentials_are_whole(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        pair = [info.data.get(name) is not None for name in CREDENTIALS[:2] if name in info.data]
        if info.field_name == "aws_session_token":
            incomplete = value is not None and len(pair) == 2 and not any(pair)
        else:
            incomplete = len(pair) == 1 and pair[0] != (value is not None)
        if incomplete:
            raise IncompleteCredentialsError(_incomplete(info.field_name, given=value is not None))
        return value

    @field_serializer("aws_access_key_id", when_used="json-unless-none")
    def _mask_key_id(self, _: str) -> str:
        return fields.MASK

    @property
    def max_attempts(self) -> int:
        """How many times a request is sent at most, the first one included: ``retries=3`` gives 4."""
        return fields.total_attempts(self.retries, _DEFAULT_RETRIES)

    @property
    def is_embedded(self) -> bool:
        """Whether DynamoDB is a server inside this process (see `embedded`)."""
        return self.endpoint_url is not None and self.endpoint_url.lower().startswith("embedded://")

    def get_table_name(self, base_name: str) -> str:
        """Return the physical name of a table: ``[prefix_][environment_, unless prod]base_name``.

        An ARN is returned as it is: it names one table already.

        Raises:
            ValidationError: If the base name is empty or not text.
        """
        if not _is_text(base_name, r"(?s).*\S.*"):
            raise ValidationError(
                f"table name is {base_name!r}: must be text that is not empty",
                {"base_name": f"is {base_name!r}: must be text that is not empty"},
            )
        if base_name.startswith("arn:"):
            return base_name
        environment = "" if self.environment == "prod" else self.environment
        return "_".join(part for part in (self.table_prefix, environment, base_name) if part)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some settings changed; unlike Pydantic's own, checked, and credentials changed as a whole.

        The environment is not read again.

        Args:
            update: The settings to change, by name. With any of key, secret and token, the other two are dropped.
            deep: As in Pydantic.

        Raises:
            ValidationError: As for the constructor.
        """
        if not update:
            return super().model_copy(deep=deep)
        values: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        if any(name in update for name in CREDENTIALS):
            values.update(dict.fromkeys(CREDENTIALS))
        copied = type(self)(**{**values, **update})
        # As Pydantic counts it: what was set before, and what is now; not everything that was handed over.
        copied.__pydantic_fields_set__.intersection_update(self.model_fields_set | set(update))
        return copied

    @classmethod
    def from_env(cls, **overrides: Unpack[ConfigOptions]) -> Self:
        """Return the configuration of the environment.

        In every factory a variable that is set is stronger than the keyword of the same setting (which is logged, by
        name only), and a keyword is stronger than the factory's default.

        Args:
            **overrides: Settings for what the environment leaves open, and ``_env_file``.

        Raises:
            ValidationError: As for the constructor.
        """
        return cls._assembled("from_env", overrides)

    @classmethod
    def for_local_development(cls, **overrides: Unpack[ConfigOptions]) -> Self:
        """Return a configuration for a DynamoDB on this machine.

        By default at ``http://localhost:8000`` with credentials ``"local"`` in ``us-east-1``. Credentials in the
        environment or keywords replace the pair; ``AWS_PROFILE`` does not.

        Args:
            **overrides: As in `from_env`.

        Raises:
            ValidationError: As for the constructor.
        """
        defaults: dict[str, object] = {
            "endpoint_url": "http://localhost:8000",
            "region_name": "us-east-1",
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }
        return cls._assembled("for_local_development", overrides, defaults)

    @classmethod
    def for_pyspark(cls, spark_conf: object = None, **overrides: Unpack[ConfigOptions]) -> Self:
        """Return a configuration for Spark jobs: 100 connections, 60 s for an answer, 10 s to connect, 10 retries.

        Many tasks share one process and one table, so throttling is normal and patience pays.

        Args:
            spark_conf: A ``SparkConf``, ``SparkSession`` or mapping whose ``spark.hadoop.fs.s3a.`` properties
                ``access.key``, ``secret.key``, ``session.token``, ``endpoint.region`` and ``endpoint`` are stronger
                than the defaults and weaker than keywords. An S3 endpoint of AWS itself is not taken for DynamoDB's.
            **overrides: As in `from_env`.

        Raises:
            ValidationError: As for the constructor, or if ``spark_conf`` is none of these.
        """
        defaults: dict[str, object] = {
            "max_pool_connections": 100,
            "timeout_seconds": 60.0,
            "connect_timeout_seconds": 10.0,
            "retries": 10,
        }
        return cls._assembled("for_pyspark", overrides, {**defaults, **spark_settings(spark_conf)})

    @classmethod
    def with_timezone(cls, timezone: str, **overrides: Unpack[ConfigOptions]) -> Self:
        """Return the environment's configuration with one zone: naive datetimes are in it, and all are shown in it.

        Args:
            timezone: An IANA name; stronger than environment and keywords.
            **overrides: As in `from_env`.

        Raises:
            ValidationError: As for the constructor.
        """
        fixed = {"default_timezone": timezone, "user_timezone": timezone}
        return cls._assembled("with_timezone", overrides, fixed=fixed)

    @classmethod
    def embedded(cls, name: str | None = None, **overrides: Unpack[ConfigOptions]) -> Self:
        """Return a configuration for a DynamoDB inside this process: no account, no Java, no Docker.

        Endpoint, credentials and profile of the environment are ignored; the other settings are as in `from_env`, the
        region by default ``us-east-1``.

        Args:
            name: Which server: the same name is the same data. None for a new, empty one.
            **overrides: As in `from_env`; an endpoint is ignored, and logged.

        Raises:
            ValidationError: As for the constructor, or if the name has more than letters, digits, '_', '.' and '-'.
        """
        if name is not None and not _is_text(name, r"[A-Za-z0-9_.-]+"):
            allowed = "must be letters, digits, '_', '.' and '-'"
            raise ValidationError(f"name is {name!r}: {allowed}", {"name": f"is {name!r}: {allowed}"})
        defaults: dict[str, object] = {
            "region_name": "us-east-1",
            "aws_access_key_id": "embedded",
            "aws_secret_access_key": "embedded",
        }
        fixed = {"endpoint_url": f"embedded://{name or secrets.token_hex(8)}"}
        return cls._assembled("embedded", overrides, defaults, fixed, ignored=IDENTITY)

    @classmethod
    def _assembled(
        cls,
        factory: str,
        keywords: ConfigOptions,
        defaults: Mapping[str, object] = _NOTHING,
        fixed: Mapping[str, object] = _NOTHING,
        *,
        ignored: Iterable[str] = (),
    ) -> Self:
        """Return the configuration of a factory: fixed settings, environment, keywords, defaults, in that order.

        Args:
            factory: Its name, for the log.
            keywords: The caller's settings.
            defaults: The factory's.
            fixed: Those the factory is named for.
            ignored: Settings for which the environment is not asked.
        """
        given = _concealed(keywords)
        found = _environment_for(cls, given)
        for name in (*ignored, *fixed):
            found.pop(name, None)
        values, dropped = arrange(found, given, defaults, fixed)
        # Given as None, so that the constructor does not ask the environment for them either.
        values = {**dict.fromkeys(ignored), **values}
        config = cls(**cast(ConfigOptions, values))
        for name, decider in dropped.items():
            if _plain(getattr(config, name)) != _plain(given[name]):
                _log.warning("%s(): the keyword %s is overridden by %s", factory, name, decider or "the factory itself")
        return config


def _concealed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with plain secrets wrapped, so that nothing on the way can show them."""
    return {
        name: SecretStr(value) if name in fields.SECRET_FIELDS and isinstance(value, str) else value
        for name, value in options.items()
    }


def _environment_for(cls: type[BaseModel], options: Mapping[str, Any]) -> dict[str, Found]:
    config = cast("Mapping[str, Any]", cls.model_config)  # where subclasses may name files, as with pydantic-settings
    return read_environment(
        options.get("_env_file", config.get("env_file")),
        options.get("_env_file_encoding") or config.get("env_file_encoding"),
    )


def _incomplete(field: str | None, *, given: bool) -> str:
    if field == "aws_session_token":
        return "is set without its key and secret: the three come from one source together"
    if given:
        return "is set without aws_access_key_id: key and secret come from one source together"
    return "is missing: aws_access_key_id is set, and key and secret come from one source together"


def _is_text(value: object, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
