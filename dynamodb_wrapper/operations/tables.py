"""Flows that make, watch and delete the table of a declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dynamodb_wrapper.exceptions import TableInUseError, TableNotFoundError, ValidationError
from dynamodb_wrapper.operations.declaration import Index
from dynamodb_wrapper.operations.effects import Flow, Params, call, sleep
from dynamodb_wrapper.operations.entity import Entity

Progress = Callable[[str], None]
"""Is told each state while a table is waited for: ``"CREATING"``, ``"ACTIVE"``, ..."""

_POLL_SECONDS = 0.25
_LONGEST_POLL_SECONDS = 5.0


def create_table(entity: Entity[Any], *, wait_seconds: float, progress: Progress) -> Flow[None]:
    """Make the table with its keys, indexes, billing and stream, wait until it is active, then set its TTL.

    Raises:
        TableInUseError: It exists already, or is not active after ``wait_seconds``.
    """
    yield from call("CreateTable", table_params(entity), repeatable=False)
    yield from wait_until(entity, "ACTIVE", wait_seconds=wait_seconds, progress=progress)
    yield from _ensure_ttl(entity)


def ensure_table(entity: Entity[Any], *, wait_seconds: float, progress: Progress) -> Flow[bool]:
    """Make the table unless it exists; True if it was made here. Two processes may do it at once.

    Raises:
        ValidationError: The existing table has another key, or a declared index is missing or another one.
    """
    table = yield from _describe(entity)
    made_here = table is None
    if table is None:
        try:
            # Repeatable: if the first try made the table, the repeat ends in the branch below, and all is well.
            yield from call("CreateTable", table_params(entity))
        except TableInUseError:
            made_here = False
            table = yield from _describe(entity)
    if table is not None:
        _compare(entity, table)
    yield from wait_until(entity, "ACTIVE", wait_seconds=wait_seconds, progress=progress)
    yield from _ensure_ttl(entity)
    return made_here


def delete_table(entity: Entity[Any], *, wait_seconds: float, progress: Progress) -> Flow[bool]:
    """Delete the table with all its items and wait until it is gone; False if there was none."""
    try:
        yield from call("DeleteTable", {"TableName": entity.table_name}, repeatable=True)
    except TableNotFoundError:
        return False
    yield from wait_until(entity, None, wait_seconds=wait_seconds, progress=progress)
    return True


def one_after_another(*flows: Flow[bool | None]) -> Flow[bool]:
    """Run flows of several tables, each when the one before is done; True if any of them says so."""
    outcomes = []
    for flow in flows:
        outcomes.append((yield from flow))
    return any(outcomes)


def table_status(entity: Entity[Any]) -> Flow[str | None]:
    """Return DynamoDB's word for the table's state (``"ACTIVE"``, ``"CREATING"``, ...), or None if there is none."""
    table = yield from _describe(entity)
    return None if table is None else str(table["TableStatus"])


def wait_until(entity: Entity[Any], wanted: str | None, *, wait_seconds: float, progress: Progress) -> Flow[None]:
    """Wait until the table and its indexes have a state (None: until the table is gone).

    Raises:
        TableInUseError: They do not have it after ``wait_seconds``.
    """
    waited, pause = 0.0, _POLL_SECONDS
    told: str | None = ""
    while True:
        table = yield from _describe(entity)
        state = _state(table)
        if state != told:
            progress("gone" if state is None else state)
            told = state
        if state == wanted:
            return
        if waited >= wait_seconds:
            raise TableInUseError(
                f"table {entity.table_name!r} is {state or 'gone'} after {waited:g} s of waiting for "
                f"{wanted or 'it to be gone'}; wait_seconds sets how long to wait"
            )
        yield from sleep(pause)
        waited += pause
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


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
        "BillingMode": "PAY_PER_REQUEST",
    }
    throughput = None
    if options.read_units is not None:
        throughput = {"ReadCapacityUnits": options.read_units, "WriteCapacityUnits": options.write_units}
        params |= {"BillingMode": "PROVISIONED", "ProvisionedThroughput": throughput}
    if global_indexes:
        shared = {} if throughput is None else {"ProvisionedThroughput": throughput}
        params["GlobalSecondaryIndexes"] = [_index_params(entity, index) | shared for index in global_indexes]
    if local_indexes:
        params["LocalSecondaryIndexes"] = [_index_params(entity, index) for index in local_indexes]
    if options.stream is not None:
        params["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": options.stream}
    if options.deletion_protection:
        params["DeletionProtectionEnabled"] = True
    return params


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


def _ensure_ttl(entity: Entity[Any]) -> Flow[None]:
    """Set the declared TTL where it is not set yet; another process may be doing the same."""
    if entity.declaration.ttl is None:
        return
    attribute = entity.codec.attribute(entity.declaration.ttl)
    if (yield from _ttl_attribute(entity)) == attribute:
        return
    specification = {"Enabled": True, "AttributeName": attribute}
    try:
        yield from call("UpdateTimeToLive", {"TableName": entity.table_name, "TimeToLiveSpecification": specification})
    except ValidationError as error:
        existing = yield from _ttl_attribute(entity)
        if existing != attribute:
            raise ValidationError(
                f"table {entity.table_name!r} should expire items by {attribute!r}, and DynamoDB refuses to set that; "
                f"it expires them by {existing!r}",
                {"ttl_attribute": f"is {existing!r}, declared {attribute!r}"},
                error,
            ) from error


def _ttl_attribute(entity: Entity[Any]) -> Flow[str | None]:
    """Return the attribute by which the table expires items, or None."""
    response = yield from call("DescribeTimeToLive", {"TableName": entity.table_name})
    description = response["TimeToLiveDescription"]
    enabled = description.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return description.get("AttributeName") if enabled else None


def _describe(entity: Entity[Any]) -> Flow[dict[str, Any] | None]:
    try:
        response = yield from call("DescribeTable", {"TableName": entity.table_name})
    except TableNotFoundError:
        return None
    table: dict[str, Any] = response["Table"]
    return table


def _state(table: dict[str, Any] | None) -> str | None:
    if table is None:
        return None
    states = [table["TableStatus"], *(index.get("IndexStatus", "ACTIVE") for index in _indexes(table))]
    return next((state for state in states if state != "ACTIVE"), "ACTIVE")


def _indexes(table: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return [*table.get("GlobalSecondaryIndexes", ()), *table.get("LocalSecondaryIndexes", ())]


def _compare(entity: Entity[Any], table: dict[str, Any]) -> None:
    """Refuse to work on a table that is not the declared one."""
    existing, declared = _structure(table), _structure(table_params(entity))
    problems = {
        name: f"is {existing.get(name, 'missing')}, declared {structure}"
        for name, structure in declared.items()
        if existing.get(name) != structure
    }
    if problems:
        details = "; ".join(f"{what} {problem}" for what, problem in problems.items())
        raise ValidationError(f"table {entity.table_name!r} is not as declared: {details}", problems)


def _structure(table: dict[str, Any]) -> dict[str, str]:
    """Return the key of a table and of each index as text: names, types, and what an index carries."""
    types = {part["AttributeName"]: part["AttributeType"] for part in table["AttributeDefinitions"]}

    def key(schema: list[dict[str, str]]) -> str:
        return ", ".join(f"{part['AttributeName']} {types[part['AttributeName']]} {part['KeyType']}" for part in schema)

    structure = {"key": key(table["KeySchema"])}
    for index in _indexes(table):
        projection = index["Projection"]
        carried = [projection["ProjectionType"], *sorted(projection.get("NonKeyAttributes", ()))]
        structure[f"index {index['IndexName']}"] = f"{key(index['KeySchema'])} carrying {', '.join(carried)}"
    return structure
