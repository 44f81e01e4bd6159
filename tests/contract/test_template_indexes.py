"""Indexes of key templates: local ones, and those that carry less than whole items."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    Collection,
    DeclarationError,
    F,
    Key,
    ParentPattern,
    SingleTable,
    cloudformation_template,
)
from dynamodb_wrapper.exceptions import ExpressionError
from tests.contract.shop import MONDAY, Make, requests

YARD = SingleTable("yard", indexes={"gsi1": ("gsi1pk", "gsi1sk")}, local_indexes={"lsi1": "lsi1sk", "lsi2": "lsi2sk"})


class Job(BaseModel):
    yard: str
    job: str
    cost: int = 0
    due: datetime = MONDAY
    owner: str = "Ann"
    text: str = "x"


class Crane(BaseModel):
    yard: str
    crane: int
    tons: int = 0


class Jobs(BaseDynamoRepository[Job]):
    single_table = YARD
    primary_key = Key("YARD#{yard}")
    sort_key = Key("JOB#{job}")
    by_cost = AccessPattern("lsi1", partition=Key("YARD#{yard}"), sort=Key("{cost:06d}"), local=True)
    by_due = AccessPattern("lsi2", partition=Key("YARD#{yard}"), sort=Key("{due}#{job}"), local=True)


class Cranes(BaseDynamoRepository[Crane]):
    single_table = YARD
    primary_key = Key("YARD#{yard}")
    sort_key = Key("CRANE#{crane:03d}")
    by_tons = AccessPattern("lsi1", partition=Key("YARD#{yard}"), sort=Key("{tons:06d}"), local=True)


class Yard(Collection):
    jobs: list[Job]
    cranes: list[Crane]


def test_local_indexes_of_a_shared_table(make: Make) -> None:
    jobs, cranes = make(Jobs), make(Cranes)
    for number, cost in enumerate((30, 10, 20)):
        jobs.create(Job(yard="a", job=f"j{number}", cost=cost, due=MONDAY - timedelta(days=number)))
    cranes.create(Crane(yard="a", crane=1, tons=15))
    with requests() as sent:
        found = jobs.by_cost("a").ge(15).consistent().all()
    assert [job.cost for job in found] == [20, 30]
    assert sent == ["Query"]
    assert [job.job for job in jobs.by_due("a").le(MONDAY)] == ["j2", "j1", "j0"]
    assert [crane.tons for crane in cranes.by_tons("a")] == [15]
    jobs.patch("a", "j1", cost=40)
    assert [job.cost for job in jobs.by_cost("a")] == [20, 30, 40]
    gathered = cranes.collection(Yard, "a", index="lsi1").between("000015", "000030").all()
    assert ([job.cost for job in gathered.jobs], len(gathered.cranes)) == ([20, 30], 1)
    page = jobs.by_cost("a").page(2)
    assert [job.cost for job in jobs.by_cost("a").page(2, page.cursor).items] == [40]
    assert not jobs.table_diff()
    (resource,) = cloudformation_template([jobs])["Resources"].values()
    assert [index["IndexName"] for index in resource["Properties"]["LocalSecondaryIndexes"]] == ["lsi1", "lsi2"]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (AccessPattern("lsi1", partition=Key("YARD#{yard}"), sort=Key("{cost:06d}")), "is local: local=True"),
        (AccessPattern("gsi1", partition=Key("YARD#{yard}"), sort=Key("X"), local=True), "is global: local=False"),
        (AccessPattern("lsi1", partition=Key("OTHER#{yard}"), sort=Key("X"), local=True), "two keys .* 'pk'"),
        (AccessPattern("lsi9", partition=Key("YARD#{yard}"), sort=Key("X"), local=True), "indexes are: gsi1, lsi1"),
        (AccessPattern("lsi1", partition=Key("YARD#{yard}"), local=True), "a Key for each"),
        (ParentPattern("gsi1", parent="owner", id="job", within="yard"), "a Key for each: partition=Key"),
        (
            ParentPattern("lsi1", parent="owner", id="job", partition=Key("YARD#{yard}"), sort=Key("X")),
            "is local: a tree needs a global one",
        ),
    ],
)
def test_a_pattern_that_does_not_fit_is_refused(pattern: AccessPattern, reason: str) -> None:
    body = {"single_table": YARD, "primary_key": Key("YARD#{yard}"), "sort_key": Key("X#{job}"), "kind": "other"}
    with pytest.raises(DeclarationError, match=reason):
        type(BaseDynamoRepository)("Others", (BaseDynamoRepository,), {**body, "model_class": Job, "pattern": pattern})


@pytest.mark.parametrize(
    "local_indexes", [{"gsi1": "x"}, {f"lsi{number}": f"lsi{number}sk" for number in range(6)}, {"lsi1": ""}]
)
def test_local_indexes_that_cannot_be_are_refused(local_indexes: Any) -> None:
    with pytest.raises(DeclarationError):
        SingleTable("t", indexes={"gsi1": ("a", "b")}, local_indexes=local_indexes)
    with pytest.raises(DeclarationError, match="table with a sort key"):
        SingleTable("t", sort_key=None, local_indexes={"lsi1": "x"})


@pytest.mark.parametrize("names", [{"kind": "pk"}, {"ttl": "sk"}, {"kind": "x", "ttl": "x"}, {"kind": ""}])
def test_an_attribute_has_one_use(names: Any) -> None:
    with pytest.raises(DeclarationError, match="attribute"):
        SingleTable("t", **names)


# --- indexes that carry less ------------------------------------------------------------------------------------------


class LeanJobs(BaseDynamoRepository[Job]):
    table_name = "lean-jobs"
    primary_key = Key("YARD#{yard}")
    sort_key = Key("JOB#{job}")
    by_owner = AccessPattern(
        "by_owner", partition=Key("OWNER#{owner}", case="lower"), sort=Key("{due}#{job}"), projection="KEYS_ONLY"
    )
    by_day = AccessPattern("by_day", partition=Key("DAY#{due:day}"), sort=Key("{cost:06d}"), projection=["text"])


class Slip(BaseModel):
    yard: str
    job: str
    cost: int


def test_keys_tell_the_fields_that_they_are_made_of(make: Make) -> None:
    jobs = make(LeanJobs)
    jobs.create(Job(yard="a#b", job="j 1", cost=7))
    (found,) = jobs.by_owner("ANN").project()
    assert dict(found) == {"yard": "a#b", "job": "j 1", "due": MONDAY}, "not the owner: the case of the name is lost"
    (found,) = jobs.by_owner("ann").project("job", "due")
    assert dict(found) == {"job": "j 1", "due": MONDAY}
    (found,) = jobs.by_day(MONDAY).project()
    assert dict(found) == {"yard": "a#b", "job": "j 1", "cost": 7, "text": "x"}, (
        "not when it is due: a day is no moment"
    )
    assert jobs.by_day(MONDAY).project(Slip).all() == [Slip(yard="a#b", job="j 1", cost=7)]
    page = jobs.by_day(MONDAY).project("job").page(1)
    assert [dict(each) for each in page.items] == [{"job": "j 1"}]
    explained = jobs.by_day(MONDAY).project("job", "text").explain()
    asked = {
        explained["ExpressionAttributeNames"].get(name, name) for name in explained["ProjectionExpression"].split(", ")
    }
    assert asked == {"text", "pk", "sk", "by_day_pk", "by_day_sk"}, "DynamoDB refuses what the index does not carry"
    for name in ("owner", "text"):
        with pytest.raises(ExpressionError, match=f"does not carry {name}"):
            jobs.by_owner("ann").project("job", name)
    with pytest.raises(ExpressionError, match="cannot filter on it"):
        jobs.by_owner("ann").where(F.yard == "a#b")
