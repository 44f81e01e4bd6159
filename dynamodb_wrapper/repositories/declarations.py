"""Reads a repository class: its attributes or properties become a `Declaration`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from dynamodb_wrapper.codec import (
    Always,
    Derived,
    Evolution,
    SchemaOptions,
    StoredForm,
    check_chain,
    union_model,
    upcaster_names,
)
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations.declaration import DATETIMES, Declaration, Kind, Unique, classes_of
from dynamodb_wrapper.operations.indexes import merged_indexes
from dynamodb_wrapper.operations.table_options import TableOptions
from dynamodb_wrapper.repositories.key_naming import NamedKeys
from dynamodb_wrapper.repositories.patterns import AccessPattern, ParentPattern
from dynamodb_wrapper.repositories.single_table import SingleTable

if TYPE_CHECKING:
    from dynamodb_wrapper.operations.parents import ParentLink


@dataclass(frozen=True, slots=True)
class Declared:
    """What a class (or, for properties, an instance) says of its table."""

    owner: type
    source: object

    def value(self, name: str) -> Any:
        """Return a declared value, None when it is absent."""
        return getattr(self.source, name, None)

    def declaration(self) -> Declaration:
        """Return the checked declaration.

        Raises:
            DeclarationError: Something is missing or cannot work.
        """
        model_class = self._model_class()
        primary_key = self.value("primary_key")
        for name, value in (("model_class", model_class), ("primary_key", primary_key)):
            if value is None:
                raise DeclarationError(
                    f"{self.owner.__name__} declares no {name}: set it as a class attribute or a property"
                    + (" (or name the model as in BaseDynamoRepository[Order])" if name == "model_class" else "")
                )
        _refuse_hidden_methods(self.owner)
        self._check_cache()
        table, sort_key = self._single_table(), self.value("sort_key")
        keys = NamedKeys(self.owner.__name__, model_class, table)
        primary_key = keys.table_part(primary_key, table.partition_key if table else "pk", is_sorted=False)
        sort_key = keys.table_part(sort_key, (table and table.sort_key) or "sk", is_sorted=True) if sort_key else None
        indexes = [keys.index(pattern) for pattern in _patterns(self.owner)]
        table_key = ((primary_key,), (sort_key,) if sort_key else ())
        for index in indexes:
            if index.name is None and (index.partition, index.sort) != table_key:
                raise DeclarationError(
                    f"{self.owner.__name__}: an access pattern without an index name is on the table's own key, "
                    f"{table_key}, not on {index.fields}"
                )
        if table is not None and not self.value("kind") and " | " in model_class.__name__:
            raise DeclarationError(f"{self.owner.__name__}: declare the kind of {model_class.__name__}: kind = ...")
        kind = None if table is None else Kind(table.kind, self.value("kind") or model_class.__name__)
        derived = [*keys.derived.values()]
        if kind is not None:
            derived.append(Derived(kind.attribute, (), Always(kind.value)))
        declaration = Declaration(
            owner=self.owner.__name__,
            model_class=model_class,
            partition_key=primary_key,
            sort_key=sort_key,
            indexes=merged_indexes(self.owner.__name__, indexes),
            version=self.value("version_attribute"),
            ttl=self.value("ttl_attribute"),
            created_at=self._time_field(model_class, "created_at"),
            updated_at=self._time_field(model_class, "updated_at"),
            stored=self._stored(),
            derived=tuple(derived),
            forbid_unknown=bool(self.value("forbid_unknown_attributes")),
            options=self.value("table_options") or TableOptions(),
            unique=self._unique(),
            kind=kind,
            evolution=self._evolution(),
        )
        if table is not None:
            table.add(declaration, self.owner)
        return declaration

    def _check_cache(self) -> None:
        declared: Any = self.value("cache")
        if declared is None:
            wrong = [name for name, pattern in named_patterns(self.owner).items() if pattern.cached]
            said = any("cache" in vars(cls) for cls in self.owner.__mro__ if cls.__module__ != _FOUNDATION_MODULE)
            if wrong and not said:  # not even that it is to be None, below a class that has one
                raise DeclarationError(
                    f"{self.owner.__name__}: {wrong[0]} is to be cached, and the repository declares no cache"
                )
            return
        from dynamodb_wrapper.transport.caching import Cache  # not needed by programs without a cache

        if not isinstance(declared, Cache):
            raise DeclarationError(f"{self.owner.__name__}: cache is a Cache(...), not {declared!r:.80}")

    def _single_table(self) -> SingleTable | None:
        table: Any = self.value("single_table")
        if table is not None and not isinstance(table, SingleTable):
            raise DeclarationError(f"{self.owner.__name__}: single_table is a SingleTable, not {table!r:.80}")
        if table is not None and bool(table.sort_key) != bool(self.value("sort_key")):
            needs = f"has the sort key {table.sort_key!r}" if table.sort_key else "has no sort key"
            raise DeclarationError(f"{self.owner.__name__}: {table!r} {needs}; sort_key is {self.value('sort_key')!r}")
        return table

    def _model_class(self) -> Any:
        declared: Any = self.value("model_class")
        declared = union_model(declared) or declared
        argument = model_argument(self.owner)
        if declared is None or argument is None or not isinstance(declared, type) or issubclass(declared, argument):
            return declared or argument
        raise DeclarationError(
            f"{self.owner.__name__}: model_class is {declared.__name__}, but the class is declared with "
            f"[{argument.__name__}]; name one model"
        )

    def _evolution(self) -> Evolution | None:
        current: Any = self.value("schema_version")
        options: Any = self.value("schema_options")
        names = upcaster_names(self.owner)
        if not isinstance(options, SchemaOptions):
            raise DeclarationError(f"{self.owner.__name__}: schema_options must be SchemaOptions(...), not {options!r}")
        if current is None:
            if names or options != SchemaOptions():
                given = ", ".join(names) or "schema_options"
                raise DeclarationError(f"{self.owner.__name__} declares {given}, but no schema_version")
            return None
        try:
            check_chain(current, options, names)
        except DeclarationError as error:
            error.message = f"{self.owner.__name__}: {error.message}"
            raise
        return Evolution(current, options)

    def _unique(self) -> tuple[Unique, ...]:
        declared: Any = self.value("unique") or ()
        if isinstance(declared, str | Unique):
            raise DeclarationError(f"{self.owner.__name__}: unique is several entries, as in ({declared!r},)")
        entries = tuple(Unique(entry) if isinstance(entry, str) else entry for entry in declared)
        wrong = [entry for entry in entries if not isinstance(entry, Unique)]
        if wrong:
            raise DeclarationError(f"{self.owner.__name__}: unique has field names and Unique(...), not {wrong[0]!r}")
        return entries

    def _stored(self) -> Mapping[str, StoredForm]:
        stored: Mapping[str, StoredForm] = self.value("stored_as") or {}
        return dict(stored)

    def _time_field(self, model_class: type[BaseModel], default: str) -> str | None:
        """Return the field a write stamps: the one declared, else the one of the usual name if it is a datetime."""
        option = f"{default}_attribute"
        name: str | None = self.value(option)
        if any(option in vars(cls) for cls in self.owner.__mro__ if cls.__module__ != _FOUNDATION_MODULE):
            return name
        info = getattr(model_class, "model_fields", {}).get(default)
        return default if info is not None and _is_datetime(info.annotation) else None


_FOUNDATION_MODULE = "dynamodb_wrapper.repositories.foundation"


def declared_at_class_time(cls: type) -> Declaration | None:
    """Return the declaration of a class as soon as it is made; None when it is abstract or depends on the instance.

    Raises:
        DeclarationError: What is declared cannot work.
    """
    table_name = getattr(cls, "table_name", None)
    if (
        table_name is not None
        and not isinstance(table_name, property)
        and not (isinstance(table_name, str) and table_name)
    ):
        raise DeclarationError(f"{cls.__name__}: table_name must be a name or a property, not {table_name!r}")
    source: object = cls
    names = ("table_name", "model_class", "primary_key", "sort_key")
    if any(isinstance(getattr(cls, name, None), property) for name in names):
        source = _probe(cls, [name for name in names if name != "table_name"])
        if source is None:
            return None
    declared = Declared(cls, source)
    model_class = union_model(declared.value("model_class")) or declared.value("model_class") or model_argument(cls)
    if declared.value("primary_key") is None or model_class is None or not _is_complete(model_class):
        return None
    return declared.declaration()


def _is_complete(model_class: Any) -> bool:
    """Whether the model is fully defined; one with open forward references is checked when an instance is made."""
    rebuild = getattr(model_class, "model_rebuild", None)
    return rebuild is None or rebuild(raise_errors=False) is not False


def _probe(cls: type, names: Iterable[str]) -> object | None:
    """Return an uninitialised instance if its properties can be read without a configuration, else None."""
    instance: object = object.__new__(cls)
    try:
        for name in names:
            getattr(instance, name)
    except Exception:  # noqa: BLE001 - a property may do anything; the declaration is then checked when an instance is made
        return None
    return instance


def model_argument(cls: type, known: Mapping[Any, Any] | None = None) -> type[BaseModel] | None:
    """Return the model of ``BaseDynamoRepository[Model]`` in a class's bases, however far up.

    Args:
        cls: The repository class.
        known: What its type variables stand for.
    """
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = get_origin(base) or base
        if not (hasattr(origin, "primary_key") and hasattr(origin, "__parameters__")):  # a mixin, or Generic itself
            continue
        arguments = [(known or {}).get(argument, argument) for argument in get_args(base)]
        above = model_argument(origin, dict(zip(origin.__parameters__, arguments, strict=False)))
        for argument in (above, *(union_model(argument) or argument for argument in arguments)):
            if isinstance(argument, type) and issubclass(argument, BaseModel):
                return argument
    return None


def _patterns(cls: type) -> Iterable[AccessPattern]:
    return named_patterns(cls).values()


def named_patterns(cls: type) -> dict[str, AccessPattern]:
    """Return the access patterns of a class and its bases by their names, an overridden one once."""
    found: dict[str, object] = {}
    for base in cls.__mro__:
        for name, value in vars(base).items():
            found.setdefault(name, value)
    return {name: value for name, value in found.items() if isinstance(value, AccessPattern)}


def declared_tree(cls: type, declaration: Declaration) -> ParentLink | None:
    """Return how a class's items name their parents; None when it declares no tree.

    Raises:
        DeclarationError: What is declared cannot work.
    """
    patterns = [pattern for pattern in _patterns(cls) if isinstance(pattern, ParentPattern)]
    if len(patterns) > 1:
        names = ", ".join(repr(pattern.index.name) for pattern in patterns)
        raise DeclarationError(f"{cls.__name__}: a repository has one parent pattern at most, not those on {names}")
    return patterns[0].link(declaration) if patterns else None


def _refuse_hidden_methods(cls: type) -> None:
    """Refuse an access pattern whose name is that of something every repository has."""
    hierarchy = cls.__mro__
    for position, owner in enumerate(hierarchy):
        for name, value in vars(owner).items():
            is_taken = name in _INSTANCE_ATTRIBUTES or any(
                name in vars(base) and not isinstance(vars(base)[name], AccessPattern)
                for base in hierarchy[position + 1 :]
                if base.__module__.startswith("dynamodb_wrapper.")
            )
            if isinstance(value, AccessPattern) and is_taken:
                raise DeclarationError(
                    f"{owner.__name__}: an access pattern named {name!r} would hide what every repository has under "
                    "that name; give it another one"
                )


_INSTANCE_ATTRIBUTES = frozenset(("config", "_connection", "_driver", "_entity"))


def _is_datetime(annotation: Any) -> bool:
    kinds = list(classes_of(annotation))
    return bool(kinds) and all(issubclass(kind, DATETIMES) for kind in kinds)
