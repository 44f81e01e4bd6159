"""Charts of entities, and explanations of queries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel, Field

from dynamodb_wrapper import (
    AccessPattern,
    AsyncBaseDynamoRepository,
    BaseDynamoRepository,
    Derived,
    DynamoDBConfig,
    F,
    Unique,
    ValidationError,
)
from dynamodb_wrapper.operations.charts import KeyPart, ReadUnits

CONFIG = DynamoDBConfig(region_name="eu-west-1", table_prefix="shop", environment="dev")


class Order(BaseModel):
    customer: str
    number: int
    status: str | None = None
    total: float = Field(default=0, alias="sum")
    hook: Callable[[], None] | None = Field(default=None, exclude=True)
    expires: datetime | None = None
    version: int = 0


class Node(BaseModel):
    id: str
    children: list[Node] = []


DAY = Derived("day", ("number", "status"), lambda number, status: status and f"{number:08d}")


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer"
    sort_key = "number"
    version_attribute = "version"
    ttl_attribute = "expires"
    unique = (Unique("status", within="customer"),)
    mine = AccessPattern(None, partition="customer", sort="number")
    by_status = AccessPattern("by_status", partition=("status", "customer"), sort=DAY, projection=["total"])
    same = by_status
    by_total = AccessPattern("by_total", partition="customer", sort="total", projection="KEYS_ONLY", local=True)


class AsyncOrders(AsyncBaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer"
    sort_key = "number"
    version_attribute = "version"
    ttl_attribute = "expires"
    unique = Orders.unique
    mine = Orders.mine
    by_status = Orders.by_status
    same = Orders.by_status
    by_total = Orders.by_total


ROWS = [
    ["Pattern", "Reads", "Partition key", "Sort key", "Carries", "Consistent", "Read units"],
    ["mine", "table", "customer (text)", "number (number)", "everything", "possible", "128 (256 consistently)"],
    [
        "by_status, same",
        "global index by_status",
        "status (text, sparse), customer (text)",
        "day (text from number, status, sparse)",
        "customer, number, status, day, sum",
        "no",
        "128",
    ],
    [
        "by_total",
        "local index by_total",
        "customer (text)",
        "sum (number)",
        "customer, number, sum",
        "possible",
        "128 (256 consistently)",
    ],
]


def test_a_chart_as_text() -> None:
    lines = Orders(CONFIG).describe().to_text().splitlines()
    assert lines[:2] == ["Order in shop_dev_orders (Orders)", ""]
    assert [re.split(r" {2,}", line) for line in lines[2:6]] == ROWS
    assert lines[6:] == [
        "",
        "optimistic lock: version",
        "expires by: expires",
        "unique: status within customer",
        "read units are of a page of 1 MB",
    ]


def test_columns_are_aligned() -> None:
    heading, *rows = Orders(CONFIG).describe().to_text().splitlines()[2:6]
    for column, title in enumerate(ROWS[0]):
        assert {row.index(cells[column], heading.index(title)) for row, cells in zip(rows, ROWS[1:], strict=True)} == {
            heading.index(title)
        }


def test_a_chart_as_markdown() -> None:
    class Odd(Orders):
        mine = AccessPattern(None, partition="customer", sort="number")
        by_pipe = AccessPattern("by_pipe", partition=Derived("a|b", ("number",), str))

    lines = Odd(CONFIG).describe(page_size=10, item_bytes=1000).to_markdown().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert lines[0] == "## Order"
    assert {row.replace("\\|", "").count("|") for row in rows} == {8}
    assert any("a\\|b (text from number, sparse)" in row for row in rows)
    assert "- read units are of a page of 10 items of 1,000 bytes" in lines
    assert rows[2].endswith("| 1.5 (3 consistently) |")


def test_a_chart_as_json() -> None:
    chart = Orders(CONFIG).describe()
    read = json.loads(chart.to_json())
    assert [pattern["index"] for pattern in read["patterns"]] == [None, "by_status", "by_total"]
    assert read["patterns"][1]["projection"] == ["customer", "number", "status", "day", "sum"]
    assert read["schema"] == chart.to_json_schema()


def test_both_colours_have_one_chart() -> None:
    ours, theirs = Orders(CONFIG).describe(), AsyncOrders(CONFIG).describe()
    assert ours.patterns == theirs.patterns
    assert ours.to_json_schema() == theirs.to_json_schema()


def test_the_parts_of_keys() -> None:
    _, by_status, by_total = Orders(CONFIG).describe().patterns
    assert by_status.partition == (
        KeyPart("status", "text", ("status",), sparse=True),
        KeyPart("customer", "text", ("customer",)),
    )
    assert by_status.sort == (KeyPart("day", "text", ("number", "status"), derived=True, sparse=True),)
    assert by_total.sort == (KeyPart("sum", "number", ("total",)),)
    assert (by_status.consistent, by_total.consistent) == (False, True)


def test_the_schema_is_of_what_is_stored() -> None:
    schema = Orders(CONFIG).describe().to_json_schema()
    properties = schema["properties"]
    assert properties["sum"]["x-dynamodb-type"] == ["N"]
    assert "total" not in properties
    assert properties["day"] == {
        "type": "string",
        "description": "derived from number, status",
        "readOnly": True,
        "x-dynamodb-type": ["S"],
    }
    assert properties["expires"]["x-dynamodb-type"] == ["N"]  # a datetime, stored as seconds
    assert "format" not in properties["expires"]
    assert "hook" not in properties


def test_what_has_no_schema_is_anything() -> None:
    class Hooked(BaseModel):
        p: str
        hook: Callable[[], None] | None = None

    class Hookeds(BaseDynamoRepository[Hooked]):
        table_name = "hooked"
        primary_key = "p"

    schema = Hookeds(CONFIG).describe().to_json_schema()
    assert "no JSON Schema" in json.dumps(schema["properties"]["hook"])


def test_a_model_that_contains_itself_has_a_schema() -> None:
    class Nodes(BaseDynamoRepository[Node]):
        table_name = "nodes"
        primary_key = "id"

    schema = Nodes(CONFIG).describe().to_json_schema()
    assert schema["properties"]["id"]["x-dynamodb-type"] == ["S"]
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}


@pytest.mark.parametrize(
    ("page_size", "item_bytes", "units"),
    [(1, 1, 0.5), (1, 4096, 0.5), (1, 4097, 1), (25, 1000, 3.5), (1000, 400_000, 128), (25, None, 128)],
)
def test_read_units_are_of_the_whole_page(page_size: int, item_bytes: int | None, units: float) -> None:
    """A query rounds the sum of its items up to 4 KB, not each item."""
    table = Orders(CONFIG).describe(page_size=page_size, item_bytes=item_bytes).patterns[0]
    assert table.read_units == ReadUnits(units, 2 * units)


@pytest.mark.parametrize("name", ["page_size", "item_bytes"])
@pytest.mark.parametrize("value", [0, -1, "1", True])
def test_sizes_that_cannot_be_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match="at least 1"):
        Orders(CONFIG).describe(**{name: value})


# --- explanations ---------------------------------------------------------------------------------------------------


def test_an_explanation_is_the_parameters_and_more() -> None:
    orders = Orders(CONFIG)
    query = orders.by_status("open", "c1").where(F.total > 5).project("total")
    explained = query.explain()
    assert explained == explained.parameters
    assert isinstance(explained, dict)
    assert type(explained.parameters) is dict
    assert explained["IndexName"] == explained.index == "by_status"
    assert explained.operation == "Query"
    assert explained.iam_actions == ("dynamodb:Query",)
    assert explained.iam_resource == "table/shop_dev_orders/index/by_status"
    assert repr(query) == f"Query({explained.parameters!r})"


def test_the_limits_a_query_meets() -> None:
    orders = Orders(CONFIG)
    limits = {limit.name: limit for limit in orders.query("c1").where(F.total > 5).limit(10).explain().limits}
    assert limits["read in one request"].allowed == 1024 * 1024
    assert "before the filter" in limits["read in one request"].note
    assert limits["read units of one request"].allowed == 128
    assert limits["read of one partition"].allowed == 3000
    assert limits["items evaluated in one request"].allowed == 100
    used = limits["FilterExpression"]
    assert (used.used, used.allowed) == (len("#n1 > :v1"), 4096)
    consistent = {limit.name: limit for limit in orders.query("c1").consistent().explain().limits}
    assert consistent["read units of one request"].allowed == 256
    assert "FilterExpression" not in consistent


def test_a_scan_explains_itself() -> None:
    explained = Orders(CONFIG).scan().explain()
    assert (explained.operation, explained.index, explained.iam_actions) == ("Scan", None, ("dynamodb:Scan",))
    assert explained.iam_resource == "table/shop_dev_orders"
    assert "read of one partition" not in {limit.name for limit in explained.limits}
    parallel = Orders(CONFIG).parallel_scan(7, index="by_total").explain()
    assert (parallel.index, parallel["TotalSegments"]) == ("by_total", 7)


def test_both_colours_explain_alike() -> None:
    ours, theirs = Orders(CONFIG).query("c1").explain(), AsyncOrders(CONFIG).query("c1").explain()
    assert ours == theirs
    assert (ours.limits, ours.iam_resource) == (theirs.limits, theirs.iam_resource)
