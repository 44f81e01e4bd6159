"""How a real table differs from its declaration: one comparison, for `table_diff`, `apply_table` and `ensure_table`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamodb_wrapper.operations.declared_tables import (
    DeclaredTable,
    capacity_params,
    encryption_params,
    recovery_params,
    tag_params,
)
from dynamodb_wrapper.operations.effects import Params
from dynamodb_wrapper.operations.table_diff import Aspect, Permission, Step, TableDifference


@dataclass(frozen=True, slots=True)
class TableState:
    """What is known of a real table.

    Attributes:
        table: DynamoDB's description; None if there is no table.
        ttl: The attribute by which items expire.
        recovery_days: How many days back it can be restored, 0 for no continuous backups; None if nobody asked.
        tags: Its tags; empty if nobody asked.
    """

    table: Mapping[str, Any] | None
    ttl: str | None = None
    recovery_days: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def compared(declared: DeclaredTable, state: TableState) -> list[TableDifference]:
    """Return what is not as declared, in the order in which it can be changed."""
    return list(_Comparison(declared, state).differences())


def other_structure(declared: DeclaredTable, table: Mapping[str, Any]) -> dict[str, str]:
    """Return what makes a table unusable for a declaration: its key, and the indexes that are missing or others."""
    comparison = _Comparison(declared, TableState(table))
    found = (*comparison.of_key(), *comparison.of_indexes())
    return {
        each.what: f"is {each.actual or 'missing'}, declared {each.declared}"
        for each in found
        if each.declared is not None
    }


class _Comparison:
    def __init__(self, declared: DeclaredTable, state: TableState) -> None:
        self._declared = declared
        self._options = declared.options
        self._state = state
        self._table: Mapping[str, Any] = state.table or {}

    def differences(self) -> Iterator[TableDifference]:
        if self._state.table is None:
            yield self._difference("table", "table", "one", None, Step("CreateTable", self._declared.params))
            return
        yield from self.of_key()
        yield from self._of_billing()
        yield from self.of_indexes()
        yield from self._of_capacity()
        yield from self._of_ttl()
        yield from self._of_stream()
        yield from self._of_protection()
        yield from self._of_encryption()
        yield from self._of_class()
        yield from self._of_recovery()
        yield from self._of_tags()
        yield from self._of_replicas()

    # --- keys and indexes ---------------------------------------------------------------------------------------

    def of_key(self) -> Iterator[TableDifference]:
        declared, actual = _key(self._declared.params), _key(self._table)
        if declared != actual:
            why = "a table keeps its key for life: copy the items into a new table"
            yield self._difference("key", "key", declared, actual, why_not=why)

    def of_indexes(self) -> Iterator[TableDifference]:
        for kind, label in (("GlobalSecondaryIndexes", "index"), ("LocalSecondaryIndexes", "local index")):
            declared, actual = _indexes(self._declared.params, kind), _indexes(self._table, kind)
            names = sorted({*declared, *actual}, key=lambda name: (name in declared, name not in actual, name))
            for name in names:
                if declared.get(name) != actual.get(name):
                    yield self._index_difference(f"{label} {name}", name, declared.get(name), actual.get(name), kind)

    def _index_difference(
        self, what: str, name: str, declared: str | None, actual: str | None, kind: str
    ) -> TableDifference:
        if kind == "LocalSecondaryIndexes":
            why = "local indexes are made and deleted with the table: copy the items into a new table"
            return self._difference("indexes", what, declared, actual, why_not=why)
        if actual is not None:
            if declared is not None and (other := self._of_other_type(name, self._kept())):
                why = f"{other} has another type in the table's key or a local index, so it could not be built anew"
                return self._difference("indexes", what, declared, actual, why_not=why)
            why = "its queries fail until it is built anew" if declared else "other programs may query it"
            updates = [{"Delete": {"IndexName": name}}]
            step = self._update(GlobalSecondaryIndexUpdates=updates)
            return self._difference("indexes", what, declared, actual, step, why_not=why, needs="delete_indexes")
        return self._missing_index(what, name, declared)

    def _missing_index(self, what: str, name: str, declared: str | None) -> TableDifference:
        index = self._declared_index(name)
        attributes = {part["AttributeName"] for part in index["KeySchema"]}
        there, wanted = _types(self._table), _types(self._declared.params)
        if other := self._of_other_type(name, there):
            why = f"{other} has another type in the table's key, or in another index"
            return self._difference("indexes", what, declared, None, why_not=why)
        types = there | {name: wanted[name] for name in attributes}
        step = self._update(
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": tag} for name, tag in types.items()],
            GlobalSecondaryIndexUpdates=[{"Create": self._fitted(index)}],
        )
        return self._difference("indexes", what, declared, None, step)

    def _declared_index(self, name: str) -> Params:
        return next(index for index in self._declared.global_indexes if index["IndexName"] == name)

    def _of_other_type(self, name: str, there: Mapping[str, str]) -> str:
        """Return the attributes of a declared index that have another type there."""
        wanted = _types(self._declared.params)
        parts = [part["AttributeName"] for part in self._declared_index(name)["KeySchema"]]
        return ", ".join(sorted(part for part in parts if there.get(part, wanted[part]) != wanted[part]))

    def _kept(self) -> dict[str, str]:
        """Return the types that the table has for life: those of its key and its local indexes."""
        return _types({**self._table, "GlobalSecondaryIndexes": ()})

    def _fitted(self, index: Params) -> Params:
        """Return an index with capacity as the table is billed now, which may not be as it is declared."""
        plain = {name: value for name, value in index.items() if name not in _CAPACITIES}
        if _billing(self._table) == self._declared.params["BillingMode"]:
            return index
        if _billing(self._table) == "PAY_PER_REQUEST":
            return plain
        figures = self._table["ProvisionedThroughput"]
        return plain | {"ProvisionedThroughput": {name: figures[name] for name in _PROVISIONED}}

    # --- billing and capacity -----------------------------------------------------------------------------------

    def _of_billing(self) -> Iterator[TableDifference]:
        declared, actual = self._declared.params["BillingMode"], _billing(self._table)
        if declared == actual:
            return
        params: Params = {"BillingMode": declared}
        if declared == "PROVISIONED":
            throughput = self._declared.params["ProvisionedThroughput"]
            params["ProvisionedThroughput"] = throughput
            if existing := _by_name(self._table):
                params["GlobalSecondaryIndexUpdates"] = [
                    {"Update": {"IndexName": name, "ProvisionedThroughput": throughput}} for name in existing
                ]
        yield self._difference("billing", "billing", declared, actual, self._update(**params))

    def _of_capacity(self) -> Iterator[TableDifference]:
        """Compare the figures of the table and of the indexes that are there and declared."""
        if self._declared.params["BillingMode"] != _billing(self._table):
            return
        declared = capacity_params(self._options)
        wanted = {index["IndexName"] for index in self._declared.global_indexes}
        indexes = {name: index for name, index in _by_name(self._table).items() if name in wanted}
        targets: list[tuple[str | None, Mapping[str, Any]]] = [(None, self._table), *indexes.items()]
        for index, there in targets:
            for kind, (label, figures) in _CAPACITIES.items():
                if kind == "ProvisionedThroughput" and not self._options.is_provisioned:
                    continue
                actual = {name: there.get(kind, {}).get(name) for name in figures}
                yield from self._of_figures(index, kind, label, declared.get(kind, {}), actual)

    def _of_figures(
        self, index: str | None, kind: str, label: str, declared: Params, actual: Mapping[str, int | None]
    ) -> Iterator[TableDifference]:
        unbound: list[str] = []
        if kind == "WarmThroughput":  # grows by itself, and never shrinks
            change = {name: units for name, units in declared.items() if units > (actual[name] or 0)}
        else:
            wanted = {name: declared.get(name) for name in actual}
            unbound = [name for name, most in _bounded(actual).items() if most is not None and wanted[name] is None]
            change = {} if wanted == _bounded(actual) else {name: -1 if v is None else v for name, v in wanted.items()}
        if not change:
            return
        what = label if index is None else f"{label} of index {index}"
        target: Params = {kind: change}
        if index is not None:
            target = {"GlobalSecondaryIndexUpdates": [{"Update": {"IndexName": index, kind: change}}]}
        yield self._difference(
            "capacity",
            what,
            _figures(declared),
            _figures(_bounded(actual)),
            self._update(**target),
            cuts_off="without a maximum, costs have none" if unbound else None,
        )

    # --- the rest -----------------------------------------------------------------------------------------------

    def _of_ttl(self) -> Iterator[TableDifference]:
        declared, actual = self._declared.ttl, self._state.ttl
        if declared == actual:
            return
        why = None
        if actual is not None:
            why = "items would no longer expire" + (" until it is set anew, which can take an hour" if declared else "")
        specification = {"Enabled": actual is None, "AttributeName": declared if actual is None else actual}
        step = Step("UpdateTimeToLive", {"TableName": self._declared.name, "TimeToLiveSpecification": specification})
        yield self._difference("ttl", "time to live", declared, actual, step, cuts_off=why)

    def _of_stream(self) -> Iterator[TableDifference]:
        declared = self._options.stream
        stream = self._table.get("StreamSpecification") or {}
        actual = stream.get("StreamViewType") if stream.get("StreamEnabled") else None
        if declared == actual:
            return
        if actual is None:
            step = self._update(StreamSpecification={"StreamEnabled": True, "StreamViewType": declared})
            yield self._difference("stream", "stream", declared, actual, step)
            return
        if self._options.replicas and declared is None:  # replicas have one of themselves
            return
        why = "whoever reads the stream loses what is in it, and a new stream has another ARN"
        step = self._update(StreamSpecification={"StreamEnabled": False})
        yield self._difference("stream", "stream", declared, actual, step, cuts_off=why)

    def _of_protection(self) -> Iterator[TableDifference]:
        declared, actual = self._options.deletion_protection, bool(self._table.get("DeletionProtectionEnabled"))
        if declared != actual:
            why = None if declared else "the table could be deleted then"
            yield self._difference(
                "deletion_protection",
                "deletion protection",
                "on" if declared else None,
                "on" if actual else "off",
                self._update(DeletionProtectionEnabled=declared),
                cuts_off=why,
            )

    def _of_encryption(self) -> Iterator[TableDifference]:
        description = self._table.get("SSEDescription") or {}
        on = description.get("Status") in ("ENABLED", "ENABLING", "UPDATING") and description.get("SSEType") == "KMS"
        arn = description.get("KMSMasterKeyArn", "a KMS key") if on else None
        if _same_key(self._options.kms_key, arn):
            return
        why = None if self._options.kms_key else "who may read was decided with that key, too"
        yield self._difference(
            "encryption",
            "encryption",
            self._options.kms_key,
            arn or "with a key owned by AWS",
            self._update(SSESpecification=encryption_params(self._options)),
            cuts_off=why,
        )

    def _of_class(self) -> Iterator[TableDifference]:
        actual = (self._table.get("TableClassSummary") or {}).get("TableClass", "STANDARD")
        if self._options.table_class != actual:
            step = self._update(TableClass=self._options.table_class)
            yield self._difference("table_class", "table class", self._options.table_class, actual, step)

    def _of_recovery(self) -> Iterator[TableDifference]:
        declared, actual = self._options.recovery_days, self._state.recovery_days
        if declared is None or actual is None or declared == actual:
            return
        why = "backups older than that are lost, and do not come back" if declared < actual else None
        specification = recovery_params(declared, actual)
        step = Step(
            "UpdateContinuousBackups",
            {"TableName": self._declared.name, "PointInTimeRecoverySpecification": specification},
        )
        said, there = (f"{days} days" if days else "off" for days in (declared, actual))
        yield self._difference("point_in_time_recovery", "point-in-time recovery", said, there, step, cuts_off=why)

    def _of_tags(self) -> Iterator[TableDifference]:
        there = self._state.tags
        missing = [tag for tag in tag_params(self._options) if there.get(tag["Key"]) != tag["Value"]]
        if missing:
            step = Step("TagResource", {"ResourceArn": self._table.get("TableArn"), "Tags": missing})
            said = ", ".join(f"{tag['Key']}={tag['Value']}" for tag in missing)
            actual = ", ".join(f"{tag['Key']}={there[tag['Key']]}" for tag in missing if tag["Key"] in there)
            yield self._difference("tags", "tags", said, actual or None, step)

    def _of_replicas(self) -> Iterator[TableDifference]:
        own = str(self._table.get("TableArn", ":::")).split(":")[3]
        actual = {replica["RegionName"] for replica in self._table.get("Replicas") or ()} - {own}
        declared = set(self._options.replicas) - {own}
        if declared != actual:
            why = "a replica is a copy of the whole table in another region: make and delete it by a template"
            said, there = (", ".join(sorted(regions)) or None for regions in (declared, actual))
            yield self._difference("replicas", "replicas", said, there, why_not=why)

    def _update(self, **params: Any) -> Step:
        return Step("UpdateTable", {"TableName": self._declared.name, **params})

    def _difference(
        self,
        aspect: Aspect,
        what: str,
        declared: str | None,
        actual: str | None,
        step: Step | None = None,
        *,
        why_not: str | None = None,
        needs: Permission | None = None,
        cuts_off: str | None = None,
    ) -> TableDifference:
        """Return a difference; ``cuts_off`` says why a change is one that turns something off."""
        if cuts_off is not None:
            why_not, needs = cuts_off, "disable"
        how = None if step is None else _told(step)
        return TableDifference(self._declared.name, aspect, what, declared, actual, how, why_not, needs, step)


_PROVISIONED = ("ReadCapacityUnits", "WriteCapacityUnits")
_CAPACITIES = {
    "ProvisionedThroughput": ("provisioned capacity", _PROVISIONED),
    "OnDemandThroughput": ("on-demand maximum", ("MaxReadRequestUnits", "MaxWriteRequestUnits")),
    "WarmThroughput": ("warm throughput", ("ReadUnitsPerSecond", "WriteUnitsPerSecond")),
}


def _billing(table: Mapping[str, Any]) -> str:
    return str((table.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED"))


def _by_name(table: Mapping[str, Any]) -> dict[str, Params]:
    return {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes") or ()}


def _bounded(figures: Mapping[str, int | None]) -> dict[str, int | None]:
    """Return figures with None for no bound, which AWS writes as -1."""
    return {name: None if units == -1 else units for name, units in figures.items()}


def _figures(figures: Mapping[str, int | None]) -> str | None:
    return ", ".join(f"{name} {units}" for name, units in figures.items() if units is not None) or None


def _same_key(declared: str | None, arn: str | None) -> bool:
    """Whether a declared KMS key is the one in use; what an alias stands for is only known to KMS."""
    if declared is None or arn is None:
        return declared is arn
    return "alias/" in declared or arn == declared or arn.endswith(f"key/{declared}")


def _told(step: Step) -> str:
    """Return a request in few words: its name, and which of its parameters say what changes."""
    told = [name for name in step.params if name not in ("TableName", "AttributeDefinitions", "ResourceArn")]
    changes = step.params.get("GlobalSecondaryIndexUpdates", ())
    told += [f"{kind} {entry['IndexName']}" for change in changes for kind, entry in change.items()]
    return step.operation if step.operation == "CreateTable" else f"{step.operation} ({', '.join(told)})"


# --- structure as text ----------------------------------------------------------------------------------------------


def _types(table: Mapping[str, Any]) -> dict[str, str]:
    """Return the types of the attributes that are in a key; one of an index that is gone may still be described."""
    indexes = [*(table.get("GlobalSecondaryIndexes") or ()), *(table.get("LocalSecondaryIndexes") or ())]
    used = {part["AttributeName"] for each in (table, *indexes) for part in each["KeySchema"]}
    types = {part["AttributeName"]: part["AttributeType"] for part in table["AttributeDefinitions"]}
    return {name: tag for name, tag in types.items() if name in used}


def _key(table: Mapping[str, Any], schema: list[Params] | None = None) -> str:
    """Return a key as text: names, types, and which half they are in."""
    types = _types(table)
    parts = table["KeySchema"] if schema is None else schema
    return ", ".join(f"{part['AttributeName']} {types.get(part['AttributeName'])} {part['KeyType']}" for part in parts)


def _indexes(table: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return each index as text: its key, and what it carries."""
    structure = {}
    for index in table.get(kind) or ():
        projection = index["Projection"]
        carried = [projection["ProjectionType"], *sorted(projection.get("NonKeyAttributes", ()))]
        structure[index["IndexName"]] = f"{_key(table, index['KeySchema'])} carrying {', '.join(carried)}"
    return structure
