"""Declared tables as templates of CloudFormation and Terraform, made without asking AWS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.declared_tables import (
    DeclaredTable,
    capacity_params,
    declared_tables,
    key_halves,
    tag_params,
)
from dynamodb_wrapper.operations.effects import Params
from dynamodb_wrapper.operations.entity import Entity

Template = dict[str, Any]
"""What ``json.dumps`` turns into a template's file."""

_LONGEST_LOGICAL_ID = 255
"""AWS, "CloudFormation quotas": characters of a logical id. A table's name has as many."""
_PROVIDER = ">= 5.100"
_NEWER_PROVIDER = ">= 6.30"
"""Knows ``warm_throughput``, and ``key_schema`` for indexes on several attributes."""


def cloudformation_of(entities: Sequence[Entity[Any]]) -> Template:
    """Return a CloudFormation template with a resource for each table.

    Raises:
        DeclarationError: Entities say different things of one table.
        ValidationError: A table is named by an ARN, or two names make the same logical id.
    """
    tables = _named(entities, _logical_id)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"DynamoDB tables: {', '.join(table.name for table in tables.values())}"[:1024],
        "Resources": {name: _cloudformation_resource(table) for name, table in tables.items()},
    }


def terraform_of(entities: Sequence[Entity[Any]]) -> Template:
    """Return a Terraform configuration, in JSON syntax, with a resource for each table.

    Raises:
        DeclarationError: Entities say different things of one table.
        ValidationError: A table is named by an ARN, a KMS key is not, or two names make the same name of a resource.
    """
    tables = _named(entities, _resource_name)
    version = _NEWER_PROVIDER if any(map(_needs_newer_provider, tables.values())) else _PROVIDER
    resources = {name: _without_expressions(_terraform_resource(table)) for name, table in tables.items()}
    return {
        "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": version}}},
        "resource": {"aws_dynamodb_table": resources},
    }


def _named(entities: Iterable[Entity[Any]], name: Callable[[str], str]) -> dict[str, DeclaredTable]:
    tables: dict[str, DeclaredTable] = {}
    for table in declared_tables(entities):
        if ":" in table.name:
            raise ValidationError(f"table {table.name!r} is named by an ARN: it is of the template that makes it")
        if (other := tables.setdefault(name(table.name), table)) is not table:
            raise ValidationError(
                f"tables {other.name!r} and {table.name!r} would both be called {name(table.name)} in the template: "
                "make a template for each"
            )
    if not tables:
        raise ValidationError("a template needs at least one repository")
    return tables


# --- CloudFormation -------------------------------------------------------------------------------------------------


def _logical_id(table_name: str) -> str:
    words = re.split(r"[^A-Za-z0-9]+", table_name)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return f"{name[: _LONGEST_LOGICAL_ID - len('Table')]}Table"


def _cloudformation_resource(table: DeclaredTable) -> Template:
    """Return the resource of a table; a table with replicas is another kind of resource."""
    is_global = bool(table.options.replicas)
    return {
        "Type": "AWS::DynamoDB::GlobalTable" if is_global else "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": _global_table(table) if is_global else _regional_table(table),
    }


def _regional_table(table: DeclaredTable) -> Template:
    options = table.options
    properties = {name: value for name, value in table.params.items() if name not in ("StreamSpecification", "Tags")}
    if options.kms_key is not None:
        named = {} if options.own_kms_key is None else {"KMSMasterKeyId": options.own_kms_key}
        properties["SSESpecification"] = {"SSEEnabled": True, "SSEType": "KMS", **named}
    return properties | _expiry_and_stream(table) | _per_region(table)


def _global_table(table: DeclaredTable) -> Template:
    """Return the properties of a global table, in which the regions have some of them."""
    properties: Template = {
        name: table.params[name]
        for name in ("TableName", "KeySchema", "AttributeDefinitions", "BillingMode", "LocalSecondaryIndexes")
        if name in table.params
    }
    capacity = _global_capacity(table)
    properties |= capacity
    if table.global_indexes:
        plain = ("IndexName", "KeySchema", "Projection")
        properties["GlobalSecondaryIndexes"] = [
            {name: index[name] for name in plain} | capacity for index in table.global_indexes
        ]
    if table.options.kms_key is not None:
        properties["SSESpecification"] = {"SSEEnabled": True, "SSEType": "KMS"}
    shared = _per_region(table) | {
        name: table.params[name] for name in ("DeletionProtectionEnabled", "TableClass") if name in table.params
    }
    regions: list[object] = [{"Ref": "AWS::Region"}, *table.options.replicas]
    most: Params = {}
    if table.options.max_read_units is not None:
        most["ReadOnDemandThroughputSettings"] = {"MaxReadRequestUnits": table.options.max_read_units}
        indexes = [{"IndexName": index["IndexName"], **most} for index in table.global_indexes]
        most |= {"GlobalSecondaryIndexes": indexes} if indexes else {}
    properties["Replicas"] = [{"Region": region, **shared, **most} for region in regions]
    stream = {"StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"}}
    return properties | _expiry_and_stream(table) | stream


def _global_capacity(table: DeclaredTable) -> Template:
    capacity = {name: value for name, value in capacity_params(table.options).items() if name == "WarmThroughput"}
    if table.options.max_write_units is not None:
        capacity["WriteOnDemandThroughputSettings"] = {"MaxWriteRequestUnits": table.options.max_write_units}
    return capacity


def _expiry_and_stream(table: DeclaredTable) -> Template:
    properties: Template = {}
    if table.ttl is not None:
        properties["TimeToLiveSpecification"] = {"AttributeName": table.ttl, "Enabled": True}
    if table.options.stream is not None:
        properties["StreamSpecification"] = {"StreamViewType": table.options.stream}
    return properties


def _per_region(table: DeclaredTable) -> Template:
    """Return what a global table has in each region."""
    options = table.options
    properties: Template = {}
    if options.recovery_days is not None:
        properties["PointInTimeRecoverySpecification"] = {"PointInTimeRecoveryEnabled": bool(options.recovery_days)}
        if options.recovery_days:
            properties["PointInTimeRecoverySpecification"]["RecoveryPeriodInDays"] = options.recovery_days
    if options.tags:
        properties["Tags"] = tag_params(options)
    return properties


# --- Terraform ------------------------------------------------------------------------------------------------------


def _resource_name(table_name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]+", "_", table_name)
    return name if re.match(r"[A-Za-z_]", name) else f"table_{name}"


def _without_expressions(value: Any) -> Any:
    """Return what stands in a configuration for a value: texts are as they are, and nothing in them is evaluated."""
    match value:
        case str():
            return value.replace("${", "$${").replace("%{", "%%{")
        case dict():
            return {_without_expressions(name): _without_expressions(inner) for name, inner in value.items()}
        case list():
            return [_without_expressions(inner) for inner in value]
    return value


def _needs_newer_provider(table: DeclaredTable) -> bool:
    has_long_keys = any(max(map(len, key_halves(index["KeySchema"]))) > 1 for index in table.global_indexes)
    return has_long_keys or "WarmThroughput" in table.params


def _terraform_resource(table: DeclaredTable) -> Template:
    options, params = table.options, table.params
    partition, sort = key_halves(params["KeySchema"])
    resource: Template = {
        "name": table.name,
        "billing_mode": params["BillingMode"],
        "hash_key": partition[0],
        **({"range_key": sort[0]} if sort else {}),
        "attribute": [
            {"name": part["AttributeName"], "type": part["AttributeType"]} for part in params["AttributeDefinitions"]
        ],
        **_terraform_capacity(table),
        "lifecycle": {"prevent_destroy": True},
    }
    if table.global_indexes:
        resource["global_secondary_index"] = [_terraform_index(table, index) for index in table.global_indexes]
    if table.local_indexes:
        resource["local_secondary_index"] = [
            {"name": index["IndexName"], "range_key": key_halves(index["KeySchema"])[1][0], **_projection(index)}
            for index in table.local_indexes
        ]
    if table.ttl is not None:
        resource["ttl"] = {"attribute_name": table.ttl, "enabled": True}
    stream = "NEW_AND_OLD_IMAGES" if options.replicas else options.stream
    if stream is not None:
        resource |= {"stream_enabled": True, "stream_view_type": stream}
    if options.deletion_protection:
        resource["deletion_protection_enabled"] = True
    if options.table_class != "STANDARD":
        resource["table_class"] = options.table_class
    return resource | _terraform_security(table)


def _terraform_security(table: DeclaredTable) -> Template:
    options = table.options
    blocks: Template = {}
    if options.kms_key is not None:
        named = {} if options.own_kms_key is None else {"kms_key_arn": options.own_kms_key}
        if options.own_kms_key is not None and not options.own_kms_key.startswith("arn:"):
            raise ValidationError(f"Terraform takes the ARN of a KMS key, and kms_key is {options.own_kms_key!r}")
        blocks["server_side_encryption"] = {"enabled": True, **named}
    if options.recovery_days is not None:
        blocks["point_in_time_recovery"] = {"enabled": bool(options.recovery_days)}
        if options.recovery_days:
            blocks["point_in_time_recovery"]["recovery_period_in_days"] = options.recovery_days
    if options.tags:
        blocks["tags"] = dict(options.tags)
    if options.replicas:
        recovery = {} if options.recovery_days is None else {"point_in_time_recovery": bool(options.recovery_days)}
        tags = {"propagate_tags": True} if options.tags else {}
        blocks["replica"] = [{"region_name": region, **recovery, **tags} for region in options.replicas]
    return blocks


def _terraform_capacity(table: DeclaredTable) -> Template:
    options = table.options
    capacity: Template = {}
    if options.is_provisioned:
        capacity |= {"read_capacity": options.read_units, "write_capacity": options.write_units}
    most = {"max_read_request_units": options.max_read_units, "max_write_request_units": options.max_write_units}
    warm = {"read_units_per_second": options.warm_read_units, "write_units_per_second": options.warm_write_units}
    for name, figures in (("on_demand_throughput", most), ("warm_throughput", warm)):
        if given := {figure: units for figure, units in figures.items() if units is not None}:
            capacity[name] = given
    return capacity


def _terraform_index(table: DeclaredTable, index: Params) -> Template:
    partition, sort = key_halves(index["KeySchema"])
    key: Template = {"hash_key": partition[0], **({"range_key": sort[0]} if sort else {})}
    if max(len(partition), len(sort)) > 1:
        key = {
            "key_schema": [
                {"attribute_name": part["AttributeName"], "key_type": part["KeyType"]} for part in index["KeySchema"]
            ]
        }
    return {"name": index["IndexName"], **key, **_projection(index), **_terraform_capacity(table)}


def _projection(index: Params) -> Template:
    projection = index["Projection"]
    named = {"non_key_attributes": projection["NonKeyAttributes"]} if "NonKeyAttributes" in projection else {}
    return {"projection_type": projection["ProjectionType"], **named}
