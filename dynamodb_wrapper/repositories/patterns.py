"""Named access patterns: how a repository says which questions its table answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, Self, TypeVar, overload

from pydantic import BaseModel

from dynamodb_wrapper.codec import Derived, Key
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations import parents, selection
from dynamodb_wrapper.operations.declaration import Declaration
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index, Projection
from dynamodb_wrapper.repositories import query
from dynamodb_wrapper.transport import SyncDriver

T = TypeVar("T", bound=BaseModel)
B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)

Part = str | Derived | Key


class BindsPatterns(Protocol[B_co]):
    """A repository: it binds the access patterns declared on its class, to what has its own colour."""

    def _bound(self, index: Index, *, cached: bool = False) -> B_co:
        """Return the pattern, ready to be called."""
        ...

    def _declared_index(self, name: str | None) -> Index:
        """Return the table's key, or the declared index of a name."""
        ...


class AccessPattern:
    """A question the table answers by key, declared on a repository class and called on its instances.

    ``by_status = AccessPattern("by_status", partition="status", sort="placed_at")`` declares a global index of that
    name and lets callers write ``orders.by_status("open").between(monday, friday)``.

    Args:
        index: The index's name; None for a question to the table's own key.
        partition: The field of the partition key, or up to four fields (all are given, by equality).
        sort: The field of the sort key, or up to four (given left to right). A part may be a `Derived` attribute. Each
            half may be a `Key` instead: a template, whose fields are then given as if they were the parts.
        projection: What the index carries: ``"ALL"`` (default), ``"KEYS_ONLY"``, or the keys and these fields. That of
            a `SingleTable` is said there; here then, what this repository counts on.
        local: Whether it is a local index (same partition key as the table; exists from the table's creation on).
        cached: Whether its pages are read through the `Cache` of the repository; any write to the table takes them out.
    """

    def __init__(
        self,
        index: str | None,
        *,
        partition: Part | Sequence[Part],
        sort: Part | Sequence[Part] = (),
        projection: Projection | Sequence[str] = "ALL",
        local: bool = False,
        cached: bool = False,
    ) -> None:
        self.cached = cached
        self.partition, self.sort = _half(partition), _half(sort)
        parts = (*self.partition, *self.sort)
        self.derived = tuple(part for part in parts if isinstance(part, Derived))
        self.keys = tuple(part for part in parts if isinstance(part, Key))
        self.index = Index(
            index,
            tuple(map(_name, self.partition)),
            tuple(map(_name, self.sort)),
            projection if projection == "ALL" or projection == "KEYS_ONLY" else tuple(projection),
            local,
        )

    @overload
    def __get__(self, repository: None, owner: type) -> Self: ...

    @overload
    def __get__(self, repository: BindsPatterns[B], owner: type) -> B: ...

    def __get__(self, repository: BindsPatterns[B] | None, owner: type) -> Self | B:
        """Bind the pattern to a repository."""
        if repository is None:
            return self
        index = self.index if not self.keys else repository._declared_index(self.index.name)
        return repository._bound(index, cached=self.cached)

    def __repr__(self) -> str:
        return f"AccessPattern({self.index!r})"


class ParentPattern(AccessPattern):
    """An access pattern that finds the children of an item: what makes the items of a table trees.

    ``replies = ParentPattern("by_parent", parent="reply_to", sort="sent_at")`` declares a global index, and that
    ``reply_to`` holds the id of the item above. At most one on a repository. Called like any pattern, it queries the
    children of one node; ``read_tree``, ``move_subtree``, ``delete_subtree`` and ``find_orphans`` follow it.

    The index carries whole items, so that a level of a tree takes one query per parent and no further reads.

    Args:
        index: The index's name. Its partition key is ``within`` and ``parent``.
        parent: The field that holds the parent's id; a root has none.
        id: The field by which parents are named; the field of the table's key by default. It must be given where the
            table has a sort key, or a key of several fields.
        within: The fields that a child shares with its parent: ``"chat_id"``, where a message replies to one of the
            same chat. The table's key is made of these and ``id``.
        partition: A `Key` made of ``within`` and ``parent``, instead of the fields: always so in a `SingleTable`.
        sort: The field, or up to four, by which children are ordered. A part may be a `Derived` attribute, and the half
            a `Key`.
        cached: Whether pages of a query for children are read through the `Cache` of the repository; trees never are.
    """

    def __init__(
        self,
        index: str,
        *,
        parent: str,
        id: str | None = None,  # the field's own word, and keyword-only
        within: str | Sequence[str] = (),
        partition: Key | None = None,
        sort: Part | Sequence[Part] = (),
        cached: bool = False,
    ) -> None:
        self.parent = parent
        self.id = id
        self.within = (within,) if isinstance(within, str) else tuple(within)
        super().__init__(index, partition=partition or (*self.within, parent), sort=sort, cached=cached)

    def link(self, declaration: Declaration) -> parents.ParentLink:
        """Return what the pattern says of a table, checked.

        Raises:
            DeclarationError: It cannot work there.
        """
        if self.id is None and (declaration.sort_key is not None or len(declaration.key_fields) != 1):
            raise DeclarationError(
                f"{declaration.owner}: the parent pattern on {self.index.name!r} needs id=: the field by which parents "
                "are named, because the table has a sort key, or a key of several fields"
            )
        index = declaration.index(str(self.index.name))
        link = parents.ParentLink(index, self.parent, self.id or declaration.key_fields[0], self.within)
        link.check(declaration)
        return link


class BoundAccessPattern(Generic[T]):
    """An access pattern of one repository; call it with the partition key's value(s)."""

    __slots__ = ("_cached", "_driver", "_entity", "_index")

    def __init__(self, driver: SyncDriver, entity: Entity[T], index: Index, *, cached: bool = False) -> None:
        self._cached = cached
        self._driver = driver
        self._entity = entity
        self._index = index

    def __call__(self, *partition: object) -> query.Query[T]:
        """Return the query for one partition; nothing is read before it is iterated.

        Raises:
            ValidationError: A value is missing, or not what the key holds.
        """
        chosen = selection.Selection(self._entity, self._index, self._entity.decode, is_cached=self._cached)
        return query.Query(self._driver, chosen.from_key(*partition))

    def shown_in(self, timezone: str | None) -> BoundAccessPattern[T]:
        """Return the pattern with datetimes of its results shown in a zone (None: the configured one)."""
        return BoundAccessPattern(self._driver, self._entity.in_zones(shown=timezone), self._index, cached=self._cached)

    def scan(self) -> query.Query[T]:
        """Return a query over every item in the index."""
        return query.Query(self._driver, selection.Selection(self._entity, self._index, self._entity.decode))


def _half(given: Part | Sequence[Part]) -> tuple[Part, ...]:
    parts = (given,) if isinstance(given, str | Derived | Key) else tuple(given)
    if len(parts) > 1 and any(isinstance(part, Key) for part in parts):
        raise DeclarationError(f"half of a key is one template, or parts that are none, not {parts!r}")
    return parts


def _name(part: Part) -> str:
    """Return what a part is stored as; of a template, which is told its attribute later, the text."""
    return (
        part if isinstance(part, str) else part.attribute or part.template if isinstance(part, Key) else part.attribute
    )
