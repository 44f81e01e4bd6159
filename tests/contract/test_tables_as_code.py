"""Tables compared with their declarations and brought nearer to these, on every server."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import botocore.session
import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    DeclarationError,
    PipelineRunLogsRepository,
    TableOptions,
    ValidationError,
)
from dynamodb_wrapper.operations.table_diff import TableDifference
from tests.contract.shop import Make, requests
from tests.servers import Server


class Item(BaseModel):
    p: str
    s: str = ""
    n: int = 0
    x: str | None = None
    until: int | None = None


class Plain(BaseDynamoRepository[Item]):
    table_name = "items"
    primary_key = "p"
    sort_key = "s"


class Indexed(Plain):
    by_x = AccessPattern("by_x", partition="x", sort="n", projection="KEYS_ONLY")
    by_n = AccessPattern("by_n", partition="n")


class Wider(Plain):
    by_x = AccessPattern("by_x", partition="x", sort="n", projection=["until"])


class Expiring(Plain):
    ttl_attribute = "until"


def knows(shape: str, member: str) -> bool:
    """Whether this botocore can send it; the oldest that is supported knows neither days nor warm throughput."""
    return member in botocore.session.get_session().get_service_model("dynamodb").shape_for(shape).members


def with_options(options: TableOptions, base: type[BaseDynamoRepository[Item]] = Plain) -> type[Plain]:
    return type("Optioned", (base,), {"table_options": options, "__module__": __name__})


def whats(differences: tuple[TableDifference, ...]) -> list[tuple[str, str | None, str | None]]:
    return [(difference.what, difference.declared, difference.actual) for difference in differences]


def fill(repository: BaseDynamoRepository[Item], count: int = 5) -> list[Item]:
    items = [Item(p="a", s=f"{number}", n=number, x="x") for number in range(count)]
    repository.put_many(items)
    return items


def test_a_table_is_as_declared_after_it_was_made(server: Server, make: Make) -> None:
    for repository_class in (Indexed, PipelineRunLogsRepository):
        repository: Any = make(repository_class)
        assert repository.table_diff().differences == ()
        with requests() as sent:
            changes = repository.apply_table()
        assert (changes.done, changes.left) == ((), ())
        assert all(operation.startswith("Describe") for operation in sent)


def test_a_missing_table_is_made(server: Server) -> None:
    repository = with_options(TableOptions(point_in_time_recovery=True, tags={"team": "shop"}), Expiring)(
        server.config()
    )
    (difference,) = repository.table_diff()
    assert (difference.aspect, difference.safe, difference.how) == ("table", True, "CreateTable")
    assert repository.table_status() is None
    changes = repository.apply_table()
    assert [each.what for each in changes.done] == ["table", "time to live", "point-in-time recovery"]
    assert changes.left == ()
    assert not repository.table_diff()
    assert repository.create(Item(p="a", s="b")) == repository.get("a", "b")


def test_the_tables_beside_are_compared_and_made_too(server: Server) -> None:
    logs = PipelineRunLogsRepository(server.config())
    assert {each.table_name for each in logs.table_diff()} == {logs.table_name, logs.events.table_name}
    logs.apply_table()
    assert not logs.table_diff()
    assert logs.events.table_status() == "ACTIVE"


def test_repositories_of_one_table_declare_it_together(server: Server, make: Make) -> None:
    plain = make(Plain)
    indexed, expiring = Indexed(server.config()), Expiring(server.config())
    changes = plain.apply_table(together_with=[indexed, expiring])
    assert sorted(each.what for each in changes.done) == ["index by_n", "index by_x", "time to live"]
    assert not expiring.table_diff(together_with=(each for each in [indexed, plain]))
    alone = [each.what for each in expiring.table_diff()]
    assert alone == ["index by_n", "index by_x"]  # which it would delete when asked to
    kept = expiring.apply_table(together_with=[indexed], delete_indexes=True)
    assert (kept.done, kept.left) == ((), ())
    with pytest.raises(DeclarationError, match="by_x differently"):
        indexed.table_diff(together_with=[Wider(server.config())])
    with pytest.raises(ValidationError, match="keeps nothing in"):
        plain.table_diff(together_with=[PipelineRunLogsRepository(server.config())])


def test_missing_indexes_are_built_one_at_a_time(server: Server, make: Make) -> None:
    plain = make(Plain)
    items = fill(plain)
    indexed = Indexed(server.config())
    with pytest.raises(ValidationError, match=r"not as declared.*apply_table"):
        indexed.ensure_table()
    diff = indexed.table_diff()
    assert [(each.aspect, each.what, each.actual, each.safe) for each in diff] == [
        ("indexes", "index by_n", None, True),
        ("indexes", "index by_x", None, True),
    ]
    told: list[str] = []
    with requests() as sent:
        changes = indexed.apply_table(progress=told.append)
    assert [each.what for each in changes.done] == ["index by_n", "index by_x"]
    assert changes.left == ()
    assert sent.count("UpdateTable") == 2
    assert "DescribeTable" in sent[sent.index("UpdateTable") + 1 :]
    assert told.count("changing index by_x") == 1
    assert told[-1] == "ACTIVE"
    assert indexed.by_n(3).all() == [items[3]]
    assert indexed.by_x("x").project().count() == 5
    assert indexed.ensure_table() is False
    assert [item.s for item in indexed.list_all()] == [item.s for item in items]


def test_no_index_is_deleted_unless_asked(server: Server, make: Make) -> None:
    fill(make(Indexed))
    wider = Wider(server.config())
    diff = wider.table_diff()
    assert [(each.what, each.safe, each.needs) for each in diff] == [
        ("index by_n", False, "delete_indexes"),
        ("index by_x", False, "delete_indexes"),
    ]
    changes = wider.apply_table()
    assert changes.done == ()
    assert changes.left == diff.differences
    assert changes
    indexes = server.client.describe_table(TableName=wider.table_name)["Table"]["GlobalSecondaryIndexes"]
    assert sorted(index["IndexName"] for index in indexes) == ["by_n", "by_x"]


def test_indexes_are_deleted_and_built_anew_when_asked(server: Server, make: Make) -> None:
    fill(make(Indexed))
    wider = Wider(server.config())
    changes = wider.apply_table(delete_indexes=True)
    assert [(each.what, each.actual is None) for each in changes.done] == [
        ("index by_n", False),
        ("index by_x", False),
        ("index by_x", True),
    ]
    assert changes.left == ()
    assert not wider.table_diff()
    assert wider.ensure_table() is False
    assert len(wider.by_x("x").project("p", "s", "until").all()) == 5
    assert wider.count() == 5


def test_keys_and_local_indexes_stay_as_they_are(server: Server, make: Make) -> None:
    class OtherKey(BaseDynamoRepository[Item]):
        table_name = "items"
        primary_key = "s"
        local = AccessPattern("local", partition="s", sort="n", local=True)
        sort_key = "p"

    make(Plain)
    other = OtherKey(server.config())
    changes = other.apply_table(delete_indexes=True, disable=True)
    assert changes.done == ()
    assert [(each.aspect, each.what, each.how) for each in changes.left] == [
        ("key", "key", None),
        ("indexes", "local index local", None),
    ]
    assert all("new table" in str(each.why_not) for each in changes.left)
    assert other.table_diff().impossible == changes.left


def test_a_type_that_is_another_is_no_index(server: Server, make: Make) -> None:
    class OtherItem(Item):
        s: int = 0  # type: ignore[assignment]

    class ByNumber(BaseDynamoRepository[OtherItem]):
        table_name = "items"
        primary_key = "p"
        by_s = AccessPattern("by_s", partition="s")

    make(Plain)
    found = {each.what: each for each in ByNumber(server.config()).table_diff()}
    assert found["index by_s"].how is None
    assert "another type" in str(found["index by_s"].why_not)


def test_the_time_to_live(server: Server, make: Make) -> None:
    plain = make(Plain)
    expiring = Expiring(server.config())
    assert whats(expiring.table_diff().differences) == [("time to live", "until", None)]
    assert [each.what for each in expiring.apply_table().done] == ["time to live"]
    assert not expiring.table_diff()
    (difference,) = plain.table_diff()
    assert (difference.declared, difference.actual, difference.needs) == (None, "until", "disable")
    assert plain.apply_table().done == ()


def test_stream_and_protection_are_turned_on_and_off_only_when_asked(server: Server, make: Make) -> None:
    plain = make(Plain)
    options = TableOptions(stream="NEW_IMAGE", deletion_protection=True)
    protected = with_options(options)(server.config())
    assert [each.aspect for each in protected.apply_table().done] == ["stream", "deletion_protection"]
    assert not protected.table_diff()
    assert [each.needs for each in plain.table_diff()] == ["disable", "disable"]
    assert plain.apply_table().done == ()
    assert len(plain.apply_table(disable=True).done) == 2
    assert not plain.table_diff()


def test_a_stream_of_another_kind_is_made_anew_when_asked(server: Server, make: Make) -> None:
    make(with_options(TableOptions(stream="NEW_IMAGE")))
    other = with_options(TableOptions(stream="KEYS_ONLY"))(server.config())
    assert other.apply_table().done == ()
    changes = other.apply_table(disable=True)
    assert whats(changes.done) == [("stream", "KEYS_ONLY", "NEW_IMAGE"), ("stream", "KEYS_ONLY", None)]
    assert not other.table_diff()


def test_billing(server: Server, make: Make) -> None:
    indexed = make(Indexed)
    provisioned = with_options(TableOptions(read_units=3, write_units=2), Indexed)(server.config())
    assert whats(provisioned.table_diff().differences) == [("billing", "PROVISIONED", "PAY_PER_REQUEST")]
    assert provisioned.apply_table(skip=("billing",)).left[0].why_not == "skipped"
    changes = provisioned.apply_table()
    assert [each.what for each in changes.done] == ["billing"]
    assert not provisioned.table_diff()
    more = with_options(TableOptions(read_units=5, write_units=2), Indexed)(server.config())
    assert sorted(each.what for each in more.apply_table().done) == [
        "provisioned capacity",
        "provisioned capacity of index by_n",
        "provisioned capacity of index by_x",
    ]
    assert not more.table_diff()
    assert whats(indexed.apply_table().done) == [("billing", "PAY_PER_REQUEST", "PROVISIONED")]
    assert not indexed.table_diff()


def test_an_index_of_a_provisioned_table_gets_capacity(server: Server, make: Make) -> None:
    make(with_options(TableOptions(read_units=3, write_units=2)))
    indexed = Indexed(server.config())
    changes = indexed.apply_table(skip=["billing"])
    assert [each.what for each in changes.done] == ["index by_n", "index by_x"]
    table = server.client.describe_table(TableName=indexed.table_name)["Table"]
    for index in table["GlobalSecondaryIndexes"]:
        assert index["ProvisionedThroughput"]["ReadCapacityUnits"] == 3


def test_continuous_backups(server: Server, make: Make) -> None:
    plain = make(Plain)
    backed = with_options(TableOptions(point_in_time_recovery=True))(server.config())
    assert whats(backed.table_diff().differences) == [("point-in-time recovery", "35 days", "off")]
    assert len(backed.apply_table().done) == 1
    assert not backed.table_diff()
    assert not plain.table_diff()  # it declares nothing of them
    off = with_options(TableOptions(point_in_time_recovery=False))(server.config())
    assert off.apply_table().done == ()
    assert len(off.apply_table(disable=True).done) == 1
    assert not off.table_diff()


@pytest.mark.skipif(
    not knows("PointInTimeRecoverySpecification", "RecoveryPeriodInDays"), reason="botocore is older than the feature"
)
def test_continuous_backups_of_fewer_days(server: Server, make: Make) -> None:
    make(with_options(TableOptions(point_in_time_recovery=7)))
    more = with_options(TableOptions(point_in_time_recovery=14))(server.config())
    assert whats(more.table_diff().differences) == [("point-in-time recovery", "14 days", "7 days")]
    assert len(more.apply_table().done) == 1
    assert with_options(TableOptions(point_in_time_recovery=7))(server.config()).apply_table().done == ()


def test_ensure_table_makes_up_for_missing_backups(server: Server, make: Make) -> None:
    make(Plain)
    backed = with_options(TableOptions(point_in_time_recovery=True))(server.config())
    backed.ensure_table()
    assert not backed.table_diff()


def test_tags_that_are_not_declared_are_left_alone(server: Server, make: Make) -> None:
    make(with_options(TableOptions(tags={"team": "shop", "cost": "12"})))
    other = with_options(TableOptions(tags={"team": "web", "stage": "dev"}))(server.config())
    assert whats(other.table_diff().differences) == [("tags", "team=web, stage=dev", "team=shop")]
    assert len(other.apply_table().done) == 1
    assert not other.table_diff()
    arn = server.client.describe_table(TableName=other.table_name)["Table"]["TableArn"]
    tags = server.client.list_tags_of_resource(ResourceArn=arn)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "web", "cost": "12", "stage": "dev"}


def test_the_table_class(server: Server, make: Make) -> None:
    plain = make(Plain)
    rare = with_options(TableOptions(table_class="STANDARD_INFREQUENT_ACCESS"))(server.config())
    assert len(rare.apply_table().done) == 1
    assert not rare.table_diff()
    assert whats(plain.table_diff().differences) == [("table class", "STANDARD", "STANDARD_INFREQUENT_ACCESS")]


def test_encryption(server: Server, make: Make) -> None:
    plain = make(Plain)
    encrypted = with_options(TableOptions(kms_key="alias/aws/dynamodb"))(server.config())
    assert [each.aspect for each in encrypted.apply_table().done] == ["encryption"]
    assert not encrypted.table_diff()
    assert plain.apply_table().done == ()
    assert len(plain.apply_table(disable=True).done) == 1
    assert not plain.table_diff()


def test_on_demand_maxima(server: Server, make: Make) -> None:
    plain = make(Plain)
    bounded = with_options(TableOptions(max_read_units=100))(server.config())
    assert whats(bounded.table_diff().differences) == [("on-demand maximum", "MaxReadRequestUnits 100", None)]
    assert len(bounded.apply_table().done) == 1
    assert not bounded.table_diff()
    assert plain.apply_table().done == ()
    assert len(plain.apply_table(disable=True).done) == 1
    assert not plain.table_diff()


@pytest.mark.skipif(not knows("UpdateTableInput", "WarmThroughput"), reason="botocore is older than the feature")
def test_warm_throughput_is_raised_and_never_lowered(server: Server, make: Make) -> None:
    plain = make(Plain)
    warm = with_options(TableOptions(warm_read_units=20_000, warm_write_units=8_000))(server.config())
    assert len(warm.apply_table().done) == 1
    assert not warm.table_diff()
    assert not with_options(TableOptions(warm_read_units=13_000))(server.config()).table_diff()
    assert not plain.table_diff()


def test_what_is_declared_is_there_from_the_beginning(server: Server, make: Make) -> None:
    """Protection, stream and tags in one CreateTable; backups right after it."""
    options = TableOptions(
        stream="KEYS_ONLY",
        deletion_protection=True,
        point_in_time_recovery=True,
        tags={"a": "b"},
        kms_key="alias/aws/dynamodb",
    )
    repository = make(with_options(options, Indexed))
    assert not repository.table_diff()
    server.client.update_table(TableName=repository.table_name, DeletionProtectionEnabled=False)


def test_wrong_aspects_are_refused_before_anything_is_sent(server: Server) -> None:
    repository = Plain(server.config())
    with requests() as sent:
        for skip in ("billing", ["money"], ("billing", "keys")):
            with pytest.raises(ValidationError, match="skip takes"):
                repository.apply_table(skip=skip)  # type: ignore[arg-type]
    assert sent == []


def test_templates_charts_and_explanations_send_nothing(server: Server) -> None:
    with requests() as sent:
        repository = Indexed(server.config())
        repository.cloudformation()
        repository.terraform()
        repository.describe().to_markdown()
        assert repository.by_x("x").explain().index == "by_x"
    assert sent == []


def test_the_template_is_the_table_that_is_made(server: Server, make: Make) -> None:
    """What CloudFormation would send is what the server has."""
    repository = make(Indexed)
    (resource,) = repository.cloudformation()["Resources"].values()
    properties = resource["Properties"]
    table = server.client.describe_table(TableName=repository.table_name)["Table"]
    assert properties["TableName"] == table["TableName"]
    assert properties["KeySchema"] == table["KeySchema"]
    there = {index["IndexName"]: (index["KeySchema"], index["Projection"]) for index in table["GlobalSecondaryIndexes"]}
    assert there == {
        index["IndexName"]: (index["KeySchema"], index["Projection"]) for index in properties["GlobalSecondaryIndexes"]
    }
    assert isinstance(table["CreationDateTime"], datetime)
