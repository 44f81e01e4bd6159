"""What a query will send, and what comes with that: its index, the limits it meets, the permissions it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dynamodb_wrapper.expressions.render import MAX_EXPRESSION_BYTES
from dynamodb_wrapper.operations.charts import PAGE_BYTES, read_units
from dynamodb_wrapper.operations.effects import Params
from dynamodb_wrapper.operations.scans import Segments
from dynamodb_wrapper.operations.selection import Selection

PARTITION_READ_UNITS = 3000
"""AWS, "Partitions and data distribution": what one partition gives in a second, strongly consistent."""
_EXPRESSIONS = ("KeyConditionExpression", "FilterExpression", "ProjectionExpression")


@dataclass(frozen=True, slots=True)
class TouchedLimit:
    """A limit of DynamoDB's that a request meets.

    Attributes:
        name: What is limited.
        allowed: How much there may be of it.
        unit: In what that is counted.
        used: How much of it the request takes; None where that is known only afterwards.
        note: What follows from it.
    """

    name: str
    allowed: int
    unit: str
    used: int | None = None
    note: str = ""


class QueryExplanation(dict[str, Any]):
    """The parameters of a request, values in wire form, as boto3's client takes them; and what is to be known of it.

    Attributes:
        operation: ``"Query"`` or ``"Scan"``.
        index: The name of the index that is read; None for the table.
        limits: DynamoDB's limits that the request meets.
        iam_actions: The permissions it needs.
        iam_resource: The end of the ARN these are needed on, from ``table/``; the ARN itself for a table named by one.
    """

    def __init__(self, selection: Selection[Any], params: Params) -> None:
        super().__init__(params)
        self.operation = selection.operation
        self.index = selection.index.name
        self.limits = tuple(_limits(selection, params))
        self.iam_actions = (f"dynamodb:{selection.operation}",)
        table = selection.entity.table_name
        self.iam_resource = (table if table.startswith("arn:") else f"table/{table}") + (
            "" if self.index is None else f"/index/{self.index}"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters alone."""
        return dict(self)


def explained(selection: Selection[Any]) -> QueryExplanation:
    """Return what the first request of a selection is."""
    limit = selection.request_sizes(selection.limit).next(selection.limit)
    return QueryExplanation(selection, selection.params(limit=limit, start_key=selection.start_key))


def explained_segments(segments: Segments[Any]) -> QueryExplanation:
    """Return what the first request of a parallel scan's first segment is."""
    selection = segments.selection
    params = selection.params(limit=selection.page_size)
    return QueryExplanation(selection, {**params, "Segment": 0, "TotalSegments": segments.total})


def _limits(selection: Selection[Any], params: Params) -> Iterator[TouchedLimit]:
    note = "counted before the filter" if "FilterExpression" in params else "what is more comes in further requests"
    if "ProjectionExpression" in params:
        note += "; a projection saves traffic, no capacity"
    yield TouchedLimit("read in one request", PAGE_BYTES, "bytes", note=note)
    most = read_units(PAGE_BYTES, can_be_consistent=True)
    units = most.consistently if selection.consistent else most.eventually
    consistency = "strongly" if selection.consistent else "eventually"
    yield TouchedLimit(
        "read units of one request", int(units or 0), "read units", note=f"for 1 MB, {consistency} consistent"
    )
    if "Limit" in params:
        yield TouchedLimit("items evaluated in one request", params["Limit"], "items", note="set by the query itself")
    if selection.operation == "Query":
        yield TouchedLimit(
            "read of one partition", PARTITION_READ_UNITS, "read units a second", note="a query reads one partition"
        )
    for name in _EXPRESSIONS:
        if name in params:
            yield TouchedLimit(name, MAX_EXPRESSION_BYTES, "bytes", used=len(params[name].encode()))
