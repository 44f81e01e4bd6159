"""Trees: items that name their parents, read level by level from an index on that name.

`grow` is the one algorithm. It knows neither models nor tables: a caller gives it nodes of any kind, how to find the
children of one, and what tells nodes apart. `Grown.nested` then builds whatever a node of the result is to be.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.operations import evolving
from dynamodb_wrapper.operations.effects import Flow, together
from dynamodb_wrapper.operations.parents import Family
from dynamodb_wrapper.operations.sizes import positive

N = TypeVar("N")
M = TypeVar("M")
T = TypeVar("T", bound=BaseModel)

_log = logging.getLogger("dynamodb_wrapper.operations")


class TreeNode(Generic[T]):
    """A model and those below it. Works at any depth: nothing here recurses.

    Attributes:
        item: The model.
        children: The nodes directly below, in the order of the parent pattern's sort key.
    """

    __slots__ = ("children", "item")
    __hash__ = None  # type: ignore[assignment]  # mutable

    def __init__(self, item: T, children: Iterable[TreeNode[T]] = ()) -> None:
        self.item = item
        self.children = list(children)

    def walk(self) -> Iterator[TreeNode[T]]:
        """Yield this node and all below it, each before its children, in order."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def levels(self) -> Iterator[list[TreeNode[T]]]:
        """Yield the nodes level by level: this one, its children, their children, ..."""
        level = [self]
        while level:
            yield level
            level = [child for node in level for child in node.children]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeNode):
            return NotImplemented
        return self._flat() == other._flat()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.item!r}, children: {len(self.children)})"

    def __reduce__(self) -> tuple[object, ...]:
        return _planted, (self._flat(),)

    def _flat(self) -> list[tuple[T, int]]:
        """Return every item with the number of its children, in the order of `walk`: that says the whole tree."""
        return [(node.item, len(node.children)) for node in self.walk()]


def _planted(flat: Sequence[tuple[T, int]]) -> TreeNode[T]:
    nodes: list[TreeNode[T]] = []
    for item, children in reversed(flat):  # those of a node come after it, so they are made already, the first on top
        node = TreeNode(item, nodes[len(nodes) - children :][::-1])
        del nodes[len(nodes) - children :]
        nodes.append(node)
    return nodes[0]


@dataclass(frozen=True, slots=True)
class TreeMetadata:
    """What a tree looks like.

    A key in here is the value of the table's key, or a pair of values if there is a sort key.

    Attributes:
        root_id: The root's key.
        node_count: How many nodes there are, the root included.
        depth: How many levels there are; a root alone is 1.
        complete: Whether the reading went to the end of every branch. False when it stopped at ``max_depth``: there may
            be more below the last level.
        cycles: The links that lead back to a node above, as (parent's key, child's key). They were cut.
        orphans: The keys of nodes whose parent does not exist. In one tree that can only be its root;
            ``find_orphans`` finds the others.
    """

    root_id: object
    node_count: int
    depth: int
    complete: bool
    cycles: tuple[tuple[object, object], ...] = ()
    orphans: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class TreeWithMetadata(Generic[N]):
    """A tree and what it looks like.

    Attributes:
        tree: The root node.
        metadata: Its size, depth, cycles, ...
    """

    tree: N
    metadata: TreeMetadata


# --- the algorithm --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grown(Generic[N]):
    """Everything found below some roots.

    Attributes:
        identity: What tells nodes apart.
        levels: The roots, their children, their grandchildren, ...; each node once.
        children: The children of a node, by its identity, in the order they were found; none for a leaf.
        cycles: The links that were cut: (parent, the node above it that was found as its child).
        complete: Whether every node was asked for its children.
    """

    identity: Callable[[N], Hashable]
    levels: list[list[N]]
    children: dict[Hashable, list[N]] = field(default_factory=dict)
    cycles: list[tuple[N, N]] = field(default_factory=list)
    complete: bool = True

    def nested(self, make: Callable[[N, list[M]], M]) -> M:
        """Return the (first) root as ``make`` makes it; it is called for every node, after those of its children."""
        made: dict[Hashable, M] = {}
        for level in reversed(self.levels):
            for node in level:
                key = self.identity(node)
                made[key] = make(node, [made.pop(self.identity(child)) for child in self.children.get(key, ())])
        return made[self.identity(self.levels[0][0])]

    def metadata(self, named: Callable[[N], object], orphans: Iterable[N] = ()) -> TreeMetadata:
        """Return the metadata of the tree.

        Args:
            named: From a node to its key, as the caller writes it.
            orphans: Nodes whose parent is known to be missing.
        """
        return TreeMetadata(
            root_id=named(self.levels[0][0]),
            node_count=sum(map(len, self.levels)),
            depth=len(self.levels),
            complete=self.complete,
            cycles=tuple((named(parent), named(child)) for parent, child in self.cycles),
            orphans=tuple(map(named, orphans)),
        )


def grow(
    roots: Sequence[N],
    children_of: Callable[[N], Flow[list[N]]],
    identity: Callable[[N], Hashable],
    *,
    max_depth: int | None,
    at_most: int,
) -> Flow[Grown[N]]:
    """Find everything below some roots, level by level; the children of one level's nodes are looked for together.

    A node found again is not followed again, so this ends whatever the data says: where it is one of the nodes above,
    the link is noted as a cycle; otherwise it was moved while the tree was read, and stays where it was found first.

    Args:
        roots: The first level, at least one node. A node may be anything: a wire item, a dict, a model.
        children_of: The flow that finds all children of a node, in order, every page of them.
        identity: What tells nodes apart; equal for a node found twice. For items of a table, their key.
        max_depth: How many levels to find, the roots' included; None for all.
        at_most: How many flows run at a time.
    """
    grown = Grown(identity, [list(roots)])
    above: dict[Hashable, Hashable] = {identity(root): None for root in roots}
    complete = True
    while level := grown.levels[-1]:
        if max_depth is not None and len(grown.levels) >= max_depth:
            complete = False
            break
        found = yield from together((children_of(node) for node in level), at_most=at_most)
        below: list[N] = []
        for parent, children in zip(level, found, strict=True):
            key = identity(parent)
            for child in children:
                child_key = identity(child)
                if child_key not in above:
                    above[child_key] = key
                    below.append(child)
                    grown.children.setdefault(key, []).append(child)
                elif child_key in _path_up(key, above):
                    grown.cycles.append((parent, child))
        if not below:
            break
        grown.levels.append(below)
    return Grown(identity, grown.levels, grown.children, grown.cycles, complete)


def _path_up(key: Hashable, above: dict[Hashable, Hashable]) -> Iterator[Hashable]:
    """Yield a node's identity and those of the nodes above it."""
    step: Hashable = key
    while step is not None:
        yield step
        step = above[step]


# --- trees of models ------------------------------------------------------------------------------------------------


def read(
    family: Family[T], root: object, *, max_depth: int, include_metadata: bool, concurrency: int
) -> Flow[TreeNode[T] | TreeWithMetadata[TreeNode[T]]]:
    """Read a tree of models, with what it looks like if asked; without, cycles that were cut are logged as warnings.

    Raises:
        ItemNotFoundError: There is no such root.
    """
    positive("max_depth", max_depth)
    positive("concurrency", concurrency)
    key = family.entity.key(*family.key_values(root))
    item = yield from family.stored(key)
    if item is None:
        raise (yield from family.missing(key))
    grown = yield from grow([item], family.children_of, family.identity, max_depth=max_depth, at_most=concurrency)
    tree = grown.nested(lambda item, children: TreeNode(family.entity.decode(item), children))
    yield from evolving.write_back(family.entity, [item for level in grown.levels for item in level])
    if include_metadata:
        orphans = yield from _orphaned(family, item)
        return TreeWithMetadata(tree, grown.metadata(family.named, orphans))
    if grown.cycles:  # and not which: keys are data, and have no place in a log
        _log.warning(
            "table %s: %d link(s) to a node above were cut from a tree; include_metadata=True tells which",
            family.entity.table_name,
            len(grown.cycles),
        )
    return tree


def _orphaned(family: Family[T], root: Item) -> Flow[list[Item]]:
    """Return the root if its parent does not exist."""
    parent_key = family.key_of_parent(root)
    if parent_key is None:
        return []
    parent = yield from family.stored(parent_key, placed_only=True)
    return [] if family.is_child(root, parent) else [root]
