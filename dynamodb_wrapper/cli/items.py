"""``get``, ``query`` and ``scan``: items as their models, with keys and conditions typed by the model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from dynamodb_wrapper.cli.conditions import WHERE_HELP, conditions
from dynamodb_wrapper.cli.failures import CommandError
from dynamodb_wrapper.cli.invocation import Invocation, RepositoryName
from dynamodb_wrapper.cli.loading import AnyRepository
from dynamodb_wrapper.exceptions import ItemNotFoundError
from dynamodb_wrapper.operations.charts import ChartedPattern
from dynamodb_wrapper.repositories import Query

SHOWN_AT_MOST = 100
"""How many items a table shows without ``--limit``: it is drawn when all are there."""

Attributes = Annotated[
    str | None, typer.Option(help="Read only these, separated by commas: status,total,address.city.")
]
Consistent = Annotated[bool, typer.Option("--consistent", help="Read strongly consistent, at twice the cost.")]
Index = Annotated[str | None, typer.Option(help="Read this index; an access pattern's name will do.")]
Where = Annotated[list[str] | None, typer.Option(metavar="CONDITION", help=WHERE_HELP)]
Limit = Annotated[
    int | None,
    typer.Option(help=f"At most so many items; by default all, and {SHOWN_AT_MOST} in a table.", min=1),
]
Cursor = Annotated[str | None, typer.Option(help="Go on where an earlier call with a limit has ended.")]
Count = Annotated[bool, typer.Option("--count", help="Say only how many there are.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say what would be asked of DynamoDB; send nothing.")]


def get(
    invocation: Invocation,
    repository: RepositoryName,
    key: Annotated[list[str], typer.Argument(help="The values of the key, partition key first.")],
    *,
    attributes: Attributes = None,
    consistent: Consistent = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="As it is stored, validated by nobody: for an item that is no valid model.")
    ] = False,
) -> None:
    """Show one item; exit code 3 if there is none."""
    if raw and attributes:
        raise CommandError("--raw shows everything that is stored: it goes without --attributes")
    items = invocation.repository(repository)
    pk, sk = _key(items, key)
    found: Any
    if raw:
        found = items.get_raw(pk, sk, consistent=consistent)
        if found is None:
            raise ItemNotFoundError(items.table_name, tuple(key))
    else:
        found = items.get_or_raise(pk, sk, consistent=consistent, attributes=_names(attributes))
    invocation.output.record(_row(found))


def query(
    invocation: Invocation,
    repository: RepositoryName,
    partition: Annotated[list[str], typer.Argument(help="The values of the partition key.")],
    *,
    index: Index = None,
    eq: Annotated[list[str] | None, typer.Option("--eq", help="The sort key (its next part) is this.")] = None,
    lt: Annotated[str | None, typer.Option("--lt", help="The sort key is below this.")] = None,
    le: Annotated[str | None, typer.Option("--le", help="The sort key is at most this.")] = None,
    gt: Annotated[str | None, typer.Option("--gt", help="The sort key is above this.")] = None,
    ge: Annotated[str | None, typer.Option("--ge", help="The sort key is at least this.")] = None,
    between: Annotated[
        tuple[str, str] | None, typer.Option("--between", help="The sort key is between these two, or one of them.")
    ] = None,
    begins_with: Annotated[str | None, typer.Option("--begins-with", help="The sort key begins so.")] = None,
    descending: Annotated[bool, typer.Option("--descending", help="From the highest sort key to the lowest.")] = False,
    where: Where = None,
    attributes: Attributes = None,
    limit: Limit = None,
    cursor: Cursor = None,
    consistent: Consistent = False,
    count: Count = False,
    explain: Explain = False,
) -> None:
    """Show the items of one partition, of the table or of an index, in the order of the sort key."""
    items = invocation.repository(repository)
    pattern = _pattern(items, index)
    chosen = items.query(*partition, index=pattern.index)
    if eq:
        chosen = chosen.eq(*eq)
    ranges = {"lt": lt, "le": le, "gt": gt, "ge": ge, "between": between, "begins_with": begins_with}
    for name, value in ranges.items():
        if value is not None:
            chosen = getattr(chosen, name)(*([value] if isinstance(value, str) else value))
    if descending:
        chosen = chosen.descending()
    wanted = _Wanted(where or (), attributes, limit, cursor, consistent, count, explain)
    wanted.show(invocation, wanted.of(chosen, pattern), pattern)


def scan(
    invocation: Invocation,
    repository: RepositoryName,
    *,
    index: Index = None,
    where: Where = None,
    attributes: Attributes = None,
    limit: Limit = None,
    cursor: Cursor = None,
    consistent: Consistent = False,
    count: Count = False,
    explain: Explain = False,
) -> None:
    """Show the items of a table or an index, in no order; all of it is read, and paid for."""
    items = invocation.repository(repository)
    pattern = _pattern(items, index)
    wanted = _Wanted(where or (), attributes, limit, cursor, consistent, count, explain)
    wanted.show(invocation, wanted.of(items.scan(index=pattern.index), pattern), pattern)


def describe(
    invocation: Invocation,
    repository: RepositoryName,
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown.")] = False,
) -> None:
    """Show which questions a table answers, by which key, and what an answer costs; AWS is not asked."""
    (declared,) = invocation.declared([repository])
    chart = declared.describe()
    if invocation.output.as_json:
        invocation.output.document(json.loads(chart.to_json()))
    else:
        invocation.output.verbatim(chart.to_markdown() if markdown else chart.to_text())


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is wanted of a query or a scan."""

    where: Sequence[str]
    attributes: str | None
    limit: int | None
    cursor: str | None
    consistent: bool
    count: bool
    explain: bool

    def of(self, chosen: Query[Any], pattern: ChartedPattern) -> Query[Any]:
        """Return the query with all that is wanted, but the page."""
        chosen = chosen.where(*conditions(self.where))
        if self.consistent:
            chosen = chosen.consistent()
        names = _names(self.attributes)
        if names is None and pattern.projection == "ALL":
            return chosen
        return chosen if self.count else chosen.project(*(names or ()))

    def show(self, invocation: Invocation, chosen: Query[Any], pattern: ChartedPattern) -> None:
        """Print the items, or what is wanted instead."""
        output = invocation.output
        if self.explain:
            output.document(dict(chosen.explain()))
        elif self.count:
            limited = chosen if self.limit is None else chosen.limit(self.limit)
            output.record({"count": limited.count()})
        elif output.as_json and self.limit is None and self.cursor is None:
            output.rows(map(_row, chosen))
        else:
            page = chosen.page(self.limit or SHOWN_AT_MOST, self.cursor)
            shown = [_row(item) for item in page.items]
            output.rows(shown, columns=None if output.as_json else _columns(shown, pattern))
            if not shown:
                output.say("no items")
            if page.cursor is not None:
                output.say(f"there is more: --cursor {page.cursor}")


def _key(items: AnyRepository, words: Sequence[str]) -> tuple[object, object]:
    """Return the two halves of a key that is given word by word."""
    key = items.describe().patterns[0]
    parts = (*key.partition, *key.sort)
    names = list(dict.fromkeys(name for part in parts for name in part.fields))
    if len(words) != len(names):
        raise CommandError(
            f"a key of {items.table_name} is {' and '.join(names)}: {len(names)} value(s), not {len(words)}"
        )
    if any(part.derived for part in parts):
        return dict(zip(names, words, strict=True)), None
    return words[0], words[1] if len(words) > 1 else None


def _pattern(items: AnyRepository, name: str | None) -> ChartedPattern:
    patterns = items.describe().patterns
    for pattern in patterns:
        if name == pattern.index or name in pattern.names:
            return pattern
    known = [str(pattern.index or pattern.names[0]) for pattern in patterns if pattern.index or pattern.names]
    has = f"it has {', '.join(known)}" if known else "it has none"
    raise CommandError(f"{items.table_name} has no index or access pattern {name!r}; {has}")


def _names(attributes: str | None) -> list[str] | None:
    if attributes is None:
        return None
    names = [name.strip() for name in attributes.split(",") if name.strip()]
    if not names:
        raise CommandError("--attributes takes names, separated by commas")
    return names


def _row(item: BaseModel | Mapping[str, object]) -> Mapping[str, object]:
    return item.model_dump(by_alias=True) if isinstance(item, BaseModel) else dict(item)


def _columns(rows: Iterable[Mapping[str, object]], pattern: ChartedPattern) -> list[str]:
    """Return what a table shows: the key first, and nothing that no item has."""
    there = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    key = [part.attribute for part in (*pattern.partition, *pattern.sort) if part.attribute in there]
    return list(dict.fromkeys((*key, *there)))
