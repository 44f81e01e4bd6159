"""What repositories of both colours are made of: the declaration, checked when the class is made, and the entity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper import expressions, transport
from dynamodb_wrapper.codec import ModelCodec, SchemaOptions, StoredForm, TimeRules
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import DeclarationError, ValidationError
from dynamodb_wrapper.operations import charts, kind_entity, recalling, selection, template_entity
from dynamodb_wrapper.operations.declaration import Declaration, Unique
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.table_options import TableOptions
from dynamodb_wrapper.repositories.declarations import Declared, declared_at_class_time, named_patterns
from dynamodb_wrapper.repositories.single_table import SingleTable
from dynamodb_wrapper.transport import Connection, Driver, connection_for

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
else:
    Table = Any  # those who ask for type hints need not have the stubs


T = TypeVar("T", bound=BaseModel)


class RepositoryFoundation(Generic[T]):
    """A declared table and the model in it.

    Attributes:
        table_name: On the class, the base name, to which the configuration adds prefix and environment; as a property,
            the physical name. On an instance it is always the physical name.
        model_class: The model; read from ``[Order]`` when left out.
        primary_key: The field of the partition key, or a `Key` template.
        sort_key: The field of the sort key, or a `Key` template, or None.
        single_table: The table, where it is shared with other repositories; then ``table_name`` is left out.
        kind: What items of this repository are called there; the name of the model by default.
        version_attribute: A field (int) for optimistic locking, or None. See `update`.
        ttl_attribute: The field that says when DynamoDB may delete the item, or None. A datetime is stored as whole
            seconds since 1970, rounded up.
        created_at_attribute: The datetime field that ``create`` sets where it was not given; ``created_at`` when the
            model has one, None for no such field.
        updated_at_attribute: The datetime field that every write moves; ``updated_at`` when the model has one.
        stored_as: Fields kept in a form of their own, for example ``{"stages": KeyedList("stage_name")}``.
        forbid_unknown_attributes: Whether an item with attributes that are no field is refused by a model with
            ``extra="forbid"``; by default such attributes are not shown to it, so that stored data stays readable.
        unique: Fields of which no two items have the same value: names, or `Unique` for a value that is unique within
            that of another field, or compared in another form. Kept by guard items in the same table, written in
            the same transaction; a table with a text partition key only.
        schema_version: The version of the model's stored form, counted from 1, or None. Items are written with it, and
            older ones are read through the methods ``upcast_v1_v2(item)``, ``upcast_v2_v3(item)`` and so on: each takes
            an item as a plain dict of stored attributes and returns it as the next version has it.
        schema_options: Where the version is kept, and what becomes of items of other versions.
        table_options: Billing, stream, backups and whatever else a table is beside its items; see `TableOptions`.
        cache: What reads go through, as `Cache` says, or None.
        config: The configuration.
    """

    # Any, because a subclass may declare these as class attributes or as properties, and type checkers allow only one
    # of the two to override a `str`. In a subclass they have the type declared there.
    table_name: Any = None
    model_class: Any = None
    primary_key: Any = None
    sort_key: Any = None
    single_table: ClassVar[SingleTable | None] = None
    kind: ClassVar[str | None] = None
    version_attribute: ClassVar[str | None] = None
    ttl_attribute: ClassVar[str | None] = None
    created_at_attribute: ClassVar[str | None] = "created_at"
    updated_at_attribute: ClassVar[str | None] = "updated_at"
    stored_as: ClassVar[Mapping[str, StoredForm]] = {}
    forbid_unknown_attributes: ClassVar[bool] = False
    unique: ClassVar[Sequence[str | Unique]] = ()
    schema_version: ClassVar[int | None] = None
    schema_options: ClassVar[SchemaOptions] = SchemaOptions()
    table_options: ClassVar[TableOptions] = TableOptions()
    cache: ClassVar[transport.Cache | None] = None

    _declaration: ClassVar[Declaration | None] = None
    _driver: Driver[Any]  # of the repository's colour

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if isinstance(cls.single_table, SingleTable) and cls.table_name is None:
            cls.table_name = cls.single_table.table_name
        cls._declaration = declared_at_class_time(cls)

    def __init__(self, config: DynamoDBConfig) -> None:
        """Use a configuration; nothing is opened or read before the first request.

        Raises:
            ValidationError: ``config`` is no `DynamoDBConfig`.
            DeclarationError: The class declares no usable table.
        """
        if not isinstance(config, DynamoDBConfig):
            raise ValidationError(f"{type(self).__name__} takes a DynamoDBConfig, not {type(config).__name__}")
        self.config = config
        self._connection = connection_for(config)
        self._entity: Entity[T] = self._made_entity()

    def _made_entity(self) -> Entity[T]:
        declaration = type(self)._declaration or Declared(type(self), self).declaration()
        if self.table_name is None:
            raise DeclarationError(f"{type(self).__name__} declares no table_name")
        if not isinstance(getattr(type(self), "table_name", None), property):
            self.table_name = self.config.get_table_name(type(self).table_name)
        if not isinstance(getattr(type(self), "model_class", None), property):
            self.model_class = declaration.model_class
        times = TimeRules.of(
            assumed=self.config.default_timezone,
            stored_in_utc=self.config.store_timestamps_in_utc,
            shown=self.config.user_timezone,
        )
        secret = self.config.cursor_secret
        made: type[Entity[T]] = template_entity.TemplateEntity if declaration.templates else Entity
        if declaration.kind is not None:
            made = kind_entity.KindEntity
        entity = made(
            self.table_name,
            declaration,
            declaration.codec_for(self.model_class, times),
            None if secret is None else secret.get_secret_value(),
            None if declaration.evolution is None else declaration.evolution.bound(self, times),
        )
        cache = type(self).cache
        if cache is None:
            return entity
        key, schema = entity.table_key_attributes, partial(recalling.schema_of, declaration)
        return replace(entity, cache=cache.table(self.config, self.table_name, key, schema))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.table_name!r})"

    @property
    def table(self) -> Table:
        """boto3's own ``Table``, for whatever this class does not offer."""
        return self._connection.table(self.table_name)

    def with_options(self, *, timeout: float | None = None, max_attempts: int | None = None) -> Self:
        """Return this repository with other limits for its calls, over the same connection and retry quota.

        A call that has not succeeded when the time is over raises `DeadlineExceededError`, or
        `WriteOutcomeUnknownError` if a write may have been applied. Iterating a query or a scan has the time for each
        request; waiting for a table, which has ``wait_seconds``, too. Cheap: make it where you need it.

        Args:
            timeout: Seconds for a call as a whole, its retries and their delays included; ``math.inf`` for no limit,
                None for that of this repository (at first ``deadline_seconds`` of the configuration).
            max_attempts: How often a request is sent at most, the first time included; None for that of this
                repository (at first ``retries + 1`` of the configuration).

        Raises:
            ValidationError: A limit is not a number in its range.
        """
        limited = copy(self)
        limited._driver = self._driver.limited(timeout=timeout, max_attempts=max_attempts)
        return limited

    @property
    def _table_entity(self) -> Entity[Any]:
        """The table as a whole: this repository's, or the one it shares."""
        table = self.single_table
        if table is None:
            return self._entity
        codec: ModelCodec[Any] = table.declaration.codec_for(table.declaration.model_class, self._entity.codec.times)
        return Entity(self.table_name, table.declaration, codec, self._entity.cursor_secret)

    def describe(self, *, page_size: int = 25, item_bytes: int | None = None) -> charts.EntityChart:
        """Return the chart of what the table answers: patterns, keys, what is carried, and what a page costs.

        It has ``to_text()``, ``to_markdown()``, ``to_json()`` and ``to_json_schema()``. AWS is not asked. Of a shared
        table, it is the chart of this repository's items.

        Args:
            page_size: How many items a page has, for the estimate of read units.
            item_bytes: How large an item is; without it, the estimate is that of the largest page, 1 MB.

        Raises:
            ValidationError: One of them is no positive number.
        """
        names = {
            name: self._declared_index(pattern.index.name) if pattern.keys else pattern.index
            for name, pattern in named_patterns(type(self)).items()
        }
        return charts.charted(self._entity, names, page_size=page_size, item_bytes=item_bytes)

    def _compiled(self) -> Connection:
        """Compile what reads and writes the model, and return the connection."""
        self._entity.codec.compile()
        return self._connection

    def _declared_index(self, name: str | None) -> Index:
        """Return the table's key, or the declared index of a name."""
        declaration = self._entity.declaration
        return declaration.table_key if name is None else declaration.index(name)

    def _selection(self, index: str | None) -> selection.Selection[T]:
        return selection.Selection(self._entity, self._declared_index(index), self._entity.decode)

    def _chosen(
        self, partition: tuple[object, ...], index: str | None, where: expressions.AnyCondition | None
    ) -> selection.Selection[T]:
        """Return what `count` is about: all, or one partition; what fulfils a condition."""
        everything = self._selection(index)
        chosen = everything.from_key(*partition) if partition else everything
        return chosen if where is None else chosen.filtered(expressions.as_condition(where))
