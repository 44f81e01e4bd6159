"""The table that is read or written: its name, its keys, its capacity, and the way to it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from pydantic import BaseModel

from dynamodb_wrapper.codec import StoredForm
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.declaration import Kind
from dynamodb_wrapper.operations.effects import call
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.repositories import BaseDynamoRepository
from dynamodb_wrapper.spark.derived import key_columns
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.transport import SyncDriver, connection_for


@dataclass(frozen=True)
class Table:
    """What a job works on.

    Attributes:
        name: The physical table.
        keys: The attributes of its primary key.
        read_partition: Those of the partition key that is read by: the index's, else the table's.
        read_sort: Those of its sort key.
        model: The model of its items, if one was named.
        stored: The model's fields that are kept in a form of their own, by name.
        has_guards: Whether there are items in it that guard unique values, and are no data.
        versions: The attribute of the schema version, where the repository has one.
        key_columns: The columns that tell an item's key, where it is made of fields; else ``keys``.
        kind: What tells the repository's items from others in the table, where it shares it.
    """

    name: str
    keys: tuple[str, ...]
    read_partition: tuple[str, ...]
    read_sort: tuple[str, ...]
    model: type[BaseModel] | None = None
    stored: Mapping[str, StoredForm] | None = None
    has_guards: bool = False
    versions: str | None = None
    key_columns: tuple[str, ...] = ()
    kind: Kind | None = None

    def __post_init__(self) -> None:
        if not self.key_columns:
            object.__setattr__(self, "key_columns", self.keys)


def loaded(name: str, option: str) -> Any:
    """Return what ``"module:object"`` names.

    Raises:
        ValidationError: There is no such thing in this process.
    """
    module, colon, attribute = name.partition(":")
    try:
        if colon:
            return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValidationError(
            f"option {option!r} is {name!r}, which cannot be imported here: {error}. The workers need the module, too: "
            "install it there, or ship it with spark.submit.pyFiles",
            {option: str(error)},
            error,
        ) from error
    raise ValidationError(f"option {option!r} is {name!r}: must be 'module:name'", {option: "not module:name"})


def config_of(options: Options) -> DynamoDBConfig:
    """Return the configuration, made in this process.

    That of the environment is `DynamoDBConfig.for_pyspark` over the direct lane, with the options' endpoint and region.

    Raises:
        ValidationError: It is wrong, or leads to a server inside one process.
    """
    if options.config is not None:
        make = loaded(options.config, "config")
        config: object = make() if callable(make) else make
        if not isinstance(config, DynamoDBConfig):
            raise ValidationError(f"option 'config': {options.config} gives {type(config).__name__}, no DynamoDBConfig")
    else:
        config = DynamoDBConfig.for_pyspark(transport="direct")
    changes = {"endpoint_url": options.endpoint_url, "region_name": options.region}
    given = {name: value for name, value in changes.items() if value is not None}
    config = config.model_copy(update=given) if given else config
    if config.is_embedded:
        raise ValidationError("an embedded server is inside one process, which Spark's workers cannot reach")
    return config


def driver_of(config: DynamoDBConfig) -> SyncDriver:
    """Return what runs flows, without a time limit for a whole flow: a task takes as long as it takes."""
    return connection_for(config).driver.limited(timeout=inf)


def streams_driver_of(config: DynamoDBConfig) -> SyncDriver:
    """Return what runs flows over DynamoDB Streams, without a time limit for a whole flow."""
    return connection_for(config).streams_driver.limited(timeout=inf)


def entity_of(options: Options, config: DynamoDBConfig) -> Entity[Any] | None:
    """Return the model in its table of the repository that the options name, if they do.

    Raises:
        ValidationError: They name no repository class, or one that cannot be made.
    """
    if options.repository is None:
        return None
    kind = loaded(options.repository, "repository")
    if not (isinstance(kind, type) and issubclass(kind, BaseDynamoRepository)):
        raise ValidationError(f"option 'repository': {options.repository} is no repository class")
    repository: BaseDynamoRepository[Any] = kind(config)
    return repository._entity


def table_of(options: Options, config: DynamoDBConfig) -> Table:
    """Return the table of the options. Asks DynamoDB only for keys that nothing else tells.

    Raises:
        ValidationError: Model or repository cannot be loaded, or the index does not exist.
        DynamoDBWrapperError: DynamoDB was asked, and refused.
    """
    entity = entity_of(options, config)
    if entity is not None:
        declaration = entity.declaration
        key = declaration.table_key if options.index is None else declaration.index(options.index)
        return Table(
            entity.table_name,
            entity.table_key_attributes,
            tuple(map(entity.codec.attribute, key.partition)),
            tuple(map(entity.codec.attribute, key.sort)),
            declaration.model_class,
            declaration.stored_forms,
            bool(declaration.unique),
            None if entity.evolution is None else entity.evolution.options.attribute,
            key_columns(entity),
            declaration.kind,
        )
    model = None if options.model is None else loaded(options.model, "model")
    if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ValidationError(f"option 'model': {options.model} is no Pydantic model")
    assert options.table is not None  # checked by Options
    if options.partition_key is not None and options.index is None:
        sort = () if options.sort_key is None else (options.sort_key,)
        return Table(options.table, (options.partition_key, *sort), (options.partition_key,), sort, model)
    described = describe(options.table, config)
    read = described if options.index is None else _index(described, options.index)
    keys = (*_key_names(described, "HASH"), *_key_names(described, "RANGE"))
    return Table(options.table, keys, _key_names(read, "HASH"), _key_names(read, "RANGE"), model)


def describe(table_name: str, config: DynamoDBConfig) -> dict[str, Any]:
    """Return DynamoDB's description of a table."""
    described: dict[str, Any] = driver_of(config).run(call("DescribeTable", {"TableName": table_name}))["Table"]
    return described


def capacity_of(options: Options, table: Table, unit: str, config: DynamoDBConfig) -> float | None:
    """Return the capacity units a second that the job may consume; None for as many as it gets.

    Args:
        options: The options.
        table: The table.
        unit: ``Read`` or ``Write``.
        config: The configuration.

    Raises:
        ValidationError: A percentage was asked for, and the table has no capacity of which it could be.
    """
    if options.capacity is not None:
        return options.capacity
    if options.capacity_percent is None:
        return None
    described = describe(table.name, config)
    source = described if options.index is None or unit == "Write" else _index(described, options.index)
    provisioned = source.get("ProvisionedThroughput", {}).get(f"{unit}CapacityUnits", 0)
    most = provisioned or source.get("OnDemandThroughput", {}).get(f"Max{unit}RequestUnits", 0)
    if not most or most < 0:
        raise ValidationError(
            f"option 'capacity_percent' is {options.capacity_percent:g}, and table {table.name!r} is on demand, "
            "without a maximum throughput: give option 'capacity' in units a second",
            {"capacity_percent": "of nothing"},
        )
    return float(most) * options.capacity_percent / 100


def _index(described: dict[str, Any], name: str) -> dict[str, Any]:
    indexes = [*described.get("GlobalSecondaryIndexes", ()), *described.get("LocalSecondaryIndexes", ())]
    for index in indexes:
        if index["IndexName"] == name:
            found: dict[str, Any] = index
            return found
    known = ", ".join(index["IndexName"] for index in indexes) or "none"
    raise ValidationError(f"table {described['TableName']!r} has no index {name!r}; it has: {known}", {"index": name})


def _key_names(described: dict[str, Any], kind: str) -> tuple[str, ...]:
    return tuple(part["AttributeName"] for part in described["KeySchema"] if part["KeyType"] == kind)
