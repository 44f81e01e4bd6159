"""`DynamoDBConfig`: fields, sources and their order, secrets, factories, table names, errors."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import traceback
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, field_validator
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import SettingsConfigDict

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.config.fields import ALLOWED, ConfigOptions, RetryOptions
from dynamodb_wrapper.config.sources import read_environment
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.utils import timezone as timezones

KEY, SECRET, TOKEN, SIGNING = "AKIAHUSHKEY", "hush-secret", "hush-token", "hush-signing"
PAIR: dict[str, Any] = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}

Make = Callable[..., DynamoDBConfig]
FACTORIES: dict[str, Make] = {
    "from_env": DynamoDBConfig.from_env,
    "for_local_development": DynamoDBConfig.for_local_development,
    "for_pyspark": DynamoDBConfig.for_pyspark,
    "with_timezone": lambda **options: DynamoDBConfig.with_timezone("Europe/London", **options),
    "embedded": DynamoDBConfig.embedded,
}
EVERY_WAY: dict[str, Make] = {"constructor": DynamoDBConfig, **FACTORIES}


@pytest.fixture(autouse=True)
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith(("AWS_", "DYNAMODB_", "PYDANTIC_SETTINGS_")) or name == "ENVIRONMENT":
            monkeypatch.delenv(name)
    return monkeypatch


def credentials(config: DynamoDBConfig) -> tuple[str | None, str | None, str | None, str | None]:
    secret, token = config.aws_secret_access_key, config.aws_session_token
    return (
        config.aws_access_key_id,
        secret.get_secret_value() if secret else None,
        token.get_secret_value() if token else None,
        config.profile_name,
    )


# --- fields ---------------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    assert DynamoDBConfig().model_dump() == {
        "aws_access_key_id": None,
        "aws_secret_access_key": None,
        "aws_session_token": None,
        "profile_name": None,
        "region_name": None,
        "endpoint_url": None,
        "table_prefix": "",
        "environment": "dev",
        "max_pool_connections": 50,
        "retries": 3,
        "timeout_seconds": 10.0,
        "connect_timeout_seconds": 5.0,
        "deadline_seconds": None,
        "transport": "auto",
        "cursor_secret": None,
        "default_timezone": "UTC",
        "user_timezone": None,
        "store_timestamps_in_utc": True,
        "debug_logging": False,
        "report_capacity": False,
    }


def test_every_field_is_a_typed_keyword_and_says_what_is_allowed() -> None:
    fields = set(DynamoDBConfig.model_fields)
    assert set(ConfigOptions.__annotations__) == fields | {"_env_file", "_env_file_encoding"}
    assert set(ALLOWED) == fields


def test_a_configuration_is_an_immutable_value() -> None:
    first, second = (
        DynamoDBConfig(**PAIR, retries={"mode": "standard"}),
        DynamoDBConfig(**PAIR, retries={"mode": "standard"}),
    )
    assert first == second
    assert hash(first) == hash(second)
    assert len({first, second, DynamoDBConfig(**PAIR)}) == 2
    with pytest.raises(PydanticValidationError, match="frozen"):
        first.region_name = "eu-west-1"


@pytest.mark.parametrize("name", ["dev", "DEV", "develop", "development", "local", "test", " Testing "])
def test_names_of_dev(name: str) -> None:
    assert DynamoDBConfig(environment=name).environment == "dev"


@pytest.mark.parametrize("name", ["stage", "Staging", "stg"])
def test_names_of_staging(name: str) -> None:
    assert DynamoDBConfig(environment=name).environment == "staging"


@pytest.mark.parametrize("name", ["prod", "Production", "LIVE"])
def test_names_of_prod(name: str) -> None:
    assert DynamoDBConfig(environment=name).environment == "prod"


@pytest.mark.parametrize(
    ("retries", "stored", "attempts"),
    [
        (0, 0, 1),
        (3, 3, 4),
        ("5", 5, 6),
        ({"max_attempts": 2}, {"max_attempts": 2}, 3),
        ({"max_attempts": 2, "mode": "adaptive"}, {"max_attempts": 2, "mode": "adaptive"}, 3),
        ({"total_max_attempts": 2}, {"total_max_attempts": 2}, 2),
        ({"total_max_attempts": 2, "max_attempts": 9}, {"total_max_attempts": 2, "max_attempts": 9}, 2),
        ({"mode": "legacy"}, {"mode": "legacy"}, 4),
        ({}, {}, 4),
    ],
)
def test_retries(retries: Any, stored: Any, attempts: int) -> None:
    config = DynamoDBConfig(retries=retries)
    assert config.retries == stored
    assert config.max_attempts == attempts
    assert config == DynamoDBConfig(retries=retries)
    assert hash(config) == hash(DynamoDBConfig(retries=retries))
    assert json.loads(config.model_dump_json())["retries"] == stored


def test_the_retries_mapping_is_a_copy_that_cannot_change() -> None:
    given = {"max_attempts": 2, "mode": "standard"}
    config = DynamoDBConfig(retries=given)
    given["max_attempts"] = 9
    assert isinstance(config.retries, RetryOptions)
    assert dict(config.retries) == {"max_attempts": 2, "mode": "standard"}
    assert len(config.retries) == 2
    assert repr(config.retries) == "{'max_attempts': 2, 'mode': 'standard'}"
    with pytest.raises(TypeError):
        config.retries["max_attempts"] = 1  # type: ignore[index]


@pytest.mark.parametrize("url", ["http://localhost:8000", "https://dynamodb.eu-west-1.amazonaws.com", "http://[::1]:8000/",
                                 "http://dynamodb_local:8000", "https://123456789012.ddb.us-east-1.amazonaws.com",
                                 "https://dynamodb-fips.us-east-1.api.aws", "embedded://mine"])  # fmt: skip
def test_endpoints(url: str) -> None:
    config = DynamoDBConfig(endpoint_url=url)
    assert config.endpoint_url == url
    assert config.is_embedded is url.startswith("embedded:")


def test_without_an_endpoint_nothing_is_embedded() -> None:
    assert DynamoDBConfig().is_embedded is False


# --- wrong values ---------------------------------------------------------------------------------------------------

WRONG: list[tuple[str, Any, str]] = [
    ("profile_name", "", "profile"),
    ("region_name", "", "eu-west-1"),
    ("region_name", "evil.com/#", "eu-west-1"),
    ("endpoint_url", "localhost:8000", "http://host"),
    ("endpoint_url", "ftp://host", "http://host"),
    ("endpoint_url", "http://", "http://host"),
    ("endpoint_url", "http://host:99999", "http://host"),
    ("endpoint_url", "http://ho st", "http://host"),
    ("endpoint_url", "embedded://", "embedded://name"),
    ("table_prefix", "my app", "letters, digits"),
    ("environment", "moon", "dev, staging or prod"),
    ("environment", 3, "dev, staging or prod"),
    ("max_pool_connections", 0, "1 or more"),
    ("max_pool_connections", "many", "1 or more"),
    ("max_pool_connections", True, "1 or more"),
    ("retries", -1, "0 or more"),
    ("retries", True, "0 or more"),
    ("retries", 1.5, "0 or more"),
    ("retries", None, "0 or more"),
    ("retries", {"max_attempts": -1}, "max_attempts (retries, 0 or more)"),
    ("retries", {"total_max_attempts": 0}, "total_max_attempts (1 or more)"),
    ("retries", {"mode": "eager"}, "legacy, standard or adaptive"),
    ("retries", {"tries": 3}, "botocore's mapping"),
    ("timeout_seconds", 0, "greater than 0"),
    ("timeout_seconds", -1, "greater than 0"),
    ("timeout_seconds", 30_000, "seconds"),
    ("timeout_seconds", float("inf"), "seconds"),
    ("timeout_seconds", float("nan"), "seconds"),
    ("timeout_seconds", True, "seconds"),
    ("connect_timeout_seconds", 0, "greater than 0"),
    ("connect_timeout_seconds", "soon", "seconds"),
    ("deadline_seconds", 0, "greater than 0"),
    ("deadline_seconds", "soon", "or None"),
    ("transport", "pigeon", "auto, direct or botocore"),
    ("default_timezone", "Mars/Olympus", "Europe/London"),
    ("default_timezone", None, "Europe/London"),
    ("user_timezone", "Mars/Olympus", "Europe/London"),
    ("store_timestamps_in_utc", "perhaps", "true or false"),
    ("debug_logging", "perhaps", "true or false"),
    ("report_capacity", "perhaps", "true or false"),
]


@pytest.mark.parametrize(("field", "value", "allowed"), WRONG)
def test_a_wrong_value_is_named_with_its_field_and_what_is_allowed(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DynamoDBConfig(**{field: value})
    assert list(caught.value.errors) == [field]
    for text in (str(caught.value).removeprefix(f"{field} "), caught.value.errors[field]):
        assert str(text).startswith(f"is {value!r}: must be ")
        assert allowed in str(text)
    assert isinstance(caught.value.original_error, PydanticValidationError)


@pytest.mark.parametrize("way", EVERY_WAY)
def test_every_way_in_raises_our_error(way: str) -> None:
    with pytest.raises(ValidationError, match="max_pool_connections is 0: must be a whole number, 1 or more"):
        EVERY_WAY[way](max_pool_connections=0)
    with pytest.raises(ValidationError, match=r"regoin_name is not a setting: did you mean region_name\?"):
        EVERY_WAY[way](regoin_name="eu-west-1")


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        DynamoDBConfig(timeout_seconds=0, transport="pigeon")  # type: ignore[arg-type]
    assert set(caught.value.errors) == {"timeout_seconds", "transport"}


def test_an_unknown_keyword_like_no_setting_gets_the_list() -> None:
    with pytest.raises(ValidationError, match=r"qqqq is not a setting: must be one of aws_access_key_id, .*transport"):
        DynamoDBConfig(qqqq=1)  # type: ignore[call-arg]


def test_a_long_value_is_cut() -> None:
    with pytest.raises(ValidationError) as caught:
        DynamoDBConfig(table_prefix="! " * 5000)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "options",
    [{field: value} for field, value, _ in WRONG] + [{"qqqq": 1}, {"aws_access_key_id": KEY}, {"cursor_secret": ""}],
)
def test_an_error_survives_pickling(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        DynamoDBConfig(**options)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (str(copied), copied.errors) == (str(caught.value), caught.value.errors)
    assert str(copied.original_error) == str(caught.value.original_error)


@pytest.mark.parametrize(
    ("variable", "text", "field"),
    [
        ("ENVIRONMENT", "moon", "environment"),
        ("DYNAMODB_ENVIRONMENT", "moon", "environment"),
        ("DYNAMODB_REQUEST_TIMEOUT", "soon", "timeout_seconds"),
        ("DYNAMODB_REQUEST_TIMEOUT", "-5", "timeout_seconds"),
        ("DYNAMODB_CONNECTION_TIMEOUT", "0", "connect_timeout_seconds"),
        ("DYNAMODB_DEADLINE", "-1", "deadline_seconds"),
        ("DYNAMODB_MAX_RETRIES", "-1", "retries"),
        ("DYNAMODB_MAX_SOCKETS", "none", "max_pool_connections"),
        ("DYNAMODB_LOCAL_ENDPOINT", "localhost", "endpoint_url"),
        ("DYNAMODB_TABLE_PREFIX", "a b", "table_prefix"),
        ("DYNAMODB_TIMEZONE", "Mars/Olympus", "default_timezone"),
        ("DYNAMODB_USER_TIMEZONE", "Mars/Olympus", "user_timezone"),
        ("DYNAMODB_ENABLE_LOGGING", "perhaps", "debug_logging"),
        ("AWS_DEFAULT_REGION", "somewhere else", "region_name"),
    ],
)
def test_a_wrong_variable_is_named_with_its_own_text(
    env: pytest.MonkeyPatch, variable: str, text: str, field: str
) -> None:
    env.setenv(variable, text)
    for make in (DynamoDBConfig, DynamoDBConfig.from_env):
        with pytest.raises(ValidationError) as caught:
            make()
        assert f"{field} is {text!r} (from {variable}): must be " in str(caught.value)
        assert f"(from {variable})" in str(caught.value.errors[field])
        assert ("milliseconds" in str(caught.value)) is field.endswith("_seconds")


def test_a_wrong_keyword_is_not_blamed_on_the_environment(env: pytest.MonkeyPatch) -> None:
    env.setenv("DYNAMODB_REQUEST_TIMEOUT", "5000")
    with pytest.raises(ValidationError, match="timeout_seconds is 0: must"):
        DynamoDBConfig(timeout_seconds=0)


# --- secrets --------------------------------------------------------------------------------------------------------


def hush(text: str) -> bool:
    """Whether a text shows none of the secrets."""
    return "hush" not in text.lower()


def test_secrets_are_in_no_representation() -> None:
    config = DynamoDBConfig(**PAIR, aws_session_token=TOKEN, cursor_secret=SIGNING)
    shown = [repr(config), str(config), f"{config}", config.model_dump_json(), config.model_dump_json(indent=1)]
    shown.append(json.dumps(config.model_dump(mode="json")))
    shown.append(repr(list(config.__repr_args__())))
    assert all(hush(text) for text in shown)
    dumped = json.loads(config.model_dump_json())
    assert {dumped[name] for name in (*PAIR, "aws_session_token", "cursor_secret")} == {"**********"}
    assert json.loads(DynamoDBConfig().model_dump_json())["aws_access_key_id"] is None
    assert credentials(config) == (KEY, SECRET, TOKEN, None)
    assert config.cursor_secret == SecretStr(SIGNING)


def all_texts(error: ValidationError) -> str:
    original = error.original_error
    assert isinstance(original, PydanticValidationError)
    return "\n".join(
        [
            str(error), repr(error), str(error.errors), str(original), str(original.errors()), original.json(),
            "".join(traceback.format_exception(error)), repr(error.__context__), repr(error.__cause__),
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"aws_access_key_id": KEY},
        {"aws_secret_access_key": SECRET},
        {"aws_session_token": TOKEN},
        {"aws_access_key_id": ["hush"], "aws_secret_access_key": b"hush\xff"},
        {**PAIR, "timeout_seconds": 0, "cursor_secret": ("hush",)},
        {**PAIR, "aws_secret_acces_key": SECRET},
        {"endpoint_url": "http://user:hush@host"},
    ],
)
def test_secrets_are_in_no_error(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        DynamoDBConfig(**options)
    assert hush(all_texts(caught.value))
    assert caught.value.__context__ is None


def test_secrets_of_the_environment_are_in_no_error(env: pytest.MonkeyPatch) -> None:
    env.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    env.setenv("DYNAMODB_ENDPOINT_URL", "http://user:hush@host")
    with pytest.raises(ValidationError) as caught:
        DynamoDBConfig()
    assert hush(all_texts(caught.value))
    assert "(from DYNAMODB_ENDPOINT_URL)" in str(caught.value)


@pytest.mark.parametrize("options", [{"aws_access_key_id": ""}, {"cursor_secret": ""}])
def test_an_empty_secret_is_refused(options: dict[str, Any]) -> None:
    (field,) = options
    with pytest.raises(ValidationError, match=rf"{field} is '\*+': must be text that is not empty"):
        DynamoDBConfig(**options)


def test_secrets_are_in_no_log(env: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    env.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    env.setenv("AWS_ACCESS_KEY_ID", "other-hush")
    env.setenv("AWS_SECRET_ACCESS_KEY", "other-hush")
    with caplog.at_level(logging.DEBUG):
        for make in EVERY_WAY.values():
            make(**PAIR, aws_session_token=TOKEN, cursor_secret=SIGNING)
    assert hush(caplog.text)


# --- pickles and copies ---------------------------------------------------------------------------------------------


def test_pickles_and_copies_are_equal_and_whole() -> None:
    config = DynamoDBConfig(**PAIR, retries={"max_attempts": 2}, user_timezone="Europe/London")
    for other in (
        pickle.loads(pickle.dumps(config)),
        copy.copy(config),
        copy.deepcopy(config),
        config.model_copy(),
        config.model_copy(deep=True),
        DynamoDBConfig(**config.model_dump()),
        DynamoDBConfig.model_validate(config.model_dump()),
    ):
        assert other == config
        assert hash(other) == hash(config)
        assert credentials(other) == credentials(config)


def test_unpickling_reads_no_environment(env: pytest.MonkeyPatch) -> None:
    shipped = pickle.dumps(DynamoDBConfig(region_name="eu-west-1"))
    env.setenv("DYNAMODB_TABLE_PREFIX", "executor")
    assert pickle.loads(shipped).table_prefix == ""


def test_model_copy_checks_what_it_changes(env: pytest.MonkeyPatch) -> None:
    config = DynamoDBConfig(region_name="eu-west-1")
    env.setenv("DYNAMODB_TABLE_PREFIX", "later")
    env.setenv("AWS_PROFILE", "later")
    changed = config.model_copy(update={"environment": "production", "retries": {"max_attempts": 1}})
    assert (changed.environment, changed.region_name) == ("prod", "eu-west-1")
    assert changed.retries == RetryOptions({"max_attempts": 1})
    assert (changed.table_prefix, changed.profile_name) == ("", None)
    assert changed.model_fields_set == {"region_name", "environment", "retries"}
    assert hash(changed) == hash(changed.model_copy(deep=True))
    for update in ({"timeout_seconds": 0}, {"regoin_name": "x"}):
        with pytest.raises(ValidationError):
            config.model_copy(update=update)


def test_model_copy_changes_credentials_as_a_whole() -> None:
    config = DynamoDBConfig(**PAIR, aws_session_token=TOKEN)
    other = {"aws_access_key_id": "B", "aws_secret_access_key": "b"}
    assert credentials(config.model_copy(update=other)) == ("B", "b", None, None)
    with pytest.raises(ValidationError, match="aws_secret_access_key is missing"):
        config.model_copy(update={"aws_access_key_id": "B"})
    assert config.model_copy(update={"environment": "prod"}).aws_session_token == SecretStr(TOKEN)


# --- the environment ------------------------------------------------------------------------------------------------

VARIABLES: list[tuple[str, str, str, Any]] = [
    ("AWS_REGION", "eu-west-1", "region_name", "eu-west-1"),
    ("AWS_DEFAULT_REGION", "eu-west-1", "region_name", "eu-west-1"),
    ("AWS_PROFILE", "work", "profile_name", "work"),
    ("DYNAMODB_ENDPOINT_URL", "http://h:1", "endpoint_url", "http://h:1"),
    ("DYNAMODB_LOCAL_ENDPOINT", "http://h:2", "endpoint_url", "http://h:2"),
    ("AWS_ENDPOINT_URL_DYNAMODB", "http://h:3", "endpoint_url", "http://h:3"),
    ("DYNAMODB_TABLE_PREFIX", "shop", "table_prefix", "shop"),
    ("DYNAMODB_ENVIRONMENT", "Production", "environment", "prod"),
    ("ENVIRONMENT", "stage", "environment", "staging"),
    ("DYNAMODB_TIMEZONE", "Europe/London", "default_timezone", "Europe/London"),
    ("DYNAMODB_USER_TIMEZONE", "Asia/Tokyo", "user_timezone", "Asia/Tokyo"),
    ("DYNAMODB_DEBUG_LOGGING", "true", "debug_logging", True),
    ("DYNAMODB_ENABLE_LOGGING", "1", "debug_logging", True),
    ("DYNAMODB_MAX_RETRIES", "7", "retries", 7),
    ("DYNAMODB_MAX_SOCKETS", " 20 ", "max_pool_connections", 20),
    ("DYNAMODB_REQUEST_TIMEOUT", "30000", "timeout_seconds", 30.0),
    ("DYNAMODB_CONNECTION_TIMEOUT", "2500", "connect_timeout_seconds", 2.5),
    ("DYNAMODB_DEADLINE", "750", "deadline_seconds", 0.75),
    ("DYNAMODB_TRANSPORT", "botocore", "transport", "botocore"),
    ("DYNAMODB_REPORT_CAPACITY", "true", "report_capacity", True),
]


@pytest.mark.parametrize(("variable", "text", "field", "value"), VARIABLES)
def test_a_variable_sets_its_field(
    env: pytest.MonkeyPatch, variable: str, text: str, field: str, value: object
) -> None:
    env.setenv(variable, text)
    assert getattr(DynamoDBConfig(), field) == value
    assert getattr(DynamoDBConfig.from_env(), field) == value


@pytest.mark.parametrize("variable", sorted({row[0] for row in VARIABLES} | {"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"}))
def test_an_empty_variable_counts_as_unset(env: pytest.MonkeyPatch, variable: str) -> None:
    env.setenv(variable, "")
    assert DynamoDBConfig() == DynamoDBConfig.from_env() == DynamoDBConfig(region_name=None)


@pytest.mark.parametrize(
    ("strong", "weak", "field", "values"),
    [
        ("AWS_REGION", "AWS_DEFAULT_REGION", "region_name", ("eu-west-1", "eu-west-2")),
        ("DYNAMODB_ENDPOINT_URL", "DYNAMODB_LOCAL_ENDPOINT", "endpoint_url", ("http://a", "http://b")),
        ("DYNAMODB_LOCAL_ENDPOINT", "AWS_ENDPOINT_URL_DYNAMODB", "endpoint_url", ("http://a", "http://b")),
        ("DYNAMODB_ENVIRONMENT", "ENVIRONMENT", "environment", ("prod", "moon")),
        ("DYNAMODB_DEBUG_LOGGING", "DYNAMODB_ENABLE_LOGGING", "debug_logging", ("true", "false")),
    ],
)
def test_of_two_variables_the_first_wins(
    env: pytest.MonkeyPatch, strong: str, weak: str, field: str, values: tuple[str, str]
) -> None:
    env.setenv(weak, values[1])
    env.setenv(strong, values[0])
    assert str(getattr(DynamoDBConfig(), field)).lower() == values[0]
    env.setenv(strong, " ")
    env.setenv(weak, values[0])
    assert str(getattr(DynamoDBConfig(), field)).lower() == values[0]


def test_field_names_are_not_variables(env: pytest.MonkeyPatch) -> None:
    for name in ("REGION_NAME", "region_name", "RETRIES", "CURSOR_SECRET", "TRANSPORT"):
        env.setenv(name, "5")
    assert DynamoDBConfig() == DynamoDBConfig(region_name=None)


def test_the_constructor_takes_what_it_is_given(env: pytest.MonkeyPatch) -> None:
    env.setenv("AWS_REGION", "eu-west-1")
    env.setenv("DYNAMODB_TABLE_PREFIX", "shop")
    env.setenv("DYNAMODB_MAX_RETRIES", "9")
    config = DynamoDBConfig(region_name="us-east-2", retries={"max_attempts": 1})
    assert (config.region_name, config.table_prefix) == ("us-east-2", "shop")
    assert config.retries == RetryOptions({"max_attempts": 1})
    assert DynamoDBConfig(region_name=None).region_name is None
    assert DynamoDBConfig(table_prefix=None).table_prefix == ""


def test_a_file_is_read_only_when_asked_for(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env.chdir(tmp_path)
    Path(".env").write_text(
        "AWS_REGION=eu-west-1\nDYNAMODB_REQUEST_TIMEOUT=3000\nDYNAMODB_TABLE_PREFIX=file\nOTHER=x\nDYNAMODB_TIMEZONE=\n"
    )
    assert DynamoDBConfig().region_name is None
    assert DynamoDBConfig.from_env().region_name is None
    env.setenv("DYNAMODB_TABLE_PREFIX", "process")
    for config in (DynamoDBConfig(_env_file=".env"), DynamoDBConfig.from_env(_env_file=Path(".env"))):
        assert (config.region_name, config.timeout_seconds, config.table_prefix) == ("eu-west-1", 3.0, "process")
    assert DynamoDBConfig(_env_file=".env", region_name="us-east-2").region_name == "us-east-2"
    assert DynamoDBConfig.from_env(_env_file=".env", region_name="us-east-2").region_name == "eu-west-1"
    assert DynamoDBConfig(_env_file="missing.env").region_name is None


def test_a_wrong_value_in_a_file_names_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "some.env"
    file.write_text("DYNAMODB_MAX_RETRIES=often\n", encoding="utf-16")
    with pytest.raises(ValidationError, match=r"retries is 'often' \(from DYNAMODB_MAX_RETRIES\)"):
        DynamoDBConfig(_env_file=file, _env_file_encoding="utf-16")


# --- credentials come from one source -------------------------------------------------------------------------------


@pytest.fixture
def env_credentials(env: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    env.setenv("AWS_ACCESS_KEY_ID", "ENV")
    env.setenv("AWS_SECRET_ACCESS_KEY", "env")
    env.setenv("AWS_SESSION_TOKEN", "env-token")
    return env


@pytest.mark.usefixtures("env_credentials")
def test_the_environment_gives_all_of_them() -> None:
    assert credentials(DynamoDBConfig()) == ("ENV", "env", "env-token", None)


@pytest.mark.parametrize("variables", [{"AWS_PROFILE": "work"}, {}])
def test_the_callers_pair_takes_nothing_of_the_environment(
    env_credentials: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, text in variables.items():
        env_credentials.setenv(name, text)
    assert credentials(DynamoDBConfig(**PAIR)) == (KEY, SECRET, None, None)
    assert credentials(DynamoDBConfig(profile_name="mine")) == (None, None, None, "mine")
    assert credentials(DynamoDBConfig(**PAIR, aws_session_token=TOKEN)) == (KEY, SECRET, TOKEN, None)


@pytest.mark.usefixtures("env_credentials")
@pytest.mark.parametrize("part", ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"])
def test_a_part_is_not_completed_from_the_environment(part: str) -> None:
    options: dict[str, Any] = {part: "x"}
    with pytest.raises(ValidationError, match="come from one source together") as caught:
        DynamoDBConfig(**options)
    assert "AWS_" not in str(caught.value)


@pytest.mark.parametrize("way", ["constructor", "from_env", "for_local_development", "for_pyspark", "with_timezone"])
@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_pair_in_the_environment_is_an_error_that_names_it(
    env: pytest.MonkeyPatch, variable: str, way: str
) -> None:
    env.setenv(variable, "hush")
    with pytest.raises(ValidationError, match=rf"the environment has only {variable}\)") as caught:
        EVERY_WAY[way]()
    assert hush(all_texts(caught.value))


def test_a_token_alone_in_the_environment_says_nothing(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env.setenv("AWS_SESSION_TOKEN", "old")
    assert credentials(DynamoDBConfig()) == (None, None, None, None)
    file = tmp_path / ".env"
    file.write_text("AWS_ACCESS_KEY_ID=FILE\nAWS_SECRET_ACCESS_KEY=file\n")
    assert credentials(DynamoDBConfig(_env_file=file)) == ("FILE", "file", None, None)


def test_process_and_file_are_not_mixed(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("AWS_ACCESS_KEY_ID=FILE\nAWS_SECRET_ACCESS_KEY=file\nAWS_SESSION_TOKEN=t\nAWS_REGION=eu-west-1\n")
    env.setenv("AWS_ACCESS_KEY_ID", "ENV")
    env.setenv("AWS_SECRET_ACCESS_KEY", "env")
    config = DynamoDBConfig(_env_file=file)
    assert (credentials(config), config.region_name) == (("ENV", "env", None, None), "eu-west-1")


def test_a_key_and_a_profile_of_the_environment_stay_together(env_credentials: pytest.MonkeyPatch) -> None:
    env_credentials.setenv("AWS_PROFILE", "work")
    assert credentials(DynamoDBConfig()) == ("ENV", "env", "env-token", "work")


@pytest.mark.usefixtures("env_credentials")
def test_credentials_given_as_none_are_left_to_the_aws_chain() -> None:
    assert credentials(DynamoDBConfig(aws_access_key_id=None, aws_secret_access_key=None)) == (None,) * 4


def test_secret_values_are_accepted_wrapped() -> None:
    config = DynamoDBConfig(aws_access_key_id=SecretStr(KEY), aws_secret_access_key=SecretStr(SECRET))
    assert credentials(config) == (KEY, SECRET, None, None)


# --- factories: environment, keywords, defaults ---------------------------------------------------------------------


@pytest.mark.parametrize("way", FACTORIES)
def test_the_environment_overrides_keywords_and_it_is_logged_by_name(
    env: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    env.setenv("DYNAMODB_TABLE_PREFIX", "environment-value")
    env.setenv("DYNAMODB_MAX_SOCKETS", "7")
    config = FACTORIES[way](table_prefix="keyword-value", max_pool_connections=8, region_name="eu-west-3", retries=1)
    assert (config.table_prefix, config.max_pool_connections) == ("environment-value", 7)
    assert (config.region_name, config.retries) == ("eu-west-3", 1)
    assert [(record.name, record.levelname) for record in caplog.records] == [
        ("dynamodb_wrapper.config", "WARNING")
    ] * 2
    assert f"{way}(): the keyword table_prefix is overridden by DYNAMODB_TABLE_PREFIX" in caplog.text
    assert "max_pool_connections is overridden by DYNAMODB_MAX_SOCKETS" in caplog.text
    assert "value" not in caplog.text


def test_a_keyword_that_agrees_with_the_environment_is_not_logged(
    env_credentials: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    env_credentials.setenv("DYNAMODB_REQUEST_TIMEOUT", "4000")
    DynamoDBConfig.from_env(timeout_seconds=4, aws_access_key_id="ENV", aws_secret_access_key=SecretStr("env"))
    assert caplog.text == ""


def test_the_plain_constructor_logs_nothing(env: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    env.setenv("DYNAMODB_TABLE_PREFIX", "a")
    DynamoDBConfig(table_prefix="b")
    assert caplog.text == ""


@pytest.mark.usefixtures("env_credentials")
def test_credentials_of_the_environment_override_those_of_keywords_as_a_whole(caplog: pytest.LogCaptureFixture) -> None:
    config = DynamoDBConfig.from_env(**PAIR, profile_name="mine")
    assert credentials(config) == ("ENV", "env", "env-token", None)
    assert "aws_access_key_id is overridden by AWS_ACCESS_KEY_ID" in caplog.text
    assert "profile_name is overridden by AWS_ACCESS_KEY_ID" in caplog.text
    assert hush(caplog.text)


def test_a_profile_of_the_environment(env: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    env.setenv("AWS_PROFILE", "work")
    assert credentials(DynamoDBConfig.from_env(profile_name="mine")) == (None, None, None, "work")
    assert "profile_name is overridden by AWS_PROFILE" in caplog.text
    # A profile replaces no key, whoever supplies the key.
    assert credentials(DynamoDBConfig.from_env(**PAIR)) == (KEY, SECRET, None, None)
    assert credentials(DynamoDBConfig.for_local_development()) == ("local", "local", None, None)


def test_local_development(env: pytest.MonkeyPatch) -> None:
    config = DynamoDBConfig.for_local_development()
    assert credentials(config) == ("local", "local", None, None)
    assert (config.endpoint_url, config.region_name, config.environment) == (
        "http://localhost:8000",
        "us-east-1",
        "dev",
    )
    other = DynamoDBConfig.for_local_development(**PAIR, endpoint_url="http://other:1", region_name="eu-west-1")
    assert (credentials(other)[:2], other.endpoint_url, other.region_name) == (
        (KEY, SECRET),
        "http://other:1",
        "eu-west-1",
    )
    assert credentials(DynamoDBConfig.for_local_development(profile_name="mine")) == (None, None, None, "mine")
    env.setenv("DYNAMODB_ENDPOINT_URL", "http://moved:9000")
    env.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    moved = DynamoDBConfig.for_local_development(endpoint_url="http://other:1")
    assert (moved.endpoint_url, moved.region_name) == ("http://moved:9000", "eu-west-2")


@pytest.mark.usefixtures("env_credentials")
def test_local_development_takes_the_credentials_of_the_environment() -> None:
    assert credentials(DynamoDBConfig.for_local_development()) == ("ENV", "env", "env-token", None)


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York"])
def test_with_timezone_holds_whatever_else_is_said(
    env: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, zone: str
) -> None:
    env.setenv("DYNAMODB_TIMEZONE", "Asia/Tokyo")
    env.setenv("DYNAMODB_USER_TIMEZONE", "Asia/Tokyo")
    env.setenv("DYNAMODB_TABLE_PREFIX", "shop")
    config = DynamoDBConfig.with_timezone(zone, user_timezone="Asia/Tokyo", retries=1)
    assert (config.default_timezone, config.user_timezone) == (zone, zone)
    assert (config.table_prefix, config.retries) == ("shop", 1)
    assert "with_timezone(): the keyword user_timezone is overridden by the factory itself" in caplog.text
    with pytest.raises(ValidationError, match="default_timezone is 'Mars/Olympus'"):
        DynamoDBConfig.with_timezone("Mars/Olympus")


# --- embedded -------------------------------------------------------------------------------------------------------


def test_embedded_is_fresh_unless_named() -> None:
    first, second = DynamoDBConfig.embedded(), DynamoDBConfig.embedded()
    assert first.is_embedded
    assert first.endpoint_url != second.endpoint_url
    assert credentials(first) == ("embedded", "embedded", None, None)
    assert (first.region_name, first.environment) == ("us-east-1", "dev")
    named = DynamoDBConfig.embedded("mine", retries=1)
    assert named.endpoint_url == "embedded://mine"
    assert named == DynamoDBConfig.embedded("mine", retries=1)


def test_embedded_ignores_endpoint_credentials_and_profile_of_the_environment(
    env_credentials: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    env_credentials.setenv("AWS_PROFILE", "work")
    env_credentials.setenv("DYNAMODB_ENDPOINT_URL", "http://real:1")
    env_credentials.setenv("DYNAMODB_TABLE_PREFIX", "shop")
    config = DynamoDBConfig.embedded()
    assert config.is_embedded
    assert credentials(config) == ("embedded", "embedded", None, None)
    assert config.table_prefix == "shop"
    assert caplog.text == ""
    assert credentials(DynamoDBConfig.embedded(**PAIR)) == (KEY, SECRET, None, None)
    assert DynamoDBConfig.embedded("mine", endpoint_url="http://real:1").endpoint_url == "embedded://mine"
    assert "embedded(): the keyword endpoint_url is overridden by the factory itself" in caplog.text


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DYNAMODB_ENDPOINT_URL"])
def test_embedded_does_not_mind_a_broken_environment(env: pytest.MonkeyPatch, name: str) -> None:
    env.setenv(name, "nonsense")
    assert DynamoDBConfig.embedded().is_embedded


@pytest.mark.parametrize("name", ["", "a b", "a/b", "user@host", 3])
def test_embedded_refuses_a_name_that_is_none(name: Any) -> None:
    with pytest.raises(ValidationError, match="letters, digits"):
        DynamoDBConfig.embedded(name)


# --- Spark ----------------------------------------------------------------------------------------------------------

S3A = "spark.hadoop.fs.s3a."


class SparkConf:
    """What a SparkConf and the configuration of a session look like from here."""

    def __init__(self, properties: dict[str, str]) -> None:
        self._properties = properties

    def get(self, key: str, default: str | None = None) -> str | None:
        return self._properties.get(key, default)


class SparkSession:
    def __init__(self, properties: dict[str, str]) -> None:
        self.conf = SparkConf(properties)


class SparkContext:
    def __init__(self, properties: dict[str, str]) -> None:
        self._conf = SparkConf(properties)

    def getConf(self) -> SparkConf:  # noqa: N802
        return self._conf


def test_pyspark_defaults() -> None:
    config = DynamoDBConfig.for_pyspark()
    assert (config.max_pool_connections, config.timeout_seconds, config.connect_timeout_seconds) == (100, 60.0, 10.0)
    assert config.max_attempts > DynamoDBConfig().max_attempts
    assert credentials(config) == (None,) * 4


@pytest.mark.parametrize("shape", [dict, SparkConf, SparkSession, SparkContext])
def test_pyspark_reads_the_properties_of_s3a(shape: Callable[[dict[str, str]], object]) -> None:
    properties = {
        f"{S3A}access.key": KEY,
        f"{S3A}secret.key": SECRET,
        f"{S3A}session.token": TOKEN,
        f"{S3A}endpoint.region": "eu-central-1",
        f"{S3A}endpoint": "http://localstack:4566",
    }
    config = DynamoDBConfig.for_pyspark(shape(properties))
    assert credentials(config) == (KEY, SECRET, TOKEN, None)
    assert (config.region_name, config.endpoint_url) == ("eu-central-1", "http://localstack:4566")


@pytest.mark.parametrize(
    ("properties", "endpoint"),
    [
        ({"endpoint": "s3.eu-west-1.amazonaws.com"}, None),
        ({"endpoint": "https://s3.amazonaws.com"}, None),
        ({"endpoint": ""}, None),
        ({"endpoint": "localstack:4566"}, "https://localstack:4566"),
        ({"endpoint": "localstack:4566", "connection.ssl.enabled": "false"}, "http://localstack:4566"),
    ],
)
def test_pyspark_takes_no_s3_endpoint_of_aws_for_dynamodb(properties: dict[str, str], endpoint: str | None) -> None:
    conf = {f"{S3A}{name}": value for name, value in properties.items()}
    assert DynamoDBConfig.for_pyspark(conf).endpoint_url == endpoint


def test_pyspark_order_is_environment_keywords_spark_defaults(env: pytest.MonkeyPatch) -> None:
    conf = {
        f"{S3A}access.key": "S",
        f"{S3A}secret.key": "s",
        f"{S3A}session.token": "t",
        f"{S3A}endpoint.region": "spark-1",
    }
    assert credentials(DynamoDBConfig.for_pyspark(conf, **PAIR)) == (KEY, SECRET, None, None)
    assert DynamoDBConfig.for_pyspark(conf, region_name="keyword-1").region_name == "keyword-1"
    assert DynamoDBConfig.for_pyspark(conf, max_pool_connections=5).max_pool_connections == 5
    env.setenv("AWS_PROFILE", "work")
    assert credentials(DynamoDBConfig.for_pyspark(conf)) == ("S", "s", "t", None)
    env.setenv("AWS_REGION", "env-1")
    env.setenv("AWS_ACCESS_KEY_ID", "ENV")
    env.setenv("AWS_SECRET_ACCESS_KEY", "env")
    config = DynamoDBConfig.for_pyspark(conf, region_name="keyword-1")
    assert (config.region_name, credentials(config)) == ("env-1", ("ENV", "env", None, "work"))


def test_pyspark_ignores_a_token_alone_and_refuses_half_a_pair() -> None:
    assert credentials(DynamoDBConfig.for_pyspark({f"{S3A}session.token": "t"})) == (None,) * 4
    with pytest.raises(ValidationError, match="aws_secret_access_key is missing"):
        DynamoDBConfig.for_pyspark({f"{S3A}access.key": KEY})


def test_pyspark_refuses_what_is_no_configuration() -> None:
    with pytest.raises(ValidationError, match="spark_conf is a int: must be a SparkConf"):
        DynamoDBConfig.for_pyspark(3)


# --- table names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "environment", "name"),
    [
        ("", "dev", "dev_orders"),
        ("", "staging", "staging_orders"),
        ("", "prod", "orders"),
        ("shop", "dev", "shop_dev_orders"),
        ("shop", "prod", "shop_orders"),
        ("my.shop-1", "production", "my.shop-1_orders"),
    ],
)
def test_table_names(prefix: str, environment: str, name: str) -> None:
    assert DynamoDBConfig(table_prefix=prefix, environment=environment).get_table_name("orders") == name


def test_an_arn_is_a_table_name_already() -> None:
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
    assert DynamoDBConfig(table_prefix="shop").get_table_name(arn) == arn


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_an_empty_table_name_is_refused(name: Any) -> None:
    with pytest.raises(ValidationError, match="must be text that is not empty") as caught:
        DynamoDBConfig().get_table_name(name)
    assert "base_name" in caught.value.errors


# --- with the zone of the process -----------------------------------------------------------------------------------


def test_a_configuration_can_set_the_zone_of_the_process(env: pytest.MonkeyPatch) -> None:
    env.setattr(timezones, "_process", {})
    manager = timezones.configure_timezone_from_config(DynamoDBConfig.with_timezone("Europe/London"))
    assert manager.default_timezone == manager.user_timezone == "Europe/London"
    DynamoDBConfig(default_timezone="Asia/Tokyo")
    assert timezones.get_timezone_manager() is manager
    assert timezones.utcnow().tzinfo is UTC


# --- subclasses -----------------------------------------------------------------------------------------------------


class ShopConfig(DynamoDBConfig):
    """A user's own settings; what an unknown field holds may be a secret."""

    model_config = SettingsConfigDict(env_file="shop.env")
    pin: int | None = None

    @field_validator("pin")
    @classmethod
    def _positive(cls, value: int | None) -> int | None:
        if value is not None and value < 1:
            raise PydanticCustomError("pin", "must be positive")
        return value


def test_a_subclass_may_add_settings_and_name_a_file(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env.chdir(tmp_path)
    Path("shop.env").write_text("DYNAMODB_TABLE_PREFIX=shop\n")
    assert ShopConfig().table_prefix == ShopConfig.from_env(table_prefix="other").table_prefix == "shop"
    assert ShopConfig.model_validate({"pin": 7}).pin == 7
    settings = {"pin": SECRET}
    with pytest.raises(ValidationError, match="pin is wrong: ") as caught:
        ShopConfig.model_validate(settings)
    assert hush(all_texts(caught.value))
    with pytest.raises(ValidationError, match="pin is wrong: must be positive"):
        ShopConfig.model_validate({"pin": 0})


def test_what_was_found_in_the_environment_does_not_show_it(env: pytest.MonkeyPatch) -> None:
    env.setenv("AWS_ACCESS_KEY_ID", KEY)
    assert repr(read_environment(None, None)["aws_access_key_id"]) == "Found(AWS_ACCESS_KEY_ID)"
