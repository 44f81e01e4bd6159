"""Items of several kinds that one query reads, each kind in a list of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, read_any
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations import evolving, queries
from dynamodb_wrapper.operations.declaration import classes_of
from dynamodb_wrapper.operations.effects import Flow
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.selection import Selection

C = TypeVar("C", bound="Collection")

_OURS = frozenset(("unknown", "cursor", "_lists"))


class Collection:
    """What one query over a shared table found, by kind; subclass it with a list for each model you want.

    ::

        class CustomerItems(Collection):
            customers: list[Customer]
            orders: list[Order]

    Attributes:
        unknown: Items of other kinds, as plain Python values.
        cursor: Of a page: where the next one begins; None when there is nothing more.
    """

    unknown: list[dict[str, Any]]
    cursor: str | None
    _lists: ClassVar[Mapping[str, tuple[type, ...]]]

    def __init__(self) -> None:
        """Begin with empty lists."""
        for name in lists_of(type(self)):
            setattr(self, name, [])
        self.unknown = []
        self.cursor = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in (*lists_of(type(self)), "unknown"))
        return f"{type(self).__name__}({counts})"


def lists_of(collection: type[Collection]) -> Mapping[str, tuple[type, ...]]:
    """Return the lists of a collection, each with the models that it takes.

    Raises:
        DeclarationError: One is no list of models.
    """
    known: Mapping[str, tuple[type, ...]] | None = vars(collection).get("_lists")
    if known is not None:
        return known
    try:
        hints = get_type_hints(collection)
    except NameError as error:
        raise DeclarationError(f"{collection.__name__}: {error}; its models must be names of its module") from error
    lists: dict[str, tuple[type, ...]] = {}
    for name, hint in hints.items():
        if name in _OURS:
            continue
        models = tuple(classes_of(get_args(hint)[0])) if get_origin(hint) is list else ()
        if not models or not all(issubclass(model, BaseModel) for model in models):
            raise DeclarationError(f"{collection.__name__}.{name} is a list of models, as in list[Order], not {hint!r}")
        lists[name] = models
    collection._lists = lists
    return lists


@dataclass(frozen=True, slots=True)
class Gathering(Generic[C]):
    """How the items of one query become a collection.

    Attributes:
        collection: Its class.
        kind: The attribute that says what an item is.
        known: By kind, the list that takes its items and the entity that reads them.
    """

    collection: type[C]
    kind: str
    known: Mapping[str, tuple[str, Entity[Any]]]

    @classmethod
    def of(cls, collection: type[C], kind: str, entities: Iterable[Entity[Any]]) -> Gathering[C]:
        """Return how a collection gathers items of a table.

        Args:
            collection: The class.
            kind: The attribute that says what an item is.
            entities: All that are in the table.

        Raises:
            DeclarationError: The collection has a model that is none of the table's.
        """
        every = list(entities)
        known: dict[str, tuple[str, Entity[Any]]] = {}
        for name, models in lists_of(collection).items():
            for model in models:
                found = [entity for entity in every if model in entity.codec.classes]
                if not found:
                    raise DeclarationError(
                        f"{collection.__name__}.{name}: no repository of the table keeps a {model.__name__}; import "
                        "the module that declares it"
                    )
                known |= {entity.declaration.kind.value: (name, entity) for entity in found if entity.declaration.kind}
        return cls(collection, kind, known)

    def all(self, selection: Selection[Item]) -> Flow[C]:
        """Read everything."""
        return (yield from self._gathered((yield from queries.collected(selection)), None))

    def page(self, selection: Selection[Item], size: int, cursor: str | None) -> Flow[C]:
        """Read a page: so many items of all kinds together."""
        page = yield from queries.page_at(selection, size, cursor)
        return (yield from self._gathered(page.items, page.cursor))

    def _gathered(self, items: Iterable[Item], cursor: str | None) -> Flow[C]:
        """Return a collection of items; older ones are written back, where their repository asks for that."""
        make: Callable[[], C] = self.collection
        gathered = make()
        gathered.cursor = cursor
        older: dict[str, list[Item]] = {}
        for item in items:
            kind = item.get(self.kind, {}).get("S", "")
            if kind not in self.known:
                gathered.unknown.append({name: read_any(wire) for name, wire in item.items()})
                continue
            name, entity = self.known[kind]
            getattr(gathered, name).append(entity.decode(item))
            if entity.writes_back:
                older.setdefault(kind, []).append(item)
        for kind, found in older.items():
            yield from evolving.write_back(self.known[kind][1], found)
        return gathered
