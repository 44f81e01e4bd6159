"""Trees of plain documents: items that name their parents."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from dynamodb_wrapper.exceptions import ItemNotFoundError, ValidationError
from dynamodb_wrapper.operations.documents import Answer, Documents, perform
from dynamodb_wrapper.operations.effects import Flow
from dynamodb_wrapper.operations.sizes import positive
from dynamodb_wrapper.operations.trees import Grown, TreeWithMetadata, grow

Node = dict[str, Any]
"""An item's attributes, and its children."""


@dataclass(frozen=True, slots=True)
class Links:
    """How the items of a table name their parents.

    Attributes:
        table_name: The physical table.
        id: The attribute that tells items apart.
        parent: The attribute with the ``id`` of the parent.
        index: The index whose partition key is ``parent``.
        children: Where a node has its children.
    """

    table_name: str
    id: str
    parent: str
    index: str
    children: str


def read(
    documents: Documents,
    links: Links,
    root: object,
    *,
    max_depth: int,
    include_metadata: bool,
    concurrency: int,
) -> Flow[Node | TreeWithMetadata[Node]]:
    """Read a tree as nested dicts; links that lead back to a node above are left out.

    Raises:
        ItemNotFoundError: There is no such root.
        ValidationError: An item has an attribute where its children are to be.
    """
    grown = yield from _grown(documents, links, root, max_depth=max_depth, concurrency=concurrency)
    tree = _nested(links, grown)
    if not include_metadata:
        return tree
    top = grown.levels[0][0]
    orphans = [] if (yield from _has_its_parent(documents, links, root, top)) else [top]
    return TreeWithMetadata(tree, grown.metadata(lambda node: node.get(links.id), orphans))


def _grown(documents: Documents, links: Links, root: object, *, max_depth: int, concurrency: int) -> Flow[Grown[Node]]:
    positive("max_depth", max_depth)
    positive("concurrency", concurrency)
    key = _key(links, root)
    top = yield from _item(documents, links, key)
    if top is None:
        raise ItemNotFoundError(links.table_name, dict(key))

    def identity(node: Node) -> Hashable:
        return tuple(node[name] for name in key)

    def children_of(node: Node) -> Flow[list[Node]]:
        return _children(documents, links, node)

    return (yield from grow([top], children_of, identity, max_depth=max_depth, at_most=concurrency))


def _key(links: Links, root: object) -> Mapping[str, object]:
    return root if isinstance(root, Mapping) else {links.id: root}


def _item(documents: Documents, links: Links, key: Mapping[str, object]) -> Flow[Node | None]:
    keywords = {"TableName": links.table_name, "Key": key, "ConsistentRead": True}
    answer: Answer = yield from perform(documents, "GetItem", keywords)
    return answer.get("Item")


def _children(documents: Documents, links: Links, node: Node) -> Flow[list[Node]]:
    if node.get(links.id) is None:
        return []
    keywords: dict[str, object] = {
        "TableName": links.table_name,
        "IndexName": links.index,
        "KeyConditionExpression": "#parent = :id",
        "ExpressionAttributeNames": {"#parent": links.parent},
        "ExpressionAttributeValues": {":id": node[links.id]},
    }
    found: list[Node] = []
    while True:
        answer = yield from perform(documents, "Query", keywords)
        found += answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return found
        keywords["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _has_its_parent(documents: Documents, links: Links, root: object, top: Node) -> Flow[bool]:
    """Whether the item that the root names as its parent exists, or it names none."""
    key, parent = _key(links, root), top.get(links.parent)
    if parent is None or links.id not in key:
        return True
    return (yield from _item(documents, links, {**key, links.id: parent})) is not None


def _nested(links: Links, grown: Grown[Node]) -> Node:
    def make(node: Node, children: list[Node]) -> Node:
        if links.children in node:
            problem = f"the item has an attribute {links.children!r} of its own; name another place with children="
            raise ValidationError(f"{links.id} = {node.get(links.id)!r}: {problem}", {links.children: problem})
        return {**node, links.children: children}

    return grown.nested(make)
