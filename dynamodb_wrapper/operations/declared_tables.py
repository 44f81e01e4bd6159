"""Tables as the declarations say them: parameters of requests, and one table for all the repositories that share it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations.effects import Params
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.table_options import LONGEST_RECOVERY_DAYS, TableOptions


@dataclass(frozen=True, slots=True)
class DeclaredTable:
    """A table as it is declared, whoever makes it.

    Attributes:
        name: The physical name.
        params: The parameters of ``CreateTable``.
        ttl: The attribute by which items expire, or None.
        options: Billing, stream, backups and the like.
    """

    name: str
    params: Params
    ttl: str | None
    options: TableOptions

    @property
    def global_indexes(self) -> list[Params]:
        """The global indexes, as ``CreateTable`` takes them."""
        return list(self.params.get("GlobalSecondaryIndexes", ()))

    @property
    def local_indexes(self) -> list[Params]:
        """The local indexes, as ``CreateTable`` takes them."""
        return list(self.params.get("LocalSecondaryIndexes", ()))


def declared_table(entity: Entity[Any]) -> DeclaredTable:
    """Return the table of one entity."""
    declaration = entity.declaration
    ttl = None if declaration.ttl is None else entity.codec.attribute(declaration.ttl)
    return DeclaredTable(entity.table_name, table_params(entity), ttl, declaration.options)


def declared_tables(entities: Iterable[Entity[Any]]) -> list[DeclaredTable]:
    """Return the tables of entities, in their order; entities of the same table make one of it together.

    Raises:
        DeclarationError: Two of them say different things of the same table.
    """
    tables: dict[str, DeclaredTable] = {}
    for entity in entities:
        table = declared_table(entity)
        known = tables.get(table.name)
        tables[table.name] = table if known is None else _together(known, table)
    return list(tables.values())


def table_params(entity: Entity[Any]) -> Params:
    """Return the parameters of ``CreateTable`` for the declaration."""
    declaration = entity.declaration
    options = declaration.options
    global_indexes = [index for index in declaration.indexes if not index.local]
    local_indexes = [index for index in declaration.indexes if index.local]
    params: Params = {
        "TableName": entity.table_name,
        "KeySchema": _key_schema(entity, declaration.table_key),
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": tag} for name, tag in entity.key_tags.items()
        ],
        "BillingMode": "PROVISIONED" if options.is_provisioned else "PAY_PER_REQUEST",
    }
    capacity = capacity_params(options)
    params |= capacity
    if global_indexes:
        params["GlobalSecondaryIndexes"] = [_index_params(entity, index) | capacity for index in global_indexes]
    if local_indexes:
        params["LocalSecondaryIndexes"] = [_index_params(entity, index) for index in local_indexes]
    if options.stream is not None:
        params["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": options.stream}
    if options.deletion_protection:
        params["DeletionProtectionEnabled"] = True
    if options.table_class != "STANDARD":
        params["TableClass"] = options.table_class
    if options.kms_key is not None:
        params["SSESpecification"] = encryption_params(options)
    if options.tags:
        params["Tags"] = tag_params(options)
    return params


def capacity_params(options: TableOptions) -> Params:
    """Return what a table, and each of its global indexes, is given of capacity."""
    params: Params = {}
    if options.is_provisioned:
        params["ProvisionedThroughput"] = {
            "ReadCapacityUnits": options.read_units,
            "WriteCapacityUnits": options.write_units,
        }
    most = {"MaxReadRequestUnits": options.max_read_units, "MaxWriteRequestUnits": options.max_write_units}
    warm = {"ReadUnitsPerSecond": options.warm_read_units, "WriteUnitsPerSecond": options.warm_write_units}
    for name, figures in (("OnDemandThroughput", most), ("WarmThroughput", warm)):
        if given := {figure: units for figure, units in figures.items() if units is not None}:
            params[name] = given
    return params


def encryption_params(options: TableOptions) -> Params:
    """Return the ``SSESpecification`` for the declared key."""
    if options.kms_key is None:
        return {"Enabled": False}
    named = {} if options.own_kms_key is None else {"KMSMasterKeyId": options.own_kms_key}
    return {"Enabled": True, "SSEType": "KMS", **named}


def recovery_params(days: int, actual: int) -> Params:
    """Return the ``PointInTimeRecoverySpecification`` for so many days, where there are ``actual`` ones now.

    AWS's default is not named where it is one: botocore before 1.36 knows no days.
    """
    if days == 0 or (actual == 0 and days == LONGEST_RECOVERY_DAYS):
        return {"PointInTimeRecoveryEnabled": days > 0}
    return {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": days}


def tag_params(options: TableOptions) -> list[Params]:
    """Return the declared tags as requests have them."""
    return [{"Key": name, "Value": value} for name, value in options.tags.items()]


def key_halves(schema: Iterable[Params]) -> tuple[list[str], list[str]]:
    """Return the attributes of a key's partition half and of its sort half."""
    parts = list(schema)
    return (
        [part["AttributeName"] for part in parts if part["KeyType"] == "HASH"],
        [part["AttributeName"] for part in parts if part["KeyType"] == "RANGE"],
    )


def _index_params(entity: Entity[Any], index: Index) -> Params:
    projection: Params
    if isinstance(index.projection, tuple):
        names = [entity.codec.attribute(name) for name in index.projection]
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": names}
    else:
        projection = {"ProjectionType": index.projection}
    return {"IndexName": index.name, "KeySchema": _key_schema(entity, index), "Projection": projection}


def _key_schema(entity: Entity[Any], index: Index) -> list[Params]:
    kinds = [*(["HASH"] * len(index.partition)), *(["RANGE"] * len(index.sort))]
    return [
        {"AttributeName": name, "KeyType": kind} for name, kind in zip(entity.key_attributes(index), kinds, strict=True)
    ]


def _together(one: DeclaredTable, other: DeclaredTable) -> DeclaredTable:
    """Return the table that two declarations make together: the indexes of both, and all else the same."""
    params = one.params | {
        name: merged
        for name, by in _MERGED.items()
        if (merged := _merged(one, by, one.params.get(name, []), other.params.get(name, [])))
    }
    rest, others = ({k: v for k, v in table.params.items() if k not in _MERGED} for table in (one, other))
    for what, said, said_too in (
        *((name, rest.get(name), others.get(name)) for name in {**rest, **others}),
        ("time to live", one.ttl or other.ttl, other.ttl or one.ttl),
        ("table_options", one.options, other.options),
    ):
        if said != said_too:
            raise _differing(one.name, what, said, said_too)
    return replace(one, params=params, ttl=one.ttl or other.ttl)


_MERGED = {
    "AttributeDefinitions": "AttributeName",
    "GlobalSecondaryIndexes": "IndexName",
    "LocalSecondaryIndexes": "IndexName",
}


def _merged(table: DeclaredTable, by: str, entries: list[Params], others: list[Params]) -> list[Params]:
    merged = {entry[by]: entry for entry in entries}
    for entry in others:
        if merged.setdefault(entry[by], entry) != entry:
            raise _differing(table.name, f"{by} {entry[by]}", merged[entry[by]], entry)
    return list(merged.values())


def _differing(table_name: str, what: str, said: object, said_too: object) -> DeclarationError:
    return DeclarationError(
        f"two repositories declare table {table_name!r}, and {what} differently: {said!r:.200} and {said_too!r:.200}"
    )
