"""Templates and policies, judged by cfn-lint and by the schema of Terraform's provider."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cfnlint.api
import pytest
from cfnlint.config import ManualArgs
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    AsyncBaseDynamoRepository,
    BaseDynamoRepository,
    DeclarationError,
    Derived,
    DynamoDBConfig,
    Key,
    PipelineRunLogsRepository,
    Sharded,
    SingleTable,
    TableOptions,
    Unique,
    ValidationError,
)
from dynamodb_wrapper.operations.tables import table_params
from dynamodb_wrapper.repositories import cloudformation_template, iam_policy, terraform_configuration

CONFIG = DynamoDBConfig(region_name="eu-west-1", table_prefix="shop", environment="dev")
KMS = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


class Thing(BaseModel):
    owner: str
    number: int
    size: int = 0
    raw: bytes | None = None
    note: str | None = None
    expires: int | None = None


class Things(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "owner"
    sort_key = "number"
    ttl_attribute = "expires"
    by_size = AccessPattern("by_size", partition="size", sort="raw", projection=["note"])
    by_local = AccessPattern("by_local", partition="owner", sort="size", projection="KEYS_ONLY", local=True)
    by_mark = AccessPattern("by_mark", partition=Derived("mark", ("note",), lambda note: note and note[0]))


class Everything(Things):
    table_name = "everything.here"
    by_all = AccessPattern("by_all", partition=("owner", "size"), sort=("note", "raw"))
    table_options = TableOptions(
        stream="NEW_IMAGE",
        deletion_protection=True,
        max_read_units=100,
        max_write_units=50,
        warm_read_units=13000,
        warm_write_units=5000,
        table_class="STANDARD_INFREQUENT_ACCESS",
        kms_key=KMS,
        point_in_time_recovery=7,
        tags={"team": "shop"},
    )


class Provisioned(Things):
    table_name = "provisioned"
    table_options = TableOptions(
        read_units=3, write_units=2, kms_key="alias/aws/dynamodb", point_in_time_recovery=False
    )


class Replicated(Things):
    table_name = "replicated"
    table_options = TableOptions(
        replicas=("us-east-1", "ap-south-1"),
        max_read_units=5,
        max_write_units=5,
        warm_write_units=5000,
        kms_key="alias/aws/dynamodb",
        point_in_time_recovery=True,
        tags={"a": "b"},
        deletion_protection=True,
        table_class="STANDARD_INFREQUENT_ACCESS",
    )


class AsyncThings(AsyncBaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "owner"
    sort_key = "number"
    ttl_attribute = "expires"
    by_size = Things.by_size
    by_local = Things.by_local
    by_mark = Things.by_mark


ALL = [cls(CONFIG) for cls in (Things, Everything, Provisioned, Replicated)] + [PipelineRunLogsRepository(CONFIG)]


def lint(template: dict[str, Any]) -> list[str]:
    """Return what cfn-lint finds, warnings and hints included."""
    config = ManualArgs(regions=["eu-west-1"], include_checks=["I", "W", "E"])
    return [
        f"{match.rule.id} {match.message} {match.path}"
        for match in cfnlint.api.lint(json.dumps(template), config=config)
    ]


# --- CloudFormation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repository", ALL, ids=lambda each: type(each).__name__)
def test_a_template_is_one_that_cloudformation_takes(repository: BaseDynamoRepository[Any]) -> None:
    assert lint(repository.cloudformation()) == []


def test_cfn_lint_finds_what_is_wrong() -> None:
    template = Everything(CONFIG).cloudformation()
    properties = template["Resources"]["ShopDevEverythingHereTable"]["Properties"]
    properties["BillingMode"] = "FREE"
    properties["AttributeDefinitions"].pop()
    assert len(lint(template)) >= 2


def test_a_template_has_all_that_create_table_sends() -> None:
    repository = Everything(CONFIG)
    (resource,) = repository.cloudformation()["Resources"].values()
    assert resource["Type"] == "AWS::DynamoDB::Table"
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    properties, params = resource["Properties"], table_params(repository._entity)
    assert properties.keys() == params.keys() | {"TimeToLiveSpecification", "PointInTimeRecoverySpecification"}
    renamed = ("StreamSpecification", "SSESpecification")
    assert {name: properties[name] for name in params if name not in renamed} == {
        name: value for name, value in params.items() if name not in renamed
    }
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert properties["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert properties["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KMS}
    assert properties["PointInTimeRecoverySpecification"] == {
        "PointInTimeRecoveryEnabled": True,
        "RecoveryPeriodInDays": 7,
    }


def test_a_table_with_replicas_is_a_global_table() -> None:
    (resource,) = Replicated(CONFIG).cloudformation()["Resources"].values()
    assert resource["Type"] == "AWS::DynamoDB::GlobalTable"
    properties = resource["Properties"]
    assert [replica["Region"] for replica in properties["Replicas"]] == [
        {"Ref": "AWS::Region"},
        "us-east-1",
        "ap-south-1",
    ]
    assert all(replica["DeletionProtectionEnabled"] for replica in properties["Replicas"])
    assert properties["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert properties["WriteOnDemandThroughputSettings"] == {"MaxWriteRequestUnits": 5}


def test_every_index_of_a_global_table_has_the_maxima_of_the_table() -> None:
    (resource,) = Replicated(CONFIG).cloudformation()["Resources"].values()
    properties = resource["Properties"]
    reads = {"ReadOnDemandThroughputSettings": {"MaxReadRequestUnits": 5}}
    assert [index["WriteOnDemandThroughputSettings"] for index in properties["GlobalSecondaryIndexes"]] == [
        {"MaxWriteRequestUnits": 5},
        {"MaxWriteRequestUnits": 5},
    ]
    for replica in properties["Replicas"]:
        assert replica.items() >= reads.items()
        assert replica["GlobalSecondaryIndexes"] == [{"IndexName": name, **reads} for name in ("by_size", "by_mark")]


def test_the_longest_name_of_a_table_makes_a_logical_id() -> None:
    class Longest(Things):
        table_name = "t" * (255 - len("shop_dev_"))

    repository = Longest(CONFIG)
    assert len(repository.table_name) == 255
    assert [found[:5] for found in lint(repository.cloudformation())] == ["I3012"]  # near the limit, and not above
    (name,) = repository.cloudformation()["Resources"]
    assert (len(name), name[-6:]) == (255, "tTable")


def test_many_repositories_make_one_template() -> None:
    template = cloudformation_template(ALL)
    assert lint(template) == []
    assert sorted(template["Resources"]) == [
        "ShopDevEverythingHereTable",
        "ShopDevPipelineRunEventsTable",
        "ShopDevPipelineRunLogsTable",
        "ShopDevProvisionedTable",
        "ShopDevReplicatedTable",
        "ShopDevThingsTable",
    ]
    json.dumps(template)


def test_repositories_of_one_table_make_it_together() -> None:
    class Others(BaseDynamoRepository[Thing]):
        table_name = "things"
        primary_key = "owner"
        sort_key = "number"
        by_raw = AccessPattern("by_raw", partition="raw")

    class OtherKey(BaseDynamoRepository[Thing]):
        table_name = "things"
        primary_key = "owner"

    class OtherOptions(Others):
        table_options = TableOptions(stream="KEYS_ONLY")

    class OtherIndex(Others):
        by_size = AccessPattern("by_size", partition="size")

    things = Things(CONFIG)
    both = cloudformation_template([things, AsyncThings(CONFIG), Others(CONFIG)])
    assert lint(both) == []
    (resource,) = both["Resources"].values()
    names = [index["IndexName"] for index in resource["Properties"]["GlobalSecondaryIndexes"]]
    assert sorted(names) == ["by_mark", "by_raw", "by_size"]
    assert resource["Properties"]["TimeToLiveSpecification"]["AttributeName"] == "expires"
    assert cloudformation_template([things, AsyncThings(CONFIG)]) == things.cloudformation()
    for other in (OtherKey, OtherOptions, OtherIndex):
        with pytest.raises(DeclarationError, match="shop_dev_things"):
            cloudformation_template([things, other(CONFIG)])


def test_what_cannot_be_in_a_template_is_refused() -> None:
    class Elsewhere(Things):
        @property
        def table_name(self) -> str:
            return "arn:aws:dynamodb:eu-west-1:123456789012:table/things"

    class Dashed(Things):
        table_name = "things-1"

    class Dotted(Things):
        table_name = "things.1"

    class Aliased(Things):
        table_options = TableOptions(kms_key="alias/shop")

    with pytest.raises(ValidationError, match="ARN"):
        Elsewhere(CONFIG).cloudformation()
    with pytest.raises(ValidationError, match="ARN"):
        Aliased(CONFIG).terraform()
    for export in (cloudformation_template, terraform_configuration):
        with pytest.raises(ValidationError, match="at least one"):
            export([])
        with pytest.raises(ValidationError, match="both be called"):
            export([Dashed(CONFIG), Dotted(CONFIG)])


# --- Terraform ------------------------------------------------------------------------------------------------------

SCHEMA = json.loads((Path(__file__).parent / "aws_dynamodb_table.json").read_text())
NEWER = {"key_schema", "warm_throughput"}
"""What provider 6 knows and 5.100 does not."""


def wrong_in(block: dict[str, Any], schema: dict[str, Any], path: str = "") -> list[str]:
    """Return what the provider's schema does not allow in a block."""
    wrong = [
        f"{path}.{name} is missing"
        for name, attribute in schema["attributes"].items()
        if attribute.get("required") and name not in block
    ]
    kinds = {"string": str, "number": int, "bool": bool}
    for name, value in block.items():
        if name in schema["attributes"]:
            declared = schema["attributes"][name]
            kind = kinds[declared["type"]] if isinstance(declared["type"], str) else (list, dict)
            if declared.get("computed_only") or not isinstance(value, kind):
                wrong.append(f"{path}.{name} = {value!r}")
        elif name in schema["blocks"]:
            blocks = value if isinstance(value, list) else [value]
            if len(blocks) > schema["blocks"][name].get("max", len(blocks)):
                wrong.append(f"{path}.{name} more than once")
            wrong += [each for inner in blocks for each in wrong_in(inner, schema["blocks"][name], f"{path}.{name}")]
        elif not (path == "" and name == "lifecycle"):
            wrong.append(f"{path}.{name} is unknown")
    return wrong


@pytest.mark.parametrize("repository", ALL, ids=lambda each: type(each).__name__)
def test_a_configuration_is_one_that_the_provider_takes(repository: BaseDynamoRepository[Any]) -> None:
    configuration = repository.terraform()
    for table in configuration["resource"]["aws_dynamodb_table"].values():
        wrong = [each for each in wrong_in(table, SCHEMA) if not any(name in each for name in NEWER)]
        if type(repository) is Everything:
            assert wrong == [".global_secondary_index.hash_key is missing"]  # it has a key_schema instead
        else:
            assert wrong == []


def test_nothing_in_a_configuration_is_evaluated() -> None:
    class Tagged(Things):
        table_options = TableOptions(tags={"${path.module}": "%{ if true }cost: 5 ${unit} $5 100%"})

    (table,) = Tagged(CONFIG).terraform()["resource"]["aws_dynamodb_table"].values()
    assert table["tags"] == {"$${path.module}": "%%{ if true }cost: 5 $${unit} $5 100%"}


def test_the_schema_finds_what_is_wrong() -> None:
    table = Things(CONFIG).terraform()["resource"]["aws_dynamodb_table"]["shop_dev_things"]
    del table["name"]
    table |= {"billing": 1, "stream_enabled": "yes", "ttl": [{"enabled": True}, {"enabled": False}]}
    assert len(wrong_in(table, SCHEMA)) == 4


def test_a_configuration_says_which_provider_it_needs() -> None:
    def version(*repositories: BaseDynamoRepository[Any]) -> str:
        aws = terraform_configuration(repositories)["terraform"]["required_providers"]["aws"]
        assert aws["source"] == "hashicorp/aws"
        return str(aws["version"])

    assert version(Things(CONFIG)) == ">= 5.100"
    assert version(Things(CONFIG), Everything(CONFIG)) == ">= 6.30"
    everything = Everything(CONFIG).terraform()["resource"]["aws_dynamodb_table"]["shop_dev_everything_here"]
    indexes = {index["name"]: index for index in everything["global_secondary_index"]}
    assert indexes["by_all"]["key_schema"] == [
        {"attribute_name": "owner", "key_type": "HASH"},
        {"attribute_name": "size", "key_type": "HASH"},
        {"attribute_name": "note", "key_type": "RANGE"},
        {"attribute_name": "raw", "key_type": "RANGE"},
    ]
    assert (indexes["by_size"]["hash_key"], indexes["by_size"]["range_key"]) == ("size", "raw")
    assert everything["warm_throughput"] == {"read_units_per_second": 13000, "write_units_per_second": 5000}


# --- policies -------------------------------------------------------------------------------------------------------


def actions(policy: dict[str, Any], sid: str) -> set[str]:
    return {action for each in policy["Statement"] if each["Sid"] == sid for action in each["Action"]}


def resources(policy: dict[str, Any], sid: str) -> Sequence[str]:
    return [resource for each in policy["Statement"] if each["Sid"] == sid for resource in each["Resource"]]


def lint_policy(policy: dict[str, Any]) -> list[str]:
    resource = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
    return lint({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Policy": resource}})


def test_a_policy_allows_what_repositories_do() -> None:
    policy = iam_policy(Things(CONFIG), AsyncThings(CONFIG), account="123456789012")
    assert lint_policy(policy) == []
    table = "arn:aws:dynamodb:eu-west-1:123456789012:table/shop_dev_things"
    assert actions(policy, "ReadItems") == {f"dynamodb:{name}" for name in ("GetItem", "BatchGetItem", "Query", "Scan")}
    assert actions(policy, "WriteItems") == {
        f"dynamodb:{name}" for name in ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "ConditionCheckItem")
    }
    assert actions(policy, "ReadIndexes") == {"dynamodb:Query", "dynamodb:Scan"}
    assert resources(policy, "ReadItems") == resources(policy, "WriteItems") == [table]
    assert resources(policy, "ReadIndexes") == [f"{table}/index/{name}" for name in ("by_size", "by_local", "by_mark")]
    assert "*" not in json.dumps(policy)


def test_a_policy_is_for_one_region() -> None:
    elsewhere = Everything(CONFIG.model_copy(update={"region_name": "us-east-1"}))
    with pytest.raises(ValidationError, match="in the regions eu-west-1, us-east-1"):
        iam_policy(Things(CONFIG), elsewhere)
    assert iam_policy(Things(CONFIG), elsewhere, region="*")["Statement"]


@pytest.mark.parametrize("pattern", ["*", "?*", "*?*", ""])
def test_a_pattern_that_allows_every_key(pattern: str) -> None:
    with pytest.raises(ValidationError, match="leading_keys"):
        iam_policy(Things(CONFIG), leading_keys=[pattern])


def test_cfn_lint_finds_what_is_wrong_with_a_policy() -> None:
    policy = iam_policy(Things(CONFIG))
    policy["Statement"][0]["Action"].append("dynamodb:TransactWriteItems")
    policy["Statement"][1]["Resource"].append("arn:aws:dynamodb:eu-west-1:1:table")
    policy["Statement"][2]["Conditions"] = {}
    assert len(lint_policy(policy)) >= 3


def test_a_policy_for_reading_only_and_without_scans() -> None:
    policy = iam_policy(Things(CONFIG), read_only=True, scan=False, account="123456789012")
    assert lint_policy(policy) == []
    assert [each["Sid"] for each in policy["Statement"]] == ["ReadItems", "ReadIndexes"]
    assert "dynamodb:Scan" not in json.dumps(policy)
    assert actions(policy, "ReadIndexes") == {"dynamodb:Query"}


def test_a_policy_for_managing_tables_deletes_none() -> None:
    policy = iam_policy(PipelineRunLogsRepository(CONFIG), admin=True, account="123456789012")
    assert lint_policy(policy) == []
    assert {"dynamodb:CreateTable", "dynamodb:UpdateTable"} <= actions(policy, "ManageTables")
    assert "dynamodb:DeleteTable" not in json.dumps(policy)
    names = [resource.rpartition("/")[2] for resource in resources(policy, "ManageTables")]
    assert names == ["shop_dev_pipeline_run_logs", "shop_dev_pipeline_run_events"]
    assert actions(iam_policy(Things(CONFIG), admin=True, read_only=True), "LookAtTables") == {
        f"dynamodb:{name}"
        for name in ("DescribeTable", "DescribeTimeToLive", "DescribeContinuousBackups", "ListTagsOfResource")
    }


def test_leading_keys_bind_every_statement_on_items() -> None:
    patterns = ["TENANT#42#*", "${aws:PrincipalTag/tenant}"]
    policy = iam_policy(Everything(CONFIG), leading_keys=patterns, account="123456789012")
    assert lint_policy(policy) == []
    for statement in policy["Statement"]:
        assert statement["Condition"] == {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": patterns},
            "Null": {"dynamodb:LeadingKeys": "false"},
        }
    assert "dynamodb:Scan" not in json.dumps(policy)
    assert "index/by_size" in json.dumps(policy)
    assert "index/by_all" not in json.dumps(policy)  # its partition key has two attributes


def test_leading_keys_that_protect_nothing_are_refused() -> None:
    class ByNumber(BaseDynamoRepository[Thing]):
        table_name = "numbers"
        primary_key = "number"

    class UniqueNotes(BaseDynamoRepository[Thing]):
        table_name = "unique"
        primary_key = "owner"
        unique = (Unique("note", within="owner"),)

    for patterns in ([], "TENANT#*", ["*"], [""], ["**"], [7]):
        with pytest.raises(ValidationError, match="leading_keys"):
            iam_policy(Things(CONFIG), leading_keys=patterns)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="no text"):
        iam_policy(ByNumber(CONFIG), leading_keys=["1*"])
    with pytest.raises(ValidationError, match="unique#"):
        iam_policy(UniqueNotes(CONFIG), leading_keys=["T#*"])
    assert iam_policy(UniqueNotes(CONFIG), leading_keys=["T#*"], read_only=True)
    assert iam_policy(UniqueNotes(CONFIG), leading_keys=["T#*", "unique#*"])


OFFICE = SingleTable("office", indexes={"gsi1": ("gsi1pk", "gsi1sk"), "gsi2": ("gsi2pk",), "gsi3": ("gsi3pk",)})
TENANT = "${aws:PrincipalTag/tenant}"


class Desk(BaseModel):
    tenant: str
    number: int
    user: str = ""


class Desks(BaseDynamoRepository[Desk]):
    single_table = OFFICE
    primary_key = Key("TENANT#{tenant}#DESK")
    sort_key = Key("DESK#{number:04d}")
    by_user = AccessPattern("gsi1", partition=Key("T#{tenant}#USER#{user}"), sort=Key("{number:04d}"))
    of_all = AccessPattern("gsi2", partition=Key("USER#{user}"))


class Drawers(BaseDynamoRepository[Desk]):
    single_table = OFFICE
    kind = "drawer"
    primary_key = Sharded(Key("TENANT#{tenant}#DRAWER"), shards=4, by="number")
    sort_key = Key("{number:04d}")


@pytest.mark.parametrize(
    ("tenant", "pattern"),
    [
        (TENANT, f"TENANT#{TENANT}#DESK"),
        ("42", "TENANT#42#DESK"),
        ("a b#c$*?", "TENANT#a$`b$cc$d${*}${?}#DESK"),
        (f"x {TENANT}*", f"TENANT#x$`{TENANT}${{*}}#DESK"),
    ],
)
def test_leading_keys_are_made_of_fields(tenant: str, pattern: str) -> None:
    policy = iam_policy(Desks(CONFIG), leading_keys={"tenant": tenant}, account="123456789012")
    assert lint_policy(policy) == []
    found = policy["Statement"][0]["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert found == [pattern, pattern.replace("TENANT#", "T#").replace("#DESK", "#USER#*")]
    assert [each.rpartition("/")[2] for each in resources(policy, "ReadIndexes")] == ["gsi1"]
    assert "dynamodb:Scan" not in json.dumps(policy)


def test_the_pattern_of_a_tenant_is_the_key_that_is_written() -> None:
    policy = iam_policy(Desks(CONFIG), leading_keys={"tenant": "a b#c$"})
    (table, _) = policy["Statement"][0]["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert Desks(CONFIG)._entity.encode(Desk(tenant="a b#c$", number=1))["pk"] == {"S": table}


def test_leading_keys_of_shards_and_of_several_repositories() -> None:
    policy = iam_policy(Desks(CONFIG), Drawers(CONFIG), leading_keys={"tenant": "7"}, read_only=True)
    found = policy["Statement"][0]["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert found == ["TENANT#7#DESK", "T#7#USER#*", "TENANT#7#DRAWER#*"]
    plain = iam_policy(Things(CONFIG), leading_keys={"owner": TENANT})
    found = plain["Statement"][0]["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert found == [TENANT]
    assert "index/by_local" in json.dumps(plain)
    assert "index/by_mark" not in json.dumps(plain)


@pytest.mark.parametrize(
    "wrong", [{}, {"user": "x"}, {"tenant": "x", "user": "y"}, {"tenant": ""}, {"tenant": 7}, {"nobody": "x"}]
)
def test_fields_that_keys_do_not_begin_with_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="leading_keys"):
        iam_policy(Desks(CONFIG), leading_keys=wrong)


@pytest.mark.parametrize("key", [Key("T#{tenant}", case="lower"), Key("D#{number:04d}")])
def test_a_part_that_a_policy_cannot_compare_is_refused(key: Key) -> None:
    class Others(BaseDynamoRepository[Desk]):
        table_name = "others"
        primary_key = key
        sort_key = Key("X")

    with pytest.raises(ValidationError, match="give leading_keys as patterns"):
        iam_policy(Others(CONFIG), leading_keys={key.placeholders[0][0]: TENANT})


def test_regions_and_accounts_of_a_policy() -> None:
    nowhere = DynamoDBConfig(table_prefix="shop", region_name=None)
    (found,) = resources(iam_policy(Things(CONFIG), region="us-west-2"), "ReadItems")
    assert found == "arn:aws:dynamodb:us-west-2:*:table/shop_dev_things"
    (found,) = resources(iam_policy(Things(nowhere), partition="aws-cn"), "ReadItems")
    assert found.startswith("arn:aws-cn:dynamodb:*:*:table/")
    for wrong in ({"region": "eu west"}, {"account": ""}, {"partition": None}):
        with pytest.raises(ValidationError, match="as it stands in an ARN"):
            iam_policy(Things(CONFIG), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="at least one"):
        iam_policy()
