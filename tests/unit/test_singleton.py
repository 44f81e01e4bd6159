"""The default connection of the process: aliases, tables, health, reset."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.transport import (
    DynamoDBSingleton,
    configure,
    connection_for,
    drop_embedded,
    get_all_tables,
    get_table,
    health_check,
    register_tables,
    reset_connection,
)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    singleton = DynamoDBSingleton()
    aliases = dict(singleton._aliases)
    singleton._aliases.clear()
    configure(None)
    yield
    configure(None)
    singleton._aliases.clear()
    singleton._aliases.update(aliases)
    reset_connection()


@pytest.fixture
def embedded() -> Iterator[DynamoDBConfig]:
    name = f"test-{uuid4().hex}"
    config = DynamoDBConfig.embedded(name)
    configure(config)
    yield config
    drop_embedded(name)


def test_it_is_always_the_same_object() -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: id(DynamoDBSingleton()), range(64)))) == 1


def test_a_table_is_the_same_object_each_time(embedded: DynamoDBConfig) -> None:
    with ThreadPoolExecutor(16) as pool:
        tables = list(pool.map(lambda _: get_table("orders"), range(32)))
    assert len({id(table) for table in tables}) == 1
    assert tables[0].name == "orders"
    assert connection_for(embedded).table("orders") is tables[0]


def test_an_alias_or_a_physical_name_used_as_it_is(embedded: DynamoDBConfig) -> None:
    register_tables({"bright_uid": "features_poc"})
    assert get_table("bright_uid").name == "features_poc"
    assert get_table("features_poc") is get_table("bright_uid")
    assert get_table("dev_orders").name == "dev_orders"


def test_all_tables_are_the_aliases_and_those_fetched(embedded: DynamoDBConfig) -> None:
    assert get_all_tables() == {}
    register_tables({"bright_uid": "features_poc", "account_id": "accounts"})
    get_table("orders")
    tables = get_all_tables()
    assert {alias: table.name for alias, table in tables.items()} == {
        "bright_uid": "features_poc",
        "account_id": "accounts",
        "orders": "orders",
    }
    assert tables["orders"] is get_table("orders")


@pytest.mark.parametrize("tables", [{"": "t"}, {"a": ""}, {"a": None}, {1: "t"}])
def test_names_must_be_names(tables: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        register_tables(tables)
    assert get_all_tables() == {}


def test_an_empty_table_name_is_refused() -> None:
    with pytest.raises(ValidationError):
        get_table("")


def test_health(embedded: DynamoDBConfig) -> None:
    assert health_check() is True
    configure(DynamoDBConfig.for_local_development(endpoint_url="http://127.0.0.1:9"))
    assert DynamoDBSingleton().health_check(timeout_seconds=2) is False


def test_health_with_a_bad_environment_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMODB_MAX_SOCKETS", "many")
    assert health_check() is False
    with pytest.raises(ValidationError):
        get_table("orders")


def test_the_environment_is_read_on_first_use_and_again_after_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    singleton = DynamoDBSingleton()
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert singleton.config.region_name == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert singleton.config.region_name == "eu-west-1"
    reset_connection()
    assert singleton.config.region_name == "eu-west-2"


def test_a_reset_forgets_tables_but_not_declarations(embedded: DynamoDBConfig) -> None:
    register_tables({"bright_uid": "features_poc"})
    before = get_table("orders"), get_table("bright_uid")
    reset_connection()
    assert list(get_all_tables()) == ["bright_uid"]
    assert DynamoDBSingleton().config is embedded
    assert get_table("orders") is not before[0]
    assert get_table("bright_uid") is not before[1]


def test_configure_changes_where_tables_are(embedded: DynamoDBConfig) -> None:
    first = get_table("orders")
    configure(DynamoDBConfig.embedded("another"))
    second = get_table("orders")
    assert second is not first
    configure(embedded)
    assert get_table("orders") is first
    drop_embedded("another")
