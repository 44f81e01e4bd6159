"""What a repository class declares of its table, checked when the class is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, FutureDatetime, NaiveDatetime, PastDatetime

from dynamodb_wrapper.codec import Derived, EpochSeconds, Evolution, ModelCodec, StoredForm, Template, TimeRules, Wire
from dynamodb_wrapper.codec.pydantic_internals import has_model_serializer
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations.indexes import Index, problem_of
from dynamodb_wrapper.operations.table_options import TableOptions

T = TypeVar("T", bound=BaseModel)

DATETIMES: tuple[type, ...] = (datetime, AwareDatetime, NaiveDatetime, PastDatetime, FutureDatetime)
"""What a field that holds an instant is annotated with."""
GUARD_PREFIX = "unique#"
"""What the partition key of every guard item begins with, and of no other item in a table with unique values."""
GUARD_OWNER = "unique#owner"
"""The attribute that only guard items have: the key of the item that has the value."""
_KEY_TAGS = frozenset(("S", "N", "B"))


@dataclass(frozen=True, slots=True)
class Unique:
    """A field of which no two items of the table have the same value; None is no value.

    Attributes:
        field: The field.
        within: Fields within whose values it is unique: one name, or several; none for the whole table.
        normalize: From the stored text to what is compared, for example ``str.casefold``; text fields only. Values
            already stored keep the form they were compared in, so changing it calls for ``ensure_unique()``.
    """

    field: str
    within: str | Sequence[str] = ()
    normalize: Callable[[str], str] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The field, then those it is unique within."""
        return (self.field, *((self.within,) if isinstance(self.within, str) else self.within))


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells the items of a model from others in the same table.

    Attributes:
        attribute: The attribute that says what an item is.
        value: What it says of this model's.
    """

    attribute: str
    value: str

    @property
    def wire(self) -> Wire:
        """The value as it is stored."""
        return {"S": self.value}


@dataclass(frozen=True, eq=False)
class Declaration:
    """A repository's table: its keys, indexes and the fields the library takes care of.

    Raises:
        DeclarationError: Something in it cannot work; says what.
    """

    owner: str
    model_class: type[BaseModel]
    partition_key: str
    sort_key: str | None = None
    indexes: tuple[Index, ...] = ()
    version: str | None = None
    ttl: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    stored: Mapping[str, StoredForm] = field(default_factory=dict)
    derived: tuple[Derived | Template, ...] = ()
    forbid_unknown: bool = False
    options: TableOptions = field(default_factory=TableOptions)
    unique: tuple[Unique, ...] = ()
    kind: Kind | None = None
    evolution: Evolution | None = None
    _codecs: dict[tuple[type[BaseModel], TimeRules], ModelCodec[Any]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        model_class: object = self.model_class
        if not (isinstance(model_class, type) and issubclass(model_class, BaseModel)):
            raise self._wrong(f"model_class must be a Pydantic model, not {self.model_class!r}")
        for name in self.stored:
            self._check_field(name, "stored_as")
        codec: ModelCodec[Any] = ModelCodec.shared(
            self.model_class, stored=self.stored_forms, derived=self.derived, keep_unknown=self.forbid_unknown
        )
        self._check_readable(codec)
        self._check_derived(codec)
        for name in self.table_key.fields:
            user = "primary_key" if name == self.partition_key else "sort_key"
            if name not in self.templates:
                self._check_field(name, user)
            elif self.templates[name].when is not None:
                raise self._wrong(f"{user} has when=, and every item has a {user}; a key of an index may have it")
            self._check_key(codec, name, user)
        if self.sort_key == self.partition_key:
            raise self._wrong(f"primary_key and sort_key are both {self.sort_key!r}")
        if problem := problem_of(self.indexes):
            raise self._wrong(problem)
        for index in self.indexes:
            self._check_index(codec, index)
        self._check_managed(codec, "version_attribute", self.version, (int,), "a whole number")
        expiries = (*DATETIMES, int, float, Decimal)
        self._check_managed(codec, "ttl_attribute", self.ttl, expiries, "a datetime, or a number of seconds since 1970")
        self._check_managed(codec, "created_at_attribute", self.created_at, DATETIMES, "a datetime")
        self._check_managed(codec, "updated_at_attribute", self.updated_at, DATETIMES, "a datetime")
        self._check_unique(codec)
        self._check_evolution(codec)

    @cached_property
    def manages_fields(self) -> bool:
        """Whether there are fields that writes set by themselves."""
        return any((self.version, self.schema_version, self.created_at, self.updated_at, self.ttl))

    @cached_property
    def writes_plainly(self) -> bool:
        """Whether a model is written as it is, over whatever is there."""
        return not self.manages_fields and not self.unique and self.kind is None

    @cached_property
    def table_key(self) -> Index:
        """The table's own key."""
        return Index(None, (self.partition_key,), (self.sort_key,) if self.sort_key else ())

    @cached_property
    def templates(self) -> dict[str, Template]:
        """The key templates, by the attribute that each is stored in."""
        return {entry.attribute: entry for entry in self.derived if isinstance(entry, Template)}

    @cached_property
    def key_fields(self) -> tuple[str, ...]:
        """The model's fields that make the table's key."""
        names = (self.templates[name].names if name in self.templates else (name,) for name in self.table_key.fields)
        return tuple(dict.fromkeys(name for part in names for name in part))

    @cached_property
    def key_groups(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The fields that the first half of a caller's key gives, and the second."""
        partition, *sort = (self.asked_of(name) for name in self.table_key.fields)
        return partition, tuple(name for names in sort for name in names if name not in partition)

    def asked_of(self, part: str) -> tuple[str, ...]:
        """Return the fields whose values name a part of a key; all of its shards, where there are several."""
        return self.templates[part].asked if part in self.templates else (part,)

    def told_of(self, part: str) -> tuple[str, ...]:
        """Return the fields whose values can be read back from a part of a key."""
        return self.templates[part].told if part in self.templates else (part,)

    def codec_for(self, model_class: type[T], times: TimeRules) -> ModelCodec[T]:
        """Return the codec of the declared model; made once for each way of treating times."""
        codec: ModelCodec[Any] | None = self._codecs.get((model_class, times))
        if codec is None:
            codec = self._codecs[model_class, times] = ModelCodec.shared(
                model_class,
                times=times,
                stored=self.stored_forms,
                derived=self.derived,
                keep_unknown=self.forbid_unknown,
                stamp=None if self.evolution is None else self.evolution.stamp,
            )
        return codec

    def view_codec_for(self, view: type[T], times: TimeRules) -> ModelCodec[T]:
        """Return the codec of a smaller model over the same items; made once, too."""
        codec: ModelCodec[Any] | None = self._codecs.get((view, times))
        if codec is None:
            stored = {name: form for name, form in self.stored_forms.items() if name in view.model_fields}
            codec = self._codecs[view, times] = ModelCodec.shared(view, times=times, stored=stored)
        return codec

    def index(self, name: str) -> Index:
        """Return the declared index of that name.

        Raises:
            DeclarationError: There is none; names those there are.
        """
        for index in self.indexes:
            if index.name == name:
                return index
        known = ", ".join(str(index.name) for index in self.indexes) or "none"
        raise self._wrong(f"no index {name!r} is declared; declared are: {known}")

    @cached_property
    def stored_forms(self) -> dict[str, StoredForm]:
        """Return the fields stored in a form of their own: those declared, and a TTL datetime as epoch seconds."""
        forms = dict(self.stored)
        member = ModelCodec.shared(self.model_class).member(self.ttl) if self.ttl else None
        if member is not None and member.shape.tags == {"S"}:
            forms.setdefault(member.name, EpochSeconds())
        return forms

    def _check_derived(self, codec: ModelCodec[Any]) -> None:
        for entry in self.derived:
            if codec.member(entry.attribute) is not None:
                raise self._wrong(f"the derived attribute {entry.attribute!r} is also a field of the model")
            for name in entry.fields:
                self._check_field(name, f"the derived attribute {entry.attribute!r}")
        for template, part in [(made, part) for made in self.templates.values() for part in made.parts]:
            member = codec.member(part.name)
            tags = member.shape.tags if member is not None else frozenset()
            if part.form == "shard":
                self._check_shard(template, part.name, tags)
            elif tags != ({"N"} if part.form == "number" else {"S"}):
                annotation = self.model_class.model_fields[part.name].annotation
                raise self._wrong(
                    f"key template {template.source!r}: {part.name!r} is of type {annotation!r}, stored as "
                    f"{'/'.join(sorted(tags)) or 'any type'}; a template takes text, whole numbers, dates, datetimes "
                    "(as text), UUIDs, and enums of these"
                )

    def _check_shard(self, template: Template, name: str, tags: frozenset[str]) -> None:
        if len(tags) != 1 or not tags <= {"S", "N"}:
            raise self._wrong(f"key template {template.source!r} is spread by {name!r}, which must be text or a number")
        others = (self.templates[key].asked if key in self.templates else (key,) for key in self.table_key.fields)
        if template.attribute == self.partition_key and not any(name in names for names in others):
            raise self._wrong(
                f"key template {template.source!r} is spread by {name!r}, so that must be a field of the sort key: an "
                "item could not be found by its key"
            )

    def _check_readable(self, codec: ModelCodec[Any]) -> None:
        """Refuse a field that is needed for reading, or as a key, and is never written."""
        if has_model_serializer(self.model_class):  # it decides by itself what is written
            return
        for name, info in self.model_class.model_fields.items():
            if info.exclude is True and (name in self.key_fields or not codec.may_be_absent(name)):
                raise self._wrong(
                    f"{name!r} is declared with exclude=True, so it is never written, and no item could be read again: "
                    "give it a default, or write it"
                )

    def _check_unique(self, codec: ModelCodec[Any]) -> None:
        if not self.unique:
            return
        tags = {name: member.shape.tags for name in self.table_key.fields if (member := codec.member(name))}
        if self.partition_key in tags and tags[self.partition_key] != {"S"}:
            raise self._wrong(
                f"unique values are kept by items of their own in the same table, under partition keys of text; "
                f"primary_key {self.partition_key!r} is no text"
            )
        for index in self.indexes:
            if set(index.fields) <= set(self.table_key.fields) and index.projection != "ALL":
                raise self._wrong(
                    f"index {index.name!r} is made of the table's key only, so it carries the guards of unique values; "
                    'with projection="ALL" they can be told from items'
                )
        if GUARD_OWNER in codec.shape.by_attribute:
            raise self._wrong(f"the attribute {GUARD_OWNER!r} is kept for the guards of unique values")
        seen: set[tuple[str, ...]] = set()
        for entry in self.unique:
            self._check_unique_entry(codec, entry)
            if entry.fields in seen:
                raise self._wrong(f"unique names {' within '.join(entry.fields)!r} twice")
            seen.add(entry.fields)

    def _check_unique_entry(self, codec: ModelCodec[Any], entry: Unique) -> None:
        if len(set(entry.fields)) < len(entry.fields):
            raise self._wrong(f"unique {entry.field!r}: a field stands in it twice")
        for name in entry.fields:
            self._check_field(name, "unique")
            member = codec.member(name)
            if member is not None and not member.shape.tags <= _KEY_TAGS:
                annotation = self.model_class.model_fields[name].annotation
                raise self._wrong(f"unique {name!r} is of type {annotation!r}; it must be text, a number or bytes")
        if entry.field == self.partition_key and self.sort_key is None:
            raise self._wrong(f"unique {entry.field!r} is the table's key, which is unique anyway")
        member = codec.member(entry.field)
        if entry.normalize is not None and not callable(entry.normalize):
            raise self._wrong(f"unique {entry.field!r}: normalize is {entry.normalize!r:.80}, no function of a text")
        if entry.normalize is not None and member is not None and member.shape.tags - {"S"}:
            raise self._wrong(f"unique {entry.field!r} is no text, so there is nothing to normalize")

    @cached_property
    def schema_version(self) -> str | None:
        """The field that has the schema version; None where models do not see it, or there is none."""
        if self.evolution is None:
            return None
        name = self.evolution.options.attribute
        fields = self.model_class.model_fields.items()
        return next((field for field, info in fields if name in (field, info.serialization_alias, info.alias)), None)

    def _check_evolution(self, codec: ModelCodec[Any]) -> None:
        if self.evolution is None:
            return
        attribute = self.evolution.options.attribute
        member = codec.member(attribute)
        others = {self.version, self.ttl, self.created_at, self.updated_at, *self.table_key.fields} - {None}
        is_taken = attribute in others or (member is not None and member.name in others)
        if is_taken or any(entry.attribute == attribute for entry in self.derived):
            raise self._wrong(f"the schema version is kept in {attribute!r}, which has another use already")
        if member is not None and (member.attribute != attribute or member.shape.tags != {"N"}):
            raise self._wrong(
                f"the schema version is kept in the attribute {attribute!r}, and {member.name!r} is no int stored there"
            )

    def _check_field(self, name: str, user: str) -> None:
        if name not in self.model_class.model_fields:
            raise self._wrong(
                f"{user} names {name!r}, which is no field of {self.model_class.__name__}; "
                f"its fields are {', '.join(self.model_class.model_fields)}"
            )

    def _check_key(self, codec: ModelCodec[Any], name: str, user: str) -> None:
        if any(entry.attribute == name for entry in self.derived):
            return
        self._check_field(name, user)
        member = codec.member(name)
        tags = member.shape.tags if member else frozenset()
        if tags and (len(tags) > 1 or not tags <= _KEY_TAGS):
            annotation = self.model_class.model_fields[name].annotation
            raise self._wrong(
                f"{user} {name!r} is of type {annotation!r}; a DynamoDB key is text, a number or bytes "
                "(one of them, and no bool)"
            )

    def _check_index(self, codec: ModelCodec[Any], index: Index) -> None:
        label = f"index {index.name!r}"
        for name in index.fields:
            self._check_key(codec, name, label)
        if index.local and (index.partition != (self.partition_key,) or len(index.sort) != 1 or not self.sort_key):
            raise self._wrong(
                f"{label}: a local index has the table's partition key and one sort field, on a table with a sort key"
            )
        if isinstance(index.projection, tuple):
            for name in index.projection:
                self._check_field(name, f"{label} (projection)")

    def _check_managed(
        self, codec: ModelCodec[Any], option: str, name: str | None, kinds: tuple[type, ...], described: str
    ) -> None:
        if name is None:
            return
        self._check_field(name, option)
        annotation = self.model_class.model_fields[name].annotation
        member = codec.member(name)
        tags = member.shape.tags if member is not None else frozenset()
        expected = {"N"} if int in kinds else {"S"}  # with a form of its own, a datetime of a TTL is a number too
        if (tags and tags != expected) or not all(issubclass(kind, kinds) for kind in classes_of(annotation)):
            raise self._wrong(f"{option} {name!r} is of type {annotation!r}; it must be {described}")

    def _wrong(self, reason: str) -> DeclarationError:
        return DeclarationError(f"{self.owner}: {reason}")


def classes_of(annotation: Any) -> Iterable[type]:
    """Yield the classes that a value of an annotation can be of, as far as they are plain classes; not ``None``."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        arguments = get_args(annotation)
        for argument in arguments[:1] if get_origin(annotation) is Annotated else arguments:
            yield from classes_of(argument)
    elif isinstance(annotation, type) and annotation not in (NoneType, Any):
        yield annotation
