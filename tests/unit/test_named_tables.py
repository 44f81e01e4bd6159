"""Tables known by their names, driven by hand; and which differences a change is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pytest

from dynamodb_wrapper import TableDiff, TableDifference, TableNotFoundError
from dynamodb_wrapper.operations import named_tables, tables
from dynamodb_wrapper.operations.effects import Call, Flow, Together
from dynamodb_wrapper.operations.named_tables import NamedTable, TableSummary
from dynamodb_wrapper.operations.table_diff import Aspect, Permission, Step

R = TypeVar("R")
Sent = list[tuple[str, Mapping[str, Any]]]


def driven(flow: Flow[R], *answers: object) -> tuple[R, Sent]:
    """Return what a flow returns, and what it sent; an answer that is an exception is raised."""
    waiting, sent = list(answers), Sent()

    def run(flow: Flow[Any]) -> Any:
        effect = next(flow)
        while True:
            try:
                if isinstance(effect, Together):
                    effect = flow.send([run(each) for each in effect.flows])
                    continue
                assert isinstance(effect, Call)
                sent.append((effect.operation, effect.params))
                answer = waiting.pop(0)
                effect = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
            except StopIteration as ended:
                return ended.value

    return run(flow), sent


def test_names_are_read_page_by_page_and_sorted() -> None:
    pages = ({"TableNames": ["b", "c"], "LastEvaluatedTableName": "c"}, {"TableNames": ["a"]})
    names, sent = driven(named_tables.table_names(), *pages)
    assert names == ["a", "b", "c"]
    assert sent == [("ListTables", {}), ("ListTables", {"ExclusiveStartTableName": "c"})]
    assert driven(named_tables.table_names(), {"TableNames": []})[0] == []


def test_names_that_begin_otherwise_are_left_out() -> None:
    assert driven(named_tables.table_names(prefix="dev_"), {"TableNames": ["dev_a", "prod_a", "xdev_"]})[0] == ["dev_a"]


def test_summaries_leave_out_what_does_not_exist() -> None:
    provisioned = {
        "TableStatus": "UPDATING",
        "ItemCount": 5,
        "TableSizeBytes": 700,
        "GlobalSecondaryIndexes": [{"IndexName": "g"}],
        "LocalSecondaryIndexes": [{"IndexName": "l"}],
    }
    on_demand = {"TableStatus": "ACTIVE", "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}}
    found, sent = driven(
        named_tables.summaries(["a", "b", "c"]),
        {"Table": provisioned},
        TableNotFoundError("none"),
        {"Table": on_demand},
    )
    assert found == [
        TableSummary("a", "UPDATING", 5, 700, "PROVISIONED", ("l", "g")),
        TableSummary("c", "ACTIVE", 0, 0, "PAY_PER_REQUEST"),
    ]
    assert sent == [("DescribeTable", {"TableName": name}) for name in "abc"]


def test_a_table_is_deleted_by_its_name() -> None:
    told: list[str] = []
    flow = tables.delete_table(NamedTable("t"), wait_seconds=1, progress=told.append)
    assert driven(flow, {}, TableNotFoundError("gone")) == (
        True,
        [("DeleteTable", {"TableName": "t"}), ("DescribeTable", {"TableName": "t"})],
    )
    assert told == ["gone"]
    flow = tables.delete_table(NamedTable("t"), wait_seconds=1, progress=told.append)
    assert driven(flow, TableNotFoundError("none"))[0] is False


def difference(
    what: str, aspect: Aspect = "indexes", *, needs: Permission | None = None, table: str = "t", possible: bool = True
) -> TableDifference:
    step = Step("UpdateTable", {}) if possible else None
    return TableDifference(table, aspect, what, None, None, needs=needs, step=step)


SAFE = difference("safe")
BILLING = difference("billing", "billing")
DELETES = difference("deletes", needs="delete_indexes")
DISABLES = difference("disables", "ttl", needs="disable")
IMPOSSIBLE = difference("impossible", possible=False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (SAFE, BILLING)),
        ({"delete_indexes": True}, (SAFE, BILLING, DELETES)),
        ({"disable": True}, (SAFE, BILLING, DISABLES)),
        ({"delete_indexes": True, "skip": ["indexes"]}, (BILLING,)),
        ({"disable": True, "skip": ("ttl", "billing")}, (SAFE,)),
    ],
)
def test_a_diff_says_what_would_be_changed(options: dict[str, Any], expected: tuple[TableDifference, ...]) -> None:
    diff = TableDiff((SAFE, BILLING, DELETES, DISABLES, IMPOSSIBLE))
    assert diff.chosen(**options) == expected


def test_nothing_would_be_changed_of_a_table_with_another_key() -> None:
    another = TableDiff((difference("key", "key", possible=False), SAFE, difference("safe", table="u")))
    assert [each.table_name for each in another.chosen()] == ["u"]
