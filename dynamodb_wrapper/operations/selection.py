"""What a query or scan is to read, as a frozen value, and the parameters it renders to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, PartialItem
from dynamodb_wrapper.exceptions import ExpressionError, ValidationError
from dynamodb_wrapper.expressions import Comparison, Condition, ExpressionWriter, Path, Stored, Written, every, paths_of
from dynamodb_wrapper.operations.cursors import fingerprint, read_cursor
from dynamodb_wrapper.operations.declaration import GUARD_OWNER
from dynamodb_wrapper.operations.effects import AnswerReader, Params
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.items import Projection
from dynamodb_wrapper.operations.requests import without_overlaps
from dynamodb_wrapper.operations.sizes import RequestSizes
from dynamodb_wrapper.operations.sort_conditions import Partition, SortTemplate

R = TypeVar("R")
V = TypeVar("V", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked:
    """Expressions the caller has written in DynamoDB's own language, with their placeholders."""

    filter: str | None = None
    key_condition: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    values: Item = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection(Generic[R]):
    """What a query or scan is to read. Frozen: every refinement is a new selection.

    Attributes:
        entity: The model in its table.
        index: The key that is used.
        decode: From an item to a result.
        key_conditions: On the key's parts; None scans.
        filter: On other attributes, evaluated after reading.
        limit: How many results the caller gets in all.
        page_size: How many items DynamoDB evaluates in one request.
        projection: Which attributes are read.
        chosen: The partition, where templates make its key.
        is_cached: Whether its pages may come from the cache of the entity, where it has one.
    """

    entity: Entity[Any]
    index: Index
    decode: Callable[[Item], R]
    key_conditions: tuple[Condition, ...] | None = None
    filter: Condition | None = None
    limit: int | None = None
    page_size: int | None = None
    descending: bool = False
    consistent: bool = False
    range_given: bool = False
    projection: Projection | None = None
    asked: Asked = Asked()
    start_key: Item | None = None
    chosen: Partition | None = None
    is_cached: bool = False

    def filtered(self, condition: Condition) -> Selection[R]:
        """Return this selection with one more filter.

        Raises:
            ExpressionError: It is on a key attribute of the query, or on one the index does not carry.
        """
        for path in paths_of(condition):
            self._check_filter(path)
        return replace(self, filter=every(self.filter, condition))

    def from_key(self, *values: object) -> Selection[R]:
        """Return this selection for one partition: a value for each of the key's partition fields.

        Raises:
            ValidationError: There are too few or too many values, or one is not what the key holds.
        """
        names = self.entity.partition_fields(self.index)
        if len(values) != len(names):
            raise ValidationError(
                f"{self._described_key} takes {len(names)} partition value(s) ({', '.join(names)}), got {len(values)}"
            )
        chosen = self.entity.partition(self.index, values)
        if chosen is not None:
            return replace(self, key_conditions=chosen.conditions, chosen=chosen)._with_sort_key(chosen.sort_key)
        for name, value in zip(names, values, strict=True):
            self.entity.key_part(name, value)
        conditions = tuple(Path(name) == value for name, value in zip(names, values, strict=True))
        return replace(self, key_conditions=conditions)

    def sorted_by(self, make: Callable[[Path], Condition], *, last: bool) -> Selection[R]:
        """Return this selection with a condition on the next part of the sort key.

        Args:
            make: From the part's path to the condition.
            last: Whether it is a range, after which no further part can be conditioned.

        Raises:
            ExpressionError: The key has no further sort part.
        """
        if self.key_conditions is None:
            raise ExpressionError("a scan has no key conditions: use .where(...)")
        if self.chosen is not None and self.chosen.sort_key is not None:
            return self._by_template(self.chosen.sort_key, make, last=last)
        used = len(self.key_conditions) - len(self.index.partition)
        if self.range_given or used >= len(self.index.sort):
            raise self._no_further_part(self.index.sort)
        condition = make(Path(self.index.sort[used]))
        return replace(self, key_conditions=(*self.key_conditions, condition), range_given=last)

    def _by_template(self, sort_key: SortTemplate, make: Callable[[Path], Condition], *, last: bool) -> Selection[R]:
        if self.range_given or sort_key.next_field is None:
            raise self._no_further_part(sort_key.template.names)
        condition = make(Path(sort_key.next_field))
        if isinstance(condition, Comparison) and condition.comparator == "=":
            return self._with_sort_key(sort_key.with_next(condition.right))
        return replace(self, key_conditions=(*self.partition, sort_key.ranged(condition)), range_given=last)

    def _with_sort_key(self, sort_key: SortTemplate | None) -> Selection[R]:
        """Return this selection with what is known of the sort key's parts."""
        if sort_key is None or self.chosen is None:
            return self
        condition = sort_key.condition
        conditions = self.partition if condition is None else (*self.partition, condition)
        return replace(self, key_conditions=conditions, chosen=replace(self.chosen, sort_key=sort_key))

    @property
    def shards(self) -> tuple[Condition, ...]:
        """The conditions for all shards of the partition; none where it has no shards."""
        return () if self.chosen is None else self.chosen.shards

    @property
    def partition(self) -> tuple[Condition, ...]:
        """The conditions that choose the partition."""
        return (self.key_conditions or ())[: len(self.index.partition)]

    def _no_further_part(self, parts: Sequence[str]) -> ExpressionError:
        return ExpressionError(
            f"{self._described_key} has no further sort part to condition (sort key: {', '.join(parts) or 'none'}); "
            "parts are given left to right, by equality, and a range comes last"
        )

    @property
    def _described_key(self) -> str:
        table = f"table {self.entity.table_name!r}"
        return table if self.index.name is None else f"index {self.index.name!r} of {table}"

    def consistently(self) -> Selection[R]:
        """Return this selection with strongly consistent reads.

        Raises:
            ExpressionError: It reads a global index, where DynamoDB has none.
        """
        if self.index.name is not None and not self.index.local:
            raise ExpressionError(
                f"index {self.index.name!r} is global, and DynamoDB reads global indexes eventually consistent only; "
                "read the table, or a local index"
            )
        return replace(self, consistent=True)

    def reversed(self) -> Selection[R]:
        """Return this selection from the highest sort key to the lowest.

        Raises:
            ExpressionError: It is a scan, which has no order.
        """
        if self.key_conditions is None:
            raise ExpressionError("a scan has no order to reverse; query one partition instead")
        return replace(self, descending=True)

    def whole(self) -> Selection[R]:
        """Return this selection, if its items are whole models.

        Raises:
            ExpressionError: The index carries some attributes only; they are read with ``.project()``.
        """
        carried = self.carried_attributes
        if self.projection is None and carried is not None and self.decode == self.entity.decode:
            raise ExpressionError(
                f"index {self.index.name!r} carries only {', '.join(sorted(carried))}, so its items are no whole "
                "models: choose what to read with .project(...)"
            )
        return self

    def projected(self, attributes: Sequence[str | Path]) -> Selection[PartialItem]:
        """Return this selection for some attributes; none named means all that the index carries.

        Raises:
            ExpressionError: The model has no such attribute, or the index does not carry it.
        """
        carried = self.carried_attributes
        told = frozenset[str]() if carried is None else self.entity.told_by_key(self.index) - carried
        if not attributes:
            attributes = sorted(self.entity.codec.shape.by_name if carried is None else carried | told)
        projection = Projection(self.entity, attributes, has_whole=carried is None, told=told)
        for target in projection.targets:
            if carried is not None and not self.index.local and target.names[0] not in carried | told:
                raise ExpressionError(
                    f"index {self.index.name!r} does not carry {target.label}; it carries "
                    f"{', '.join(sorted(carried | told))}"
                )
        return replace(self, decode=projection.decode, projection=projection)  # type: ignore[return-value,arg-type]

    def restricted(self, attributes: Sequence[Any]) -> Selection[Any]:
        """Return this selection for one smaller model, or for named attributes."""
        if len(attributes) == 1 and isinstance(view := attributes[0], type):
            if not issubclass(view, BaseModel) or not view.model_fields:
                raise ExpressionError(f"project() takes names, paths or a model with fields, not {view.__name__}")
            return self.viewed(view)
        return self.projected(attributes)

    def viewed(self, view: type[V]) -> Selection[V]:
        """Return this selection, read as a smaller model; only its fields are read.

        Raises:
            ExpressionError: The view has a field that the stored model (or the index) lacks.
        """
        codec = self.entity.codec
        view_codec = self.entity.declaration.view_codec_for(view, codec.times)
        fields = {name: name if codec.member(name) else view_codec.attribute(name) for name in view.model_fields}
        chosen = self.projected(tuple(fields.values()))
        names = {codec.attribute(field): view_codec.attribute(name) for name, field in fields.items()}

        def decode(item: Item) -> V:
            assert chosen.projection is not None
            stored = chosen.projection.current(item)
            return view_codec.decode({names[name]: wire for name, wire in stored.items() if name in names})

        return replace(chosen, decode=decode)  # type: ignore[return-value,arg-type]

    def _check_filter(self, path: Path) -> None:
        target = self.entity.codec.target(path.steps)
        attribute = str(target.names[0])
        if self.key_conditions is not None and attribute in self.entity.key_attributes(self.index):
            raise ExpressionError(
                f"{target.label} is part of the key that is queried, and DynamoDB allows no filter on it: "
                "use the key conditions (.eq, .between, .begins_with, ...)",
                {target.label: "part of the key"},
            )
        carried = self.carried_attributes
        if carried is not None and attribute not in carried:
            raise ExpressionError(
                f"index {self.index.name!r} does not carry {target.label}, so it cannot filter on it; "
                f"it carries {', '.join(sorted(carried))}",
                {target.label: "not in the index"},
            )

    @property
    def carried_attributes(self) -> frozenset[str] | None:
        """The stored names the index carries; None for all."""
        if self.index.projection == "ALL":
            return None
        extra = () if self.index.projection == "KEYS_ONLY" else self.index.projection
        codec = self.entity.codec
        return frozenset((*self.resume_attributes, *(codec.attribute(name) for name in extra)))

    @property
    def _without_guards(self) -> Condition | None:
        """The condition that keeps out the guards of unique values, where there are any to be read.

        They are in the table, and in indexes of its key alone. No query of the table finds them: no partition that can
        be asked for has them.
        """
        declaration = self.entity.declaration
        has_guards = bool(declaration.unique) and set(self.index.fields) <= set(declaration.table_key.fields)
        if not has_guards or (self.index.name is None and self.key_conditions is not None):
            return None
        return Stored(GUARD_OWNER, None)

    @property
    def _others_come_along(self) -> bool:
        """Whether items of other models may be among those evaluated, more than by mistake."""
        if self.entity.only_ours is None or self.chosen is None or self.chosen.sort_key is None:
            return self.entity.only_ours is not None
        return not self.chosen.sort_key.template.literals[0]

    @property
    def resume_attributes(self) -> tuple[str, ...]:
        """The stored names a resume key is made of: the table's key and the index's."""
        return tuple(dict.fromkeys((*self.entity.table_key_attributes, *self.entity.key_attributes(self.index))))

    @property
    def readable_key(self) -> dict[str, object]:
        """The values the key must equal, by field, for errors."""
        return {
            str(condition.left.steps[0]): condition.right
            for condition in self.key_conditions or ()
            if isinstance(condition, Comparison) and condition.comparator == "=" and isinstance(condition.left, Path)
        }

    @property
    def reader(self) -> AnswerReader | None:
        """How a lane may read an answer; only whole models can be read so."""
        return self.entity.codec.answer_reader("Items") if self.decode == self.entity.decode else None

    @property
    def operation(self) -> str:
        """``"Query"`` or ``"Scan"``."""
        return "Scan" if self.key_conditions is None else "Query"

    def params(self, *, limit: int | None = None, start_key: Item | None = None, counting: bool = False) -> Params:
        """Return the parameters of one request."""
        writer = ExpressionWriter(self.entity.codec)
        writer.adopt(self.asked.names, self.asked.values)
        own = (self._without_guards, self.entity.only_ours)
        optional = {
            "IndexName": self.index.name,
            "KeyConditionExpression": _written(writer, *(self.key_conditions or ()), text=self.asked.key_condition),
            "ScanIndexForward": False if self.descending else None,
            "FilterExpression": _written(writer, self.filter, *own, text=self.asked.filter),
            "Select": "COUNT" if counting else None,
            "ProjectionExpression": None if counting else self._projection(writer),
            "ConsistentRead": True if self.consistent else None,
            "Limit": limit,
            "ExclusiveStartKey": start_key,
        }
        given = {name: value for name, value in optional.items() if value is not None}
        return {"TableName": self.entity.table_name, **given, **writer.parameters()}

    def _projection(self, writer: ExpressionWriter) -> str | None:
        """Return what is read: the attributes asked for, and the keys to go on from."""
        if self.projection is None or self.projection.reads_whole:
            return None
        names = [*self.projection.places, *((name,) for name in self.resume_attributes)]
        return writer.projection(without_overlaps(names))

    def identity(self) -> bytes:
        """Return what binds a cursor to this selection: everything that decides which items come, in which order."""
        same = replace(self, projection=None, consistent=False)
        return fingerprint([self.operation, same.params(), *([len(self.shards)] if self.shards else ())])

    def resume_key(self, item: Item) -> Item:
        """Return the key after which to go on when ``item`` was the last one used."""
        return {name: item[name] for name in self.resume_attributes}

    def at_cursor(self, cursor: str | None) -> Selection[R]:
        """Return this selection, starting after a page.

        Raises:
            InvalidCursorError: The cursor is not one of this selection.
        """
        if cursor is None:
            return self
        return replace(self, start_key=read_cursor(cursor, self.identity(), self.entity.cursor_secret))

    def of_shard(self, number: int) -> Selection[R]:
        """Return this selection for one shard of its partition."""
        conditions = (self.shards[number], *(self.key_conditions or ())[1:])
        chosen = None if self.chosen is None else replace(self.chosen, shards=())
        return replace(self, key_conditions=conditions, chosen=chosen, limit=None)

    def request_sizes(self, wanted: int | None) -> RequestSizes:
        """Return how many items to evaluate per request when ``wanted`` results are asked for."""
        filters = (self.filter, self.asked.filter, self._without_guards)
        is_filtered = any(part is not None for part in filters) or self._others_come_along
        return RequestSizes(self.page_size, wanted, is_filtered=is_filtered)


def _written(writer: ExpressionWriter, *conditions: Condition | None, text: str | None) -> str | None:
    """Return conditions and an already written expression as one expression string."""
    condition = every(*conditions, None if text is None else Written(text))
    return None if condition is None else writer.condition(condition)
