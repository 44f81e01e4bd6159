"""Flows on many plain documents at once, over the batches of items in wire form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dynamodb_wrapper.codec import Item, item_json, read_any
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations import batches
from dynamodb_wrapper.operations.batches import BatchOptions, Entry, Wanted
from dynamodb_wrapper.operations.document_keywords import (
    OPERATIONS,
    WRITE_ENTRIES,
    Document,
    KeysOfTable,
    checked,
    chosen,
)
from dynamodb_wrapper.operations.documents import Answer, Documents, key_attributes
from dynamodb_wrapper.operations.effects import Flow, Params
from dynamodb_wrapper.operations.requests import delete_entry, put_body, put_entry

Kind = Literal["put", "delete"]


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """How many operations of a batch were done.

    One that a later one on the same key replaced counts as done.

    Attributes:
        puts: How many puts, by table.
        deletes: How many deletes, by table.
    """

    puts: Mapping[str, int]
    deletes: Mapping[str, int]

    @property
    def done(self) -> int:
        """How many in all."""
        return sum(self.puts.values()) + sum(self.deletes.values())


@dataclass(frozen=True, slots=True)
class _Asked:
    """One write as it was asked for: the item (and its JSON) or key, and how errors report it."""

    place: str
    table_name: str
    kind: Kind
    attributes: Item
    origin: object
    json: bytes | None = None


def operate(
    documents: Documents, operations: Iterable[Document], options: BatchOptions = batches.DEFAULT
) -> Flow[BatchSummary]:
    """Do puts and deletes of any tables, each on its own.

    Raises:
        ValidationError: An operation is wrong; says which. Nothing was sent.
        BatchIncompleteError: Not everything was done; ``unprocessed`` has the operations that are not known to be.
    """
    asked = [
        _operation(documents, number, operation) for number, operation in enumerate(_listed("operations", operations))
    ]
    yield from _write(documents, asked, options)
    return BatchSummary(_counted(asked, "put"), _counted(asked, "delete"))


def write(documents: Documents, keywords: Document) -> Flow[Answer]:
    """Do the puts and deletes of boto3's ``RequestItems``, any number of them.

    Raises:
        ValidationError: A request is wrong; says which. Nothing was sent.
        BatchIncompleteError: Not everything was done; ``unprocessed`` has each of the rest as a ``RequestItems``.
    """
    given = _tables(checked("BatchWriteItem", keywords, OPERATIONS["BatchWriteItem"]))
    asked = [
        _request(documents, table_name, f"RequestItems[{table_name!r}][{number}]", request)
        for table_name, requests in given.items()
        for number, request in enumerate(_listed(f"RequestItems[{table_name!r}]", requests))
    ]
    yield from _write(documents, asked, batches.DEFAULT)
    return {"UnprocessedItems": {}}


def get(documents: Documents, keywords: Document) -> Flow[Answer]:
    """Read the items of boto3's ``RequestItems``, any number of them.

    Raises:
        ValidationError: A key is wrong; says which. Nothing was sent.
        BatchIncompleteError: Not every key was answered; ``unprocessed`` has each of the rest as a ``RequestItems``.
    """
    given = _tables(checked("BatchGetItem", keywords, OPERATIONS["BatchGetItem"]))
    wanted: list[Wanted] = []
    parameters: dict[str, Params] = {}
    unasked: dict[str, set[str]] = {}
    for table_name, asked in given.items():
        place = f"RequestItems[{table_name!r}]"
        options = dict(checked(place, asked, KeysOfTable))
        keys = [
            documents.codec.key(f"{place}.Keys[{number}]", key)
            for number, key in enumerate(_listed(f"{place}.Keys", options.pop("Keys")))
        ]
        names = dict.fromkeys(name for key in keys for name in key)
        wanted += [
            Wanted(table_name, key, {table_name: {**asked, "Keys": [documents.codec.read(key)]}}) for key in keys
        ]
        parameters[table_name], unasked[table_name] = _with_keys(options, names)
    items = yield from batches.read(wanted, parameters=parameters)
    responses: dict[str, list[Answer]] = {table_name: [] for table_name in given}
    for one, item in zip(wanted, items, strict=True):
        if item is not None:
            shown = {name: wire for name, wire in item.items() if name not in unasked[one.table_name]}
            responses[one.table_name].append(documents.codec.read(shown))
    return {"Responses": responses, "UnprocessedKeys": {}}


def _with_keys(options: Params, key_names: Iterable[str]) -> tuple[Params, set[str]]:
    """Return what is asked of a table's items with their keys, by which answers are told, and the names added."""
    if "AttributesToGet" in options:
        added = set(key_names) - set(options["AttributesToGet"])
        return {**options, "AttributesToGet": [*options["AttributesToGet"], *sorted(added)]}, added
    if "ProjectionExpression" not in options:
        return options, set()
    placeholders = dict(options.get("ExpressionAttributeNames", {}))
    roots = re.findall(r"(?:^|,)\s*([^\s,.\[]+)", options["ProjectionExpression"])
    added = set(key_names) - {placeholders.get(root, root) for root in roots}
    projection: str = options["ProjectionExpression"]
    for name in sorted(added):
        number = len(placeholders)
        while f"#key{number}" in placeholders:
            number += 1
        placeholders[f"#key{number}"] = name
        projection += f", #key{number}"
    names = {"ExpressionAttributeNames": placeholders} if placeholders else {}
    return {**options, "ProjectionExpression": projection, **names}, added


def _tables(keywords: Document) -> Mapping[str, Any]:
    """Return ``RequestItems``.

    Raises:
        ValidationError: It is no dict by table, or has nothing in it.
    """
    given = keywords["RequestItems"]
    if not isinstance(given, Mapping) or not given:
        wanted = "must be a dict by table name, with something in it"
        raise ValidationError(f"RequestItems is {given!r:.80}: {wanted}", {"RequestItems": wanted})
    for table_name in given:
        if not isinstance(table_name, str) or not table_name:
            raise ValidationError(
                f"RequestItems has {table_name!r:.80} for a table name: must be text, and not empty",
                {"RequestItems": "no table name"},
            )
    return given


def _listed(place: str, entries: object) -> Iterable[Any]:
    if isinstance(entries, Mapping | str) or not isinstance(entries, Iterable):
        raise ValidationError(f"{place} is {entries!r:.80}: must be a list", {place: "not a list"})
    return entries


def _operation(documents: Documents, number: int, operation: object) -> _Asked:
    place = f"operations[{number}]"
    if not isinstance(operation, Mapping):
        raise ValidationError(f"{place} is {operation!r:.80}: must be a dict", {place: "not a dict"})
    given = dict(operation)
    kind, table_name = given.pop("type", None), given.pop("tableName", None) or given.pop("table_name", None)
    part = {"put": "item", "delete": "key"}.get(kind) if isinstance(kind, str) else None
    if part is None or not isinstance(table_name, str) or given.keys() != {part}:
        raise ValidationError(
            f'{place} is {operation!r:.120}: must be {{"type": "put", "tableName": ..., "item": ...}} or '
            '{"type": "delete", "tableName": ..., "key": ...}',
            {place: "not an operation"},
        )
    return _asked(
        documents, f"{place}.{part}", table_name, "put" if kind == "put" else "delete", given[part], operation
    )


def _request(documents: Documents, table_name: str, place: str, request: object) -> _Asked:
    kind, entry = chosen(place, request, WRITE_ENTRIES)
    (attributes,) = entry.values()
    origin = {table_name: [request]}
    return _asked(documents, place, table_name, "put" if kind == "PutRequest" else "delete", attributes, origin)


def _asked(documents: Documents, place: str, table_name: str, kind: Kind, attributes: object, origin: object) -> _Asked:
    if kind == "delete":
        return _Asked(place, table_name, kind, documents.codec.key(place, attributes), origin)
    item = documents.codec.item(place, attributes)
    return _Asked(place, table_name, kind, item, origin, item_json(item, table_name=table_name, key=lambda: None))


def _write(documents: Documents, asked: list[_Asked], options: BatchOptions) -> Flow[int]:
    entries = []
    for one in asked:
        entries.append((yield from _entry(documents, one)))
    return (yield from batches.write(entries, options))


def _entry(documents: Documents, one: _Asked) -> Flow[Entry]:
    names = yield from key_attributes(documents, one.table_name)
    found = one.attributes.keys() & set(names) if one.kind == "put" else one.attributes.keys()
    if found != set(names):
        wanted = f"the key of table {one.table_name!r} is {', '.join(names)}"
        raise ValidationError(
            f"{one.place} has {', '.join(sorted(found)) or 'none of it'}: {wanted}", {one.place: wanted}
        )
    key = {name: one.attributes[name] for name in names}
    documents.codec.check_key(one.place, key)
    for name, tag in names.items():
        if tag not in key[name]:
            wanted = f"the key {name!r} of table {one.table_name!r} is declared as {tag}"
            raise ValidationError(
                f"{one.place}.{name} = {read_any(key[name])!r:.80}: {wanted}", {f"{one.place}.{name}": wanted}
            )
    request = delete_entry(key) if one.kind == "delete" else put_entry(one.attributes)
    return Entry(one.table_name, key, request, one.origin, body=None if one.json is None else put_body(one.json))


def _counted(asked: Iterable[_Asked], kind: Kind) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in asked:
        if one.kind == kind:
            counts[one.table_name] = counts.get(one.table_name, 0) + 1
    return counts
