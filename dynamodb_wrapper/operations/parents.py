"""How the items of a table name their parents, and how parents and children are found from that."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, TimeRules
from dynamodb_wrapper.exceptions import DeclarationError, ItemNotFoundError, ValidationError
from dynamodb_wrapper.operations import queries
from dynamodb_wrapper.operations.declaration import Declaration
from dynamodb_wrapper.operations.effects import Flow
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.items import Projection
from dynamodb_wrapper.operations.requests import Get
from dynamodb_wrapper.operations.selection import Asked, Selection
from dynamodb_wrapper.operations.writes import KeyValues

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ParentLink:
    """The fields by which items name their parents, and the index that finds the children.

    Attributes:
        index: Its partition key is ``within`` and ``parent``.
        parent: The field that holds the parent's id; None in a root.
        id: The field by which parents are named.
        within: The fields that a child shares with its parent.
    """

    index: Index
    parent: str
    id: str
    within: tuple[str, ...] = ()

    def check(self, declaration: Declaration) -> None:
        """Refuse a link that cannot work in a table.

        Raises:
            DeclarationError: A parent could not be found from its child, or not moved; says why.
        """
        if declaration.templates:
            raise self._wrong(declaration, "trees are kept in tables whose keys are fields, and have no key templates")
        codec = declaration.codec_for(declaration.model_class, TimeRules())
        key = declaration.table_key.fields
        for name in (self.id, self.parent, *self.within):
            if name not in declaration.model_class.model_fields:
                raise self._wrong(declaration, f"{name!r} is no field of {declaration.model_class.__name__}")
        if self.parent in (self.id, *key, *self.within):
            raise self._wrong(
                declaration, f"parent {self.parent!r} must be a field of its own: not the id, in the key, or in within"
            )
        if self.id in self.within or self.id not in key or not set(key) <= {self.id, *self.within}:
            raise self._wrong(
                declaration,
                f"the table's key {key} must be the id {self.id!r} and fields of within {self.within}: "
                "the key of a parent is told from its child",
            )
        tags = [codec.target((name,)).shape.tags - {"NULL"} for name in (self.id, self.parent)]
        if all(tags) and tags[0] != tags[1]:
            raise self._wrong(
                declaration,
                f"parent {self.parent!r} is stored as {'/'.join(sorted(tags[1]))}, id {self.id!r} as "
                f"{'/'.join(sorted(tags[0]))}; a parent is named by its id, so they are stored the same way",
            )

    def _wrong(self, declaration: Declaration, reason: str) -> DeclarationError:
        return DeclarationError(f"{declaration.owner}: parent pattern on index {self.index.name!r}: {reason}")


@dataclass(frozen=True, slots=True)
class Family(Generic[T]):
    """A model in its table, and how its items name their parents.

    Attributes:
        entity: The model in its table.
        link: The declared parent pattern.
    """

    entity: Entity[T]
    link: ParentLink

    def attribute(self, name: str) -> str:
        """Return the stored name of a field."""
        return self.entity.codec.attribute(name)

    @property
    def lineage(self) -> tuple[str, ...]:
        """The stored names of what places an item in its tree: its key, its parent and what it shares with it."""
        names = (self.link.parent, *self.link.within, *self.entity.declaration.table_key.fields)
        return tuple(dict.fromkeys(map(self.attribute, names)))

    def key_values(self, node: object) -> KeyValues:
        """Return the key that a caller means: a model's, a pair of values, or one value if there is no sort key.

        Raises:
            ValidationError: It is none of these.
        """
        declaration = self.entity.declaration
        if isinstance(node, BaseModel):
            self.entity.check_class(node)
            sort_key = declaration.sort_key
            return getattr(node, declaration.partition_key), None if sort_key is None else getattr(node, sort_key)
        if declaration.sort_key is None:
            return node, None
        if not isinstance(node, tuple) or len(node) != 2:
            raise ValidationError(
                f"a node of table {self.entity.table_name!r} is named by its model, or by a pair of its "
                f"{declaration.partition_key!r} and {declaration.sort_key!r}, not by {node!r:.80}"
            )
        return node

    def named(self, key: Item) -> object:
        """Return a key (or the key of an item) as the caller writes it."""
        values = tuple(self.entity.readable_key(self.entity.key_of(key)).values())
        return values[0] if len(values) == 1 else values

    def identity(self, item: Item) -> Hashable:
        """Return what tells items apart: their wire key."""
        return tuple(tuple(item[name].items()) for name in self.entity.table_key_attributes)

    def key_of_parent(self, item: Item) -> Item | None:
        """Return the wire key of an item's parent; None when it names none."""
        parent = item.get(self.attribute(self.link.parent))
        id_attribute = self.attribute(self.link.id)
        if parent is None:
            return None
        names = self.entity.table_key_attributes
        return {name: parent if name == id_attribute else item[name] for name in names}

    def values_of(self, key: Item) -> KeyValues:
        """Return a wire key as key values."""
        values = self.entity.readable_key(key)
        partition, *sort = (values[name] for name in self.entity.table_key_attributes)
        return partition, sort[0] if sort else None

    def scope(self, item: Item) -> tuple[object, ...]:
        """Return what an item shares with its parent and its children."""
        return tuple(item.get(self.attribute(name)) for name in self.link.within)

    def placement(self, item: Item) -> tuple[object, ...]:
        """Return what says under which parent an item is."""
        return (item.get(self.attribute(self.link.parent)), *self.scope(item))

    def is_child(self, item: Item, parent: Item | None) -> bool:
        """Whether an item is a child of another one, as the two are given; False when there is no other one."""
        return parent is not None and self.placement(item) == (
            parent[self.attribute(self.link.id)],
            *self.scope(parent),
        )

    def children(self, parent: Item) -> Selection[Item] | None:
        """Return the selection of an item's children, as wire items; None when it lacks what they would share."""
        sources = [self.attribute(name) for name in (*self.link.within, self.link.id)]
        if any(source not in parent for source in sources):
            return None
        names = {f"#p{number}": self.attribute(name) for number, name in enumerate(self.link.index.partition)}
        values = {f":p{number}": parent[source] for number, source in enumerate(sources)}
        asked = Asked(
            key_condition=" AND ".join(f"#p{number} = :p{number}" for number in range(len(sources))),
            names=names,
            values=values,
        )
        return Selection(self.entity, self.link.index, dict, key_conditions=(), asked=asked)

    def children_of(self, parent: Item, *, placed_only: bool = False) -> Flow[list[Item]]:
        """Read all children of an item; with ``placed_only``, just what places them in the tree."""
        selection = self.children(parent)
        if selection is None:
            return []
        if placed_only:
            selection = self.placed(selection)
        return (yield from queries.collected(selection))

    def placed(self, selection: Selection[Item]) -> Selection[Item]:
        """Return a selection that reads only what places items in the tree."""
        return Selection(
            self.entity,
            selection.index,
            dict,
            key_conditions=selection.key_conditions,
            projection=Projection(self.entity, self.lineage, has_whole=False),
            asked=selection.asked,
        )

    def stored(self, key: Item, *, placed_only: bool = False) -> Flow[Item | None]:
        """Read an item, strongly consistent; with ``placed_only``, just what places it in the tree."""
        names = [(name,) for name in self.lineage] if placed_only else None
        entity = self.entity
        request = Get(entity.table_name, entity.codec, entity.readable_key(key), key, True, names)
        return (yield from request.send()).get("Item")

    def missing(self, key: Item) -> Flow[ItemNotFoundError]:
        """Return the error of a node that does not exist; it says how many items name it as their parent."""
        error = ItemNotFoundError(self.entity.table_name, self.entity.readable_key(key))
        selection = self.children(key)
        if selection is not None:
            orphaned = yield from queries.count(selection)
            error.context["orphaned_children"] = orphaned
            if orphaned:
                error.message += f"; {orphaned} item(s) name it as their parent: find_orphans() finds such items"
        return error
