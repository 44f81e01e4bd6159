"""Tables that no repository declares: what is known of one is what DynamoDB says of its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field, create_model

from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.operations.declaration import Declaration
from dynamodb_wrapper.operations.effects import Flow, Params, call
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index

_TYPES: Mapping[str, type] = {"S": str, "N": Decimal, "B": bytes}


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table as DynamoDB describes it.

    Attributes:
        entity: Its keys and those of its indexes, over items of any kind.
        arn: Its ARN; None where the server does not say.
        table_id: What tells it from a table of the same name before or after it; None likewise.
        item_count: How many items it has; DynamoDB counts them about every six hours.
    """

    entity: Entity[Any]
    arn: str | None
    table_id: str | None
    item_count: int


def stored_table(table_name: str) -> Flow[StoredTable]:
    """Return what DynamoDB says of a table.

    Raises:
        TableNotFoundError: There is none of that name.
    """
    response = yield from call("DescribeTable", {"TableName": table_name})
    table: Params = response["Table"]
    return StoredTable(
        _entity(table_name, table), table.get("TableArn"), table.get("TableId"), int(table.get("ItemCount", 0))
    )


def _entity(table_name: str, table: Params) -> Entity[Any]:
    tags = {entry["AttributeName"]: entry["AttributeType"] for entry in table["AttributeDefinitions"]}
    names = {attribute: f"part_{number}" for number, attribute in enumerate(tags)}
    fields: dict[str, Any] = {
        name: (_TYPES[tags[attribute]], Field(alias=attribute)) for attribute, name in names.items()
    }
    item: type[BaseModel] = create_model("Item", **fields)
    partition, sort = _key(table["KeySchema"], names)
    declaration = Declaration(
        owner=f"table {table_name!r}",
        model_class=item,
        partition_key=partition[0],
        sort_key=sort[0] if sort else None,
        indexes=tuple(
            Index(index["IndexName"], *_key(index["KeySchema"], names), local=is_local)
            for member, is_local in (("GlobalSecondaryIndexes", False), ("LocalSecondaryIndexes", True))
            for index in table.get(member) or ()
        ),
    )
    return Entity(table_name, declaration, declaration.codec_for(item, TimeRules()))


def _key(schema: list[Params], names: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the partition and the sort part of a key."""
    parts = [(part["KeyType"], names[part["AttributeName"]]) for part in schema]
    return tuple(name for kind, name in parts if kind == "HASH"), tuple(name for kind, name in parts if kind == "RANGE")
