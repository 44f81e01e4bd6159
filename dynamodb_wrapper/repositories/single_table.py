"""One table that several repositories share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any

from pydantic import BaseModel, Field, create_model

from dynamodb_wrapper.codec import Template, TimeRules
from dynamodb_wrapper.codec.templates import DELIMITER
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations.declaration import Declaration
from dynamodb_wrapper.operations.indexes import Index, Projection
from dynamodb_wrapper.operations.table_options import TableOptions


@dataclass(frozen=True, eq=False)
class SingleTable:
    """A table in which several repositories keep their items: how its keys and indexes are called.

    ::

        shop = SingleTable("shop", indexes={"gsi1": ("gsi1pk", "gsi1sk")})

        class Orders(BaseDynamoRepository[Order]):
            single_table = shop
            primary_key = Key("CUSTOMER#{customer_id}")
            sort_key = Key("ORDER#{order_id}")
            by_status = AccessPattern("gsi1", partition=Key("ORDERS#{status}"), sort=Key("{placed_at}#{order_id}"))

    What an item is, its *kind*, is written into an attribute beside its fields: the name of its model, or what the
    repository declares as ``kind``. To a repository, items of other kinds are not there, and it does not write over
    them. Two kinds whose keys could be equal are refused when the second class is made.

    Args:
        table_name: The base name, to which the configuration adds prefix and environment.
        partition_key: The attribute of the partition key.
        sort_key: The attribute of the sort key; None for a table without one.
        kind: The attribute that says what an item is.
        indexes: Global indexes by name, each with its partition attribute and, if it has one, its sort attribute. A
            repository uses those it declares access patterns on.
        local_indexes: Local indexes by name, each with its sort attribute; they exist from the table's creation on, and
            the items under one partition key take at most 10 GB then.
        projections: What indexes carry, by name: ``"ALL"`` (the default), ``"KEYS_ONLY"``, or the keys and these
            attributes, up to 19. The kind comes along always.
        ttl: The attribute by which DynamoDB expires items (a repository's ``ttl_attribute`` is stored there).
        table_options: Billing, stream and deletion protection for `create_table`.

    Raises:
        DeclarationError: It cannot work.
    """

    table_name: str
    partition_key: str = field(default="pk", kw_only=True)
    sort_key: str | None = field(default="sk", kw_only=True)
    kind: str = field(default="_kind", kw_only=True)
    indexes: Mapping[str, tuple[str] | tuple[str, str]] = field(default_factory=dict, kw_only=True)
    local_indexes: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    projections: Mapping[str, Projection | Sequence[str]] = field(default_factory=dict, kw_only=True)
    ttl: str | None = field(default=None, kw_only=True)
    table_options: TableOptions = field(default=TableOptions(), kw_only=True)
    _declared: dict[str, Declaration] = field(default_factory=dict, init=False, repr=False)
    _owners: dict[str, type] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, attributes in self.indexes.items():
            given: object = attributes
            if not isinstance(given, tuple) or not 1 <= len(given) <= 2:
                raise DeclarationError(
                    f"{self!r}: index {name!r} has a tuple of a partition attribute and, maybe, a sort attribute, not "
                    f"{given!r}"
                )
        keys: list[object] = [name for key in self._keys for name in key]
        if wrong := [name for name in (*keys, self.kind) if not isinstance(name, str) or not name]:
            raise DeclarationError(f"{self!r}: an attribute is named by a text, not {wrong[0]!r}")
        if self.kind in (*keys, self.ttl) or self.ttl in keys:
            raise DeclarationError(
                f"{self!r}: kind ({self.kind!r}) and ttl ({self.ttl!r}) have attributes of their own"
            )
        if both := sorted(self.indexes.keys() & self.local_indexes.keys()):
            raise DeclarationError(f"{self!r}: {', '.join(both)} cannot be a global and a local index")
        if not isinstance(self.projections, Mapping):
            raise DeclarationError(f"{self!r}: projections is a mapping by index, not {self.projections!r:.80}")
        for name, carried in self.projections.items():
            self._check_projection(name, carried, {*self.key_of(None), *self.key_of(name)})
        _ = self.declaration

    def _check_projection(self, name: str, carried: object, keys: set[str]) -> None:
        if carried in ("ALL", "KEYS_ONLY"):
            return
        if isinstance(carried, str | bytes) or not isinstance(carried, Sequence) or not carried:
            raise DeclarationError(
                f'{self!r}: index {name!r} carries "ALL", "KEYS_ONLY" or a tuple of attributes, not {carried!r:.80}'
            )
        for attribute in carried:
            if not isinstance(attribute, str) or not attribute:
                raise DeclarationError(f"{self!r}: an attribute is named by a text, not {attribute!r:.80}")
            if attribute in keys or attribute == self.kind:
                raise DeclarationError(f"{self!r}: index {name!r} carries {attribute!r} anyway: leave it out")

    def carried_by(self, index: str) -> frozenset[str] | None:
        """Return the attributes that an index carries beside keys and kind; None for all.

        Raises:
            DeclarationError: There is no such index.
        """
        self.key_of(index)
        carried = self.projections.get(index, "ALL")
        return None if carried == "ALL" else frozenset(() if carried == "KEYS_ONLY" else carried)

    @property
    def declarations(self) -> Mapping[str, Declaration]:
        """What the repositories of the table declare, by kind, as far as their classes are made."""
        return dict(self._declared)

    @property
    def owners(self) -> Mapping[str, type]:
        """The repository classes, by kind; where several keep one kind, the last that was made."""
        return dict(self._owners)

    @property
    def _keys(self) -> list[tuple[str, ...]]:
        """The attributes of all keys: the table's first."""
        return [self.key_of(None), *self.indexes.values(), tuple(self.local_indexes.values())]

    @cached_property
    def declaration(self) -> Declaration:
        """The table itself: its keys, its indexes and its expiry, over items of all kinds."""
        parts = dict.fromkeys(name for key in self._keys for name in key)
        names = {attribute: f"part_{number}" for number, attribute in enumerate(parts)}
        fields: dict[str, Any] = {name: (str, Field(alias=attribute)) for attribute, name in names.items()}
        if self.ttl is not None:
            fields["expiry"] = (int | None, Field(default=None, alias=self.ttl))
            names[self.ttl] = "expiry"
        carried = [found for index in self.projections if (found := self.carried_by(index)) is not None]
        for attribute in (self.kind, *sorted({name for found in carried for name in found})) if carried else ():
            if attribute not in names:
                names[attribute] = f"carried_{len(names)}"
                fields[names[attribute]] = (Any, Field(default=None, alias=attribute))
        item: type[BaseModel] = create_model("Item", **fields)
        return Declaration(
            owner=f"SingleTable({self.table_name!r})",
            model_class=item,
            partition_key=names[self.partition_key],
            sort_key=names[self.sort_key] if self.sort_key is not None else None,
            indexes=(
                *(
                    Index(name, (names[key[0]],), tuple(names[part] for part in key[1:]), self._projection(name, names))
                    for name, key in self.indexes.items()
                ),
                *(
                    Index(name, (names[self.partition_key],), (names[sort],), self._projection(name, names), local=True)
                    for name, sort in self.local_indexes.items()
                ),
            ),
            ttl="expiry" if self.ttl is not None else None,
            options=self.table_options,
        )

    def _projection(self, index: str, names: Mapping[str, str]) -> Projection:
        carried = self.projections.get(index, "ALL")
        if carried == "ALL":
            return "ALL"
        return tuple(names[attribute] for attribute in (self.kind, *(() if carried == "KEYS_ONLY" else carried)))

    def key_of(self, index: str | None) -> tuple[str, ...]:
        """Return the attributes of an index's key, or of the table's own.

        Raises:
            DeclarationError: There is no such index; names those there are.
        """
        if index is None:
            return (self.partition_key, self.sort_key) if self.sort_key is not None else (self.partition_key,)
        if index in self.local_indexes:
            return self.partition_key, self.local_indexes[index]
        if index in self.indexes:
            return self.indexes[index]
        known = ", ".join((*self.indexes, *self.local_indexes)) or "none"
        raise DeclarationError(f"{self!r} has no index {index!r}; its indexes are: {known}")

    def add(self, declaration: Declaration, owner: type) -> None:
        """Note what a repository class declares.

        Raises:
            DeclarationError: It does not fit into the table, or an item of another kind could have the same key.
        """
        assert declaration.kind is not None
        kind = declaration.kind.value
        if declaration.ttl is not None:
            stored = declaration.codec_for(declaration.model_class, TimeRules()).attribute(declaration.ttl)
            if stored != self.ttl:
                raise DeclarationError(
                    f"{declaration.owner}: ttl_attribute {declaration.ttl!r} is stored in {stored!r}, and the table "
                    f"expires items by {self.ttl!r}"
                )
        for other_kind, other in self._declared.items():
            if other_kind != kind and all(map(_may_be_equal, _key(declaration), _key(other))):
                raise DeclarationError(
                    f"{declaration.owner}: a {kind} and a {other_kind} ({other.owner}) could have the same key, "
                    f"{_described(declaration)} and {_described(other)}; give one of them a text that the other has not"
                )
            if other_kind == kind and _key(other) != _key(declaration):
                raise DeclarationError(
                    f"{declaration.owner}: {other.owner} declares another key for the kind {kind!r}: "
                    f"{_described(other)}, not {_described(declaration)}"
                )
        self._declared[kind] = declaration
        self._owners[kind] = owner

    def __repr__(self) -> str:
        return f"SingleTable({self.table_name!r})"


def _key(declaration: Declaration) -> list[Template]:
    return [declaration.templates[name] for name in declaration.table_key.fields]


def _described(declaration: Declaration) -> str:
    return ", ".join(repr(template.source) for template in _key(declaration))


def _may_be_equal(one: Template, other: Template) -> bool:
    """Whether two templates could make the same text: no value has a delimiter, so they do so piece by piece."""
    return all(
        left is not None and right is not None and (left == right or _FIELD in (left, right))
        for left, right in zip_longest(_pieces(one), _pieces(other))
    )


_FIELD = "{}"


def _pieces(template: Template) -> Iterable[str]:
    return _FIELD.join(template.literals).split(DELIMITER)
