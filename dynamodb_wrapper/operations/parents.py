"""How the items of a table name their parents, and how parents and children are found from that."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, PartialItem, TimeRules
from dynamodb_wrapper.exceptions import DeclarationError, ItemNotFoundError, StoredItemError, ValidationError
from dynamodb_wrapper.expressions import Condition, Path, Stored
from dynamodb_wrapper.operations import queries
from dynamodb_wrapper.operations.declaration import Declaration
from dynamodb_wrapper.operations.effects import Flow
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.items import Projection
from dynamodb_wrapper.operations.requests import Get
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.sort_conditions import Partition
from dynamodb_wrapper.operations.template_entity import partition_texts
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
            DeclarationError: A parent could not be found from its child, or children from their parent, or an item not
                moved; says why.
        """
        key = declaration.key_fields
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
        codec = declaration.codec_for(declaration.model_class, TimeRules())
        tags = [codec.target((name,)).shape.tags - {"NULL"} for name in (self.id, self.parent)]
        if all(tags) and tags[0] != tags[1]:
            raise self._wrong(
                declaration,
                f"parent {self.parent!r} is stored as {'/'.join(sorted(tags[1]))}, id {self.id!r} as "
                f"{'/'.join(sorted(tags[0]))}; a parent is named by its id, so they are stored the same way",
            )
        self._check_index(declaration)
        self._check_templates(declaration)

    def _check_index(self, declaration: Declaration) -> None:
        """Refuse an index in which the children of one parent could be missing, or among others."""
        templates, named = declaration.templates, {*self.within, self.parent}
        asked = [name for part in self.index.partition for name in declaration.asked_of(part)]
        if set(asked) != named:
            raise self._wrong(
                declaration,
                f"its partition key is made of {', '.join(asked) or 'nothing'}, and the children of one parent are "
                f"found by {', '.join((*self.within, self.parent))}: by all of these, and by nothing else",
            )
        if self.index.projection != "ALL":
            raise self._wrong(declaration, "it must carry whole items: a tree is read from it, and from nowhere else")
        made = [templates[name] for name in self.index.fields if name in templates]
        if any(template.when is not None for template in made):
            raise self._wrong(declaration, "it has when=, and a child that is not in the index would never be found")
        told = {name for part in self.index.partition for name in declaration.told_of(part)}
        if lost := sorted(named - told):
            raise self._wrong(
                declaration,
                f"its partition key does not tell {', '.join(lost)} exactly (it is cut, or written in one case), so it "
                "would have the children of several parents",
            )

    def _check_templates(self, declaration: Declaration) -> None:
        """Refuse key templates of the table that do not tell nodes apart as their fields do."""
        told = {name for part in declaration.table_key.fields for name in declaration.told_of(part)}
        if lost := sorted(set(declaration.key_fields) - told):
            raise self._wrong(
                declaration,
                f"the table's key does not tell {', '.join(lost)} exactly (it is cut, or written in one case), so what "
                "names a parent would not be what tells items apart",
            )
        keys = (declaration.table_key.fields, self.index.partition)
        made = ([declaration.templates[name] for name in key if name in declaration.templates] for key in keys)
        of_table, of_index = ({part.name: part for template in key for part in template.parts} for key in made)
        written, named = of_table.get(self.id), of_index.get(self.parent)
        digits = written.width if written is not None and written.form == "number" else 0
        if digits and (named is None or named.width != digits):
            raise self._wrong(
                declaration,
                f"{self.id!r} has {digits} digits in the table's key, so {self.parent!r} must have as many in the key "
                "of the index, a Key: else an item could name a parent that cannot be",
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
        declaration = self.entity.declaration
        names = (self.link.parent, *self.link.within, *declaration.key_fields, *declaration.table_key.fields)
        return tuple(dict.fromkeys(map(self.attribute, names)))

    def key_values(self, node: object) -> KeyValues:
        """Return the key that a caller means: a model's, or one in any form that a key may be given in.

        Raises:
            ValidationError: It is none of these.
        """
        if isinstance(node, BaseModel):
            self.entity.check_class(node)
            node = {name: getattr(node, name) for name in self.entity.declaration.key_fields}
        return self.entity.key_values(node)

    def named(self, key: Item) -> object:
        """Return a key (or the key of an item) as the caller writes it; as it is stored where no caller could."""
        key = self.entity.key_of(key)
        known, groups = self.entity.known_by_key(key), self.entity.declaration.key_groups
        if any(name not in known for names in groups for name in names):
            return tuple(self.entity.readable_key(key).values())
        halves = [tuple(known[name] for name in names) for names in groups]
        first, second = (half[0] if len(half) == 1 else half or None for half in halves)
        return (first, second) if groups[1] else first

    def identity(self, item: Item) -> Hashable:
        """Return what tells items apart: their wire key."""
        return tuple(tuple(item[name].items()) for name in self.entity.table_key_attributes)

    def key_of_parent(self, item: Item) -> Item | None:
        """Return the wire key of an item's parent; None when it names none.

        Raises:
            StoredItemError: It lacks a part of the key that it shares with its parent, or names what is no id.
        """
        entity, item = self.entity, self.told(item)
        parent = item.get(self.attribute(self.link.parent))
        if parent is None or "NULL" in parent:
            return None
        shared = [name for name in entity.declaration.key_fields if name != self.link.id]
        wires = {self.attribute(name): item[self.attribute(name)] for name in shared if self.attribute(name) in item}
        try:
            return self._made_key({**wires, self.attribute(self.link.id): parent})
        except ValidationError as error:
            raise StoredItemError(
                f"an item names a parent that cannot be: {error.message}",
                error.errors,
                error,
                context=entity.located(item),
            ) from error

    def _made_key(self, wires: Item) -> Item:
        # Not validated: whatever a child calls its parent by, it is to be looked for.
        return self.entity.key(*self.entity.key_values(self.entity.codec.decode_partial(wires, ())))

    def values_of(self, key: Item) -> KeyValues:
        """Return a wire key as key values.

        Raises:
            StoredItemError: It is not made as this repository makes keys.
        """
        known, names = self.entity.known_by_key(key), self.entity.declaration.key_fields
        if missing := [name for name in names if name not in known]:
            raise StoredItemError(
                f"the key of an item does not tell its {', '.join(missing)}: it is not made as this repository does it",
                context=self.entity.located(key),
            )
        return self.entity.key_values(known)

    def told(self, item: Item) -> Item:
        """Return an item, or the key of one, in the current schema version, with what its keys tell of its lineage."""
        entity = self.entity
        if entity.has_older_forms and len(item) > len(entity.table_key_attributes):
            item = dict(entity.current_item(item))
        sources = (self.attribute(name) for name in (self.link.id, *self.link.within))
        return item if all(source in item for source in sources) else entity.with_told(item)

    def lineage_of(self, item: Item) -> PartialItem:
        """Return what places an item in its tree, typed as the model's fields."""
        known = self.told(item)
        return self.entity.codec.decode_partial({name: known[name] for name in self.lineage if name in known})

    def scope(self, item: Item) -> tuple[object, ...]:
        """Return what an item shares with its parent and its children."""
        known = self.told(item)
        return tuple(known.get(self.attribute(name)) for name in self.link.within)

    def placement(self, item: Item) -> tuple[object, ...]:
        """Return what says under which parent an item is."""
        return (self.told(item).get(self.attribute(self.link.parent)), *self.scope(item))

    def is_child(self, item: Item, parent: Item | None) -> bool:
        """Whether an item is a child of another one, as the two are given; False when there is no other one."""
        if parent is None:
            return False
        id_ = self.told(parent).get(self.attribute(self.link.id))
        return id_ is not None and self.placement(item) == (id_, *self.scope(parent))

    def children(self, parent: Item) -> Selection[Item] | None:
        """Return the selection of the children of an item, as wire items; None when it lacks what they would share."""
        link, known = self.link, self.told(parent)
        sources = {link.parent: self.attribute(link.id)} | {name: self.attribute(name) for name in link.within}
        if any(source not in known for source in sources.values()):
            return None
        conditions: list[Condition] = []
        shards: tuple[Condition, ...] = ()
        for name in link.index.partition:
            template = self.entity.declaration.templates.get(name)
            if template is None:
                conditions.append(Stored(self.attribute(name), known[sources[name]]))
                continue
            texts = partition_texts(self.entity, template, [known[sources[field]] for field in template.asked])
            of_shards = tuple(Stored(name, {"S": text}) for text in texts)
            conditions.append(of_shards[0])
            shards = of_shards if len(texts) > 1 else ()
        chosen = Partition(tuple(conditions), None, shards)
        return Selection(self.entity, link.index, dict, key_conditions=(*conditions, *self._ours_only), chosen=chosen)

    @property
    def _ours_only(self) -> Iterable[Condition]:
        """The condition that keeps out items of other models, as far as the index's sort key tells them apart."""
        for name in self.link.index.sort:
            template = self.entity.declaration.templates.get(name)
            if template is not None and template.literals[0]:
                yield Path(name).begins_with(template.literals[0])

    def children_of(self, parent: Item, *, placed_only: bool = False) -> Flow[list[Item]]:
        """Read all children of an item; with ``placed_only``, just what places them in the tree."""
        selection = self.children(parent)
        if selection is None:
            return []
        found = yield from queries.collected(self.placed(selection) if placed_only else selection)
        if not self.entity.declaration.templates:
            return found
        # A program that did not know of the index may have changed the fields, and not the key that is made of them.
        return [item for item in found if self.is_child(item, parent)]

    def placed(self, selection: Selection[Item]) -> Selection[Item]:
        """Return a selection that reads only what places items in the tree; of older schema versions, that is all."""
        if self.entity.has_older_forms:
            return selection
        return replace(selection, projection=Projection(self.entity, self.lineage, has_whole=False))

    def stored(self, key: Item, *, placed_only: bool = False) -> Flow[Item | None]:
        """Read an item, strongly consistent; with ``placed_only``, just what places it in the tree.

        What is another model's is not there.
        """
        entity = self.entity
        is_partial = placed_only and not entity.has_older_forms
        names = [*((name,) for name in self.lineage), *entity.told_by] if is_partial else None
        request = Get(entity.table_name, entity.codec, entity.readable_key(key), key, True, names)
        item: Item | None = (yield from request.send()).get("Item")
        return None if item is None or not entity.is_ours(item) else item

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
