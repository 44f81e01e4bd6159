"""Comparing and changing tables, driven by hand: every request, every refusal, and what is left."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessDeniedError,
    AccessPattern,
    BaseDynamoRepository,
    ConnectionError,
    DeclarationError,
    LimitExceededError,
    TableInUseError,
    TableNotFoundError,
    TableOptions,
    ValidationError,
)
from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations import table_changes
from dynamodb_wrapper.operations.declared_tables import declared_table
from dynamodb_wrapper.operations.effects import Call, Flow, Sleep, Together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.table_comparison import TableState, compared

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:eu-west-1:123456789012:key/{KEY}"


class Item(BaseModel):
    p: str
    s: str = ""
    n: int = 0
    until: int | None = None


class Plain(BaseDynamoRepository[Item]):
    table_name = "items"
    primary_key = "p"
    sort_key = "s"


class Indexed(Plain):
    by_n = AccessPattern("by_n", partition="n")
    by_s = AccessPattern("by_s", partition="s", sort="n", projection=["until"])


class Expiring(Plain):
    ttl_attribute = "until"


class OtherExpiring(Plain):
    ttl_attribute = "n"


def entity_of(repository: type[BaseDynamoRepository[Item]], options: TableOptions | None = None) -> Entity[Item]:
    if options is not None:
        repository = type("Optioned", (repository,), {"table_options": options})
    declaration = repository._declaration
    assert declaration is not None
    return Entity("items", declaration, declaration.codec_for(Item, TimeRules()))


@dataclass
class FakeTable:
    """As much of DynamoDB as a flow needs to change a table; what AWS demands of an UpdateTable, it demands too."""

    table: dict[str, Any] | None = None
    ttl: str | None = None
    recovery_days: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, DynamoDBWrapperError] = field(default_factory=dict)
    busy_for: int = 0
    sent: list[Call] = field(default_factory=list)

    @classmethod
    def of(cls, entity: Entity[Item], **state: Any) -> FakeTable:
        fake = cls(**state)
        fake.CreateTable(declared_table(entity).params)
        fake.busy_for = 0
        return fake

    def run(self, flow: Flow[Any]) -> Any:
        outcome: Any = None
        error: BaseException | None = None
        while True:
            try:
                effect = flow.send(outcome) if error is None else flow.throw(error)
            except StopIteration as stop:
                return stop.value
            outcome, error = None, None
            if isinstance(effect, Together):
                outcome = [self.run(each) for each in effect.flows]
            elif isinstance(effect, Call):
                self.sent.append(effect)
                try:
                    outcome = self.answer(effect)
                except DynamoDBWrapperError as raised:
                    error = raised
            else:
                assert isinstance(effect, Sleep)

    def answer(self, call: Call) -> dict[str, Any]:
        described = " ".join([call.operation, *map(str, call.params), str(call.params)])
        for part, refusal in self.refusals.items():
            if part in described and not call.operation.startswith(("Describe", "List")):
                raise refusal
        answer: dict[str, Any] = getattr(self, call.operation)(call.params)
        return answer

    @property
    def changes(self) -> list[dict[str, Any]]:
        """What was sent to change the table."""
        return [call.params for call in self.sent if not call.operation.startswith(("Describe", "List"))]

    def DescribeTable(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the operations' names
        if self.table is None:
            raise TableNotFoundError("no table")
        status = "ACTIVE"
        if self.busy_for > 0:
            self.busy_for -= 1
            status = "UPDATING"
        return {"Table": {**copy.deepcopy(self.table), "TableStatus": status}}

    def DescribeTimeToLive(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        on = {"TimeToLiveStatus": "ENABLED", "AttributeName": self.ttl}
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"} if self.ttl is None else on}

    def DescribeContinuousBackups(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        status = "ENABLED" if self.recovery_days else "DISABLED"
        recovery = {"PointInTimeRecoveryStatus": status, "RecoveryPeriodInDays": self.recovery_days or None}
        return {"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": recovery}}

    def ListTagsOfResource(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Answer a tag at a time."""
        names = sorted(self.tags)
        position = int(params.get("NextToken", 0))
        more = {"NextToken": str(position + 1)} if position + 1 < len(names) else {}
        return {"Tags": [{"Key": name, "Value": self.tags[name]} for name in names[position : position + 1]], **more}

    def CreateTable(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.table = copy.deepcopy({**params, "TableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/items"})
        self.table["BillingModeSummary"] = {"BillingMode": params["BillingMode"]}
        self.table["TableClassSummary"] = {"TableClass": params.get("TableClass", "STANDARD")}
        self.busy_for = 2
        return {}

    def UpdateTable(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert self.table is not None
        if self.busy_for:
            raise TableInUseError("being updated")
        changes = params.get("GlobalSecondaryIndexUpdates", [])
        created = [each for each in changes if "Update" not in each]
        assert len(created) <= 1, "one index at a time"
        assert len(created) + sum(name not in ("TableName", "AttributeDefinitions") for name in params) > 0
        self.busy_for = 2
        for change in created:
            ((kind, index),) = change.items()
            indexes = self.table.setdefault("GlobalSecondaryIndexes", [])
            indexes[:] = [each for each in indexes if each["IndexName"] != index["IndexName"]]
            if kind == "Create":
                indexes.append(copy.deepcopy(index))
                self.table["AttributeDefinitions"] = params["AttributeDefinitions"]
        for name in ("DeletionProtectionEnabled", "StreamSpecification", "ProvisionedThroughput"):
            if name in params:
                self.table[name] = params[name]
        if "BillingMode" in params:
            self.table["BillingModeSummary"] = {"BillingMode": params["BillingMode"]}
        return {}

    def UpdateTimeToLive(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        specification = params["TimeToLiveSpecification"]
        self.ttl = specification["AttributeName"] if specification["Enabled"] else None
        return {}

    def UpdateContinuousBackups(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        specification = params["PointInTimeRecoverySpecification"]
        is_on = specification["PointInTimeRecoveryEnabled"]
        self.recovery_days = specification.get("RecoveryPeriodInDays", 35) if is_on else 0
        return {}

    def TagResource(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.tags |= {tag["Key"]: tag["Value"] for tag in params["Tags"]}
        return {}


def apply(fake: FakeTable, entity: Entity[Item], **asked: Any) -> table_changes.TableChanges:
    options: dict[str, Any] = {"delete_indexes": False, "disable": False, "skip": (), "wait_seconds": 5} | asked
    changes: table_changes.TableChanges = fake.run(
        table_changes.apply_tables([entity], progress=lambda state: None, **options)
    )
    return changes


def diff(fake: FakeTable, entity: Entity[Item]) -> table_changes.TableDiff:
    found: table_changes.TableDiff = fake.run(table_changes.table_diff([entity]))
    return found


def test_only_one_index_is_made_at_a_time_and_waited_for() -> None:
    fake = FakeTable.of(entity_of(Plain))
    changes = apply(fake, entity_of(Indexed))
    assert [each.what for each in changes.done] == ["index by_n", "index by_s"]
    assert not changes
    first, second = fake.changes
    assert first["GlobalSecondaryIndexUpdates"][0]["Create"]["IndexName"] == "by_n"
    assert {part["AttributeName"] for part in first["AttributeDefinitions"]} == {"p", "s", "n"}
    assert second["GlobalSecondaryIndexUpdates"][0]["Create"]["Projection"] == {
        "ProjectionType": "INCLUDE",
        "NonKeyAttributes": ["until"],
    }
    operations = [call.operation for call in fake.sent]
    between = operations[operations.index("UpdateTable") + 1 :]
    assert between[: between.index("UpdateTable")].count("DescribeTable") >= 3  # until it is active again


def test_an_interrupted_run_goes_on_where_it_was() -> None:
    entity = entity_of(Indexed, TableOptions(stream="KEYS_ONLY", deletion_protection=True))
    fake = FakeTable.of(entity_of(Plain))
    fake.refusals["by_s"] = ConnectionError("cut off")
    with pytest.raises(ConnectionError):
        apply(fake, entity)
    assert [each["GlobalSecondaryIndexUpdates"][0]["Create"]["IndexName"] for each in fake.changes] == ["by_n", "by_s"]
    fake.refusals.clear()
    changes = apply(fake, entity)
    assert [each.what for each in changes.done] == ["index by_s", "stream", "deletion protection"]
    assert not diff(fake, entity)


def test_a_refused_change_leaves_the_others() -> None:
    fake = FakeTable.of(entity_of(Plain))
    fake.refusals["by_n"] = LimitExceededError("too many indexes")
    fake.refusals["StreamSpecification"] = ValidationError("no streams here")
    changes = apply(fake, entity_of(Indexed, TableOptions(stream="KEYS_ONLY", deletion_protection=True)))
    assert [each.what for each in changes.done] == ["index by_s", "deletion protection"]
    assert [(each.what, each.why_not) for each in changes.left] == [
        ("index by_n", "DynamoDB refused: too many indexes"),
        ("stream", "DynamoDB refused: no streams here"),
    ]
    assert "too many indexes" in str(changes)
    assert len(fake.changes) == 4  # each is tried once


def test_a_change_that_does_not_show_is_not_repeated_for_ever() -> None:
    fake = FakeTable.of(entity_of(Plain))
    fake.TagResource = lambda params: {}  # type: ignore[method-assign]
    changes = apply(fake, entity_of(Plain, TableOptions(tags={"a": "b"})))
    assert [each.what for each in changes.done] == ["tags"]
    assert len(fake.changes) == 1


def test_a_table_that_others_change_too_is_waited_for() -> None:
    """Between the look at the table and the change of it, somebody else has begun one."""
    fake = FakeTable.of(entity_of(Plain))
    update, busy = fake.UpdateTable, [True, True, False]

    def in_turn(params: dict[str, Any]) -> dict[str, Any]:
        if busy.pop(0):
            fake.busy_for = 3
            raise TableInUseError("being updated")
        return update(params)

    fake.UpdateTable = in_turn  # type: ignore[method-assign]
    assert [each.what for each in apply(fake, entity_of(Plain, TableOptions(stream="KEYS_ONLY"))).done] == ["stream"]
    assert len(fake.changes) == 3


def test_a_table_that_others_change_all_the_time_is_left() -> None:
    fake = FakeTable.of(entity_of(Plain))
    fake.refusals["UpdateTable"] = TableInUseError("being updated")
    (left,) = apply(fake, entity_of(Plain, TableOptions(stream="KEYS_ONLY"))).left
    assert left.why_not == "DynamoDB refused: being updated"
    assert len(fake.changes) == 5


def test_a_change_whose_answer_was_lost_is_done() -> None:
    """It was sent again, and refused because it is there already."""
    fake = FakeTable.of(entity_of(Plain))
    update = fake.UpdateTable

    def twice(params: dict[str, Any]) -> dict[str, Any]:
        update(params)
        raise ValidationError("the index exists")

    fake.UpdateTable = twice  # type: ignore[method-assign]
    changes = apply(fake, entity_of(Plain, TableOptions(stream="KEYS_ONLY")))
    assert [each.what for each in changes.done] == ["stream"]
    assert changes.left == ()


def test_a_table_that_may_not_be_made_is_left() -> None:
    fake = FakeTable(refusals={"CreateTable": AccessDeniedError("no permission")})
    (left,) = apply(fake, entity_of(Plain)).left
    assert (left.aspect, left.why_not) == ("table", "DynamoDB refused: no permission")


def test_waiting_is_bounded() -> None:
    fake = FakeTable.of(entity_of(Plain))
    fake.busy_for = 10_000
    with pytest.raises(TableInUseError, match="wait_seconds"):
        apply(fake, entity_of(Indexed))
    assert fake.changes == []


def test_a_table_that_is_made_meanwhile_is_changed_then() -> None:
    fake = FakeTable()
    changes = apply(fake, entity_of(Expiring, TableOptions(point_in_time_recovery=7, tags={"a": "b", "c": "d"})))
    assert [each.what for each in changes.done] == ["table", "time to live", "point-in-time recovery", "tags"]
    assert (fake.ttl, fake.recovery_days, fake.tags) == ("until", 7, {"a": "b", "c": "d"})


@pytest.mark.parametrize("asked", [{}, {"delete_indexes": True}], ids=str)
def test_an_index_is_deleted_before_others_are_made(asked: dict[str, bool]) -> None:
    class Changed(Plain):
        by_m = AccessPattern("by_m", partition="n")
        by_s = AccessPattern("by_s", partition="s")

    fake = FakeTable.of(entity_of(Indexed))
    changes = apply(fake, entity_of(Changed), **asked)
    steps = [next(iter(each["GlobalSecondaryIndexUpdates"][0].items())) for each in fake.changes]
    done = [(kind, index["IndexName"]) for kind, index in steps]
    if asked:
        assert done == [("Delete", "by_n"), ("Delete", "by_s"), ("Create", "by_m"), ("Create", "by_s")]
        assert not changes
    else:
        assert done == [("Create", "by_m")]
        assert [(each.what, each.needs) for each in changes.left] == [
            ("index by_n", "delete_indexes"),
            ("index by_s", "delete_indexes"),
        ]


def test_another_time_to_live_takes_two_steps_and_must_be_asked_for() -> None:
    fake = FakeTable.of(entity_of(Expiring), ttl="until")
    entity = entity_of(OtherExpiring)
    (left,) = apply(fake, entity).left
    assert (left.declared, left.actual, left.needs) == ("n", "until", "disable")
    assert fake.changes == []
    changes = apply(fake, entity, disable=True)
    assert [each.actual for each in changes.done] == ["until", None]
    assert fake.ttl == "n"


def test_a_table_that_is_busy_is_waited_for_before_it_is_changed() -> None:
    fake = FakeTable.of(entity_of(Expiring))
    fake.busy_for = 3
    assert [each.what for each in apply(fake, entity_of(Expiring)).done] == ["time to live"]


# --- single comparisons ---------------------------------------------------------------------------------------------


def found(options: TableOptions, change: Callable[[dict[str, Any]], Any], **state: Any) -> list[tuple[Any, ...]]:
    """Return the differences of a table that was made as declared by default, then changed."""
    fake = FakeTable.of(entity_of(Plain))
    assert fake.table is not None
    change(fake.table)
    differences = compared(declared_table(entity_of(Plain, options)), TableState(fake.table, **state))
    return [(each.what, each.declared, each.actual, each.needs) for each in differences]


def nothing(table: dict[str, Any]) -> None:
    pass


@pytest.mark.parametrize("declared", [ARN, KEY, "alias/shop"])
def test_a_kms_key_has_several_names(declared: str) -> None:
    def encrypt(table: dict[str, Any]) -> None:
        table["SSEDescription"] = {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": ARN}

    assert found(TableOptions(kms_key=declared), encrypt) == []
    assert found(TableOptions(kms_key=declared), nothing) == [("encryption", declared, "with a key owned by AWS", None)]
    other = ARN.replace("1234abcd", "4321abcd")
    assert found(TableOptions(kms_key=other), encrypt) == [("encryption", other, ARN, None)]
    assert found(TableOptions(), encrypt) == [("encryption", None, ARN, "disable")]


def test_replicas_are_told_and_not_made() -> None:
    def replicate(table: dict[str, Any]) -> None:
        table["Replicas"] = [{"RegionName": "eu-west-1"}, {"RegionName": "us-east-1"}]
        table["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}

    assert found(TableOptions(replicas=("us-east-1",)), replicate) == []
    assert found(TableOptions(replicas=("us-east-1", "us-west-2")), replicate) == [
        ("replicas", "us-east-1, us-west-2", "us-east-1", None)
    ]
    assert [what for what, *_ in found(TableOptions(), replicate)] == ["stream", "replicas"]


def test_maxima_and_warm_throughput() -> None:
    def bound(table: dict[str, Any]) -> None:
        table["OnDemandThroughput"] = {"MaxReadRequestUnits": 10, "MaxWriteRequestUnits": -1}
        table["WarmThroughput"] = {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000}

    assert found(TableOptions(max_read_units=10, warm_read_units=12_000), bound) == []
    assert found(TableOptions(max_read_units=20), bound) == [
        ("on-demand maximum", "MaxReadRequestUnits 20", "MaxReadRequestUnits 10", None)
    ]
    assert found(TableOptions(), bound) == [("on-demand maximum", None, "MaxReadRequestUnits 10", "disable")]
    assert found(TableOptions(max_read_units=10, warm_write_units=5_000), bound) == [
        ("warm throughput", "WriteUnitsPerSecond 5000", "ReadUnitsPerSecond 12000, WriteUnitsPerSecond 4000", None)
    ]


def test_backups_are_compared_where_they_are_declared() -> None:
    assert found(TableOptions(), nothing, recovery_days=35) == []
    assert found(TableOptions(point_in_time_recovery=True), nothing, recovery_days=35) == []
    assert found(TableOptions(point_in_time_recovery=7), nothing, recovery_days=0) == [
        ("point-in-time recovery", "7 days", "off", None)
    ]
    assert found(TableOptions(point_in_time_recovery=7), nothing, recovery_days=35) == [
        ("point-in-time recovery", "7 days", "35 days", "disable")
    ]
    assert found(TableOptions(point_in_time_recovery=False), nothing, recovery_days=35) == [
        ("point-in-time recovery", "off", "35 days", "disable")
    ]


@pytest.mark.parametrize(
    ("declared", "actual", "specification"),
    [
        (True, 0, {"PointInTimeRecoveryEnabled": True}),
        (True, 7, {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 35}),
        (7, 0, {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 7}),
        (False, 7, {"PointInTimeRecoveryEnabled": False}),
    ],
)
def test_days_of_backups_are_named_where_they_are_no_default(
    declared: int | bool, actual: int, specification: dict[str, Any]
) -> None:
    entity = entity_of(Plain, TableOptions(point_in_time_recovery=declared))
    fake = FakeTable.of(entity_of(Plain), recovery_days=actual)
    assert apply(fake, entity, disable=True).left == ()
    assert [each["PointInTimeRecoverySpecification"] for each in fake.changes] == [specification]


def test_a_table_of_before_there_was_a_billing_mode_is_provisioned() -> None:
    assert found(TableOptions(), lambda table: table.pop("BillingModeSummary")) == [
        ("billing", "PAY_PER_REQUEST", "PROVISIONED", None)
    ]


def test_nothing_is_asked_that_is_not_declared() -> None:
    fake = FakeTable.of(entity_of(Plain))
    assert not diff(fake, entity_of(Plain))
    assert {call.operation for call in fake.sent} == {"DescribeTable", "DescribeTimeToLive"}


def test_differences_are_told_in_words() -> None:
    fake = FakeTable.of(entity_of(Indexed))
    found = diff(fake, entity_of(Expiring))
    assert str(found) == (
        "items: index by_n is n N HASH carrying ALL, declared none (other programs may query it; "
        "apply_table(delete_indexes=True) changes it)\n"
        "items: index by_s is s S HASH, n N RANGE carrying INCLUDE, until, declared none (other programs may query it; "
        "apply_table(delete_indexes=True) changes it)\n"
        "items: time to live is missing, declared until"
    )
    assert [each.how for each in found] == [
        "UpdateTable (GlobalSecondaryIndexUpdates, Delete by_n)",
        "UpdateTable (GlobalSecondaryIndexUpdates, Delete by_s)",
        "UpdateTimeToLive (TimeToLiveSpecification)",
    ]
    assert (len(found), bool(found), len(found.safe), found.impossible) == (3, True, 1, ())
    assert str(diff(FakeTable.of(entity_of(Plain)), entity_of(Plain))) == "as declared"


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_read_units": 0},
        {"warm_write_units": True},
        {"read_units": 1, "write_units": 1, "max_read_units": 5},
        {"table_class": "CHEAP"},
        {"kms_key": " "},
        {"kms_key": 7},
        {"point_in_time_recovery": 0},
        {"point_in_time_recovery": 36},
        {"point_in_time_recovery": "7"},
        {"tags": {"aws:x": "y"}},
        {"tags": {"x": 1}},
        {"tags": ["x"]},
        {"tags": {str(number): "" for number in range(51)}},
        {"replicas": "eu-west-1"},
        {"replicas": ("Ireland",)},
        {"replicas": ("eu-west-1", "eu-west-1")},
        {"replicas": ("eu-west-1",), "read_units": 1, "write_units": 1},
        {"replicas": ("eu-west-1",), "stream": "KEYS_ONLY"},
        {"replicas": ("eu-west-1",), "kms_key": ARN},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        TableOptions(**wrong)


def test_options_are_values() -> None:
    tags = {"a": "b"}
    options = TableOptions(tags=tags, replicas=["eu-west-1"])  # type: ignore[arg-type]
    tags["c"] = "d"
    assert options == TableOptions(tags={"a": "b"}, replicas=("eu-west-1",))
    assert hash(options) == hash(TableOptions(tags={"x": "y"}, replicas=("eu-west-1",)))
    assert copy.deepcopy(options) == options
