"""Where settings come from besides the caller, and who wins.

Every setting but the credentials is decided on its own. The *identity* - key, secret, token and profile - is decided
as a whole: the strongest source that has any of it gives all of it, because a key of one source with the token of
another is refused by AWS at best, and another account at worst.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from dynamodb_wrapper.config.fields import SECRET_FIELDS, EnvFile
from dynamodb_wrapper.exceptions import ValidationError

VARIABLES: dict[str, tuple[str, ...]] = {
    "aws_access_key_id": ("AWS_ACCESS_KEY_ID",),
    "aws_secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "aws_session_token": ("AWS_SESSION_TOKEN",),
    "profile_name": ("AWS_PROFILE",),
    "region_name": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint_url": ("DYNAMODB_ENDPOINT_URL", "DYNAMODB_LOCAL_ENDPOINT", "AWS_ENDPOINT_URL_DYNAMODB"),
    "table_prefix": ("DYNAMODB_TABLE_PREFIX",),
    "environment": ("DYNAMODB_ENVIRONMENT", "ENVIRONMENT"),
    "max_pool_connections": ("DYNAMODB_MAX_SOCKETS",),
    "retries": ("DYNAMODB_MAX_RETRIES",),
    "timeout_seconds": ("DYNAMODB_REQUEST_TIMEOUT",),
    "connect_timeout_seconds": ("DYNAMODB_CONNECTION_TIMEOUT",),
    "deadline_seconds": ("DYNAMODB_DEADLINE",),
    "transport": ("DYNAMODB_TRANSPORT",),
    "default_timezone": ("DYNAMODB_TIMEZONE",),
    "user_timezone": ("DYNAMODB_USER_TIMEZONE",),
    "debug_logging": ("DYNAMODB_DEBUG_LOGGING", "DYNAMODB_ENABLE_LOGGING"),
    "report_capacity": ("DYNAMODB_REPORT_CAPACITY",),
}
"""The environment variables of each setting, strongest first."""

MILLISECONDS = frozenset({"timeout_seconds", "connect_timeout_seconds", "deadline_seconds"})
"""The settings whose variables are in milliseconds, though the settings are in seconds."""

CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
IDENTITY = (*CREDENTIALS, "profile_name")

_SPARK_CREDENTIALS = {
    "aws_access_key_id": "spark.hadoop.fs.s3a.access.key",
    "aws_secret_access_key": "spark.hadoop.fs.s3a.secret.key",
    "aws_session_token": "spark.hadoop.fs.s3a.session.token",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A setting found in the environment: the variable, its text, and the value in the setting's unit."""

    variable: str
    text: str
    value: object

    def __repr__(self) -> str:
        # The text may be a secret, and this ends up in tracebacks that show locals.
        return f"Found({self.variable})"


def read_environment(env_file: EnvFile, encoding: str | None) -> dict[str, Found]:
    """Return what the process's environment, and below it ``.env`` files, say about the settings.

    Args:
        env_file: The file or files to read; None for none. A file that does not exist counts as empty.
        encoding: The encoding of the files; None for UTF-8.
    """
    files: Mapping[str, str | None] = {}
    if env_file is not None:
        from pydantic_settings import BaseSettings, DotEnvSettingsSource  # as long to load as half of Pydantic

        files = DotEnvSettingsSource(
            BaseSettings, env_file=env_file, env_file_encoding=encoding, case_sensitive=True
        ).env_vars
    return overlay(_found_in(os.environ), _found_in(files))


def overlay(strong: dict[str, Found], weak: dict[str, Found]) -> dict[str, Found]:
    """Return two sources as one: each setting from the stronger that has it, the identity from one of them."""
    hidden = IDENTITY if any(name in strong for name in IDENTITY) else ()
    return {**{name: found for name, found in weak.items() if name not in hidden}, **strong}


def left_for_environment(given: Mapping[str, object], found: Mapping[str, Found]) -> dict[str, Found]:
    """Return what the environment decides when the caller gave some settings.

    Args:
        given: The caller's settings by field name; one given as None is given.
        found: What the environment says.
    """
    taken = set(given)
    if any(name in given for name in CREDENTIALS):
        taken.update(CREDENTIALS)
    if any(given.get(name) is not None for name in IDENTITY):
        taken.update(IDENTITY)
    return {name: variable for name, variable in found.items() if name not in taken}


def arrange(
    found: Mapping[str, Found],
    keywords: Mapping[str, object],
    defaults: Mapping[str, object],
    fixed: Mapping[str, object],
) -> tuple[dict[str, object], dict[str, str | None]]:
    """Return what a factory passes to the constructor, and which keywords it drops.

    The order is: fixed settings, environment, keywords, defaults. Of the environment nothing is passed on: the
    constructor reads it for what is left out here.

    Args:
        found: What the environment says.
        keywords: The caller's settings.
        defaults: The factory's.
        fixed: The settings the factory is named for.

    Returns:
        The settings by field name, and for each dropped keyword the variable that overrides it (None: the factory).
    """
    deciders: dict[str, str | None] = {name: variable.variable for name, variable in found.items()}
    key = found.get("aws_access_key_id") or found.get("aws_secret_access_key")
    if key is not None:
        deciders = {**dict.fromkeys(IDENTITY, key.variable), **deciders}
    elif any(name in keywords or name in defaults for name in CREDENTIALS):
        # A profile is the weakest identity, as in botocore: AWS_PROFILE does not replace a key.
        deciders.pop("profile_name", None)
    deciders.update(dict.fromkeys(fixed))
    kept = {name: value for name, value in keywords.items() if name not in deciders}
    hidden = IDENTITY if any(name in kept for name in IDENTITY) else ()
    values = {name: value for name, value in defaults.items() if name not in deciders and name not in hidden}
    dropped = {name: deciders[name] for name in keywords if name in deciders}
    return {**values, **kept, **fixed}, dropped


def _found_in(variables: Mapping[str, str | None]) -> dict[str, Found]:
    found = {}
    for field, names in VARIABLES.items():
        for name in names:
            text = variables.get(name) or ""
            # A secret is taken to the letter; around anything else, space is an accident of a shell or a file.
            text = text if field in SECRET_FIELDS else text.strip()
            if text:
                found[field] = Found(name, text, _value_of(field, text))
                break
    if "aws_access_key_id" not in found and "aws_secret_access_key" not in found:
        # A token is left behind in many shells; without its pair it says nothing, and botocore ignores it as well.
        found.pop("aws_session_token", None)
    return found


def _value_of(field: str, text: str) -> object:
    if field in SECRET_FIELDS:
        return SecretStr(text)
    if field in MILLISECONDS:
        try:
            return float(text) / 1000
        except ValueError:
            return text  # Validation refuses it, and says what is allowed.
    return text


def spark_settings(spark_conf: object) -> dict[str, object]:
    """Return the settings in a Spark configuration, by field name; properties that are unset or empty are left out.

    An S3 endpoint of AWS is left out too: DynamoDB is not there. One of a local stack serves both.

    Args:
        spark_conf: A mapping, a ``SparkConf``, a ``SparkSession`` or a ``SparkContext``; None for nothing.

    Raises:
        ValidationError: If it is none of these.
    """
    if spark_conf is None:
        return {}
    get = _reader(spark_conf)

    def text(name: str) -> str:
        value = get(name, None)
        return value.strip() if isinstance(value, str) else ""

    settings: dict[str, object] = {
        field: SecretStr(text(name)) for field, name in _SPARK_CREDENTIALS.items() if text(name)
    }
    if "aws_access_key_id" not in settings and "aws_secret_access_key" not in settings:
        settings.pop("aws_session_token", None)
    if region := text("spark.hadoop.fs.s3a.endpoint.region"):
        settings["region_name"] = region
    endpoint = text("spark.hadoop.fs.s3a.endpoint")
    if endpoint and "://" not in endpoint:
        # S3A takes a bare host, and speaks TLS to it unless told otherwise.
        plain = text("spark.hadoop.fs.s3a.connection.ssl.enabled").lower() == "false"
        endpoint = f"{'http' if plain else 'https'}://{endpoint}"
    if endpoint and "amazonaws.com" not in endpoint.lower():
        settings["endpoint_url"] = endpoint
    return settings


def _reader(spark_conf: object) -> Any:
    """Return the ``get(name, default)`` of whatever Spark calls its configuration."""
    # By shape, not by class: pyspark is not imported here, and Spark Connect has classes of its own.
    get = getattr(spark_conf, "get", None)
    if not callable(get):
        get = getattr(getattr(spark_conf, "conf", None), "get", None)
    if not callable(get) and callable(context_conf := getattr(spark_conf, "getConf", None)):
        get = getattr(context_conf(), "get", None)
    if not callable(get):
        raise ValidationError(
            f"spark_conf is a {type(spark_conf).__name__}: must be a SparkConf, a SparkSession or a mapping",
            {"spark_conf": f"{type(spark_conf).__name__}: must be a SparkConf, a SparkSession or a mapping"},
        )
    return get
