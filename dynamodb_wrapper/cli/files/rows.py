"""Rows of files that are lines: from items to them and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from dynamodb_wrapper.cli.files import plain
from dynamodb_wrapper.codec import Item, ModelCodec, RefusedValueError, Shape, TimeRules, Wire, WireEncoder, to_json
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.entity import Entity

_ENCODER = WireEncoder(TimeRules())
_NAMES = 5


class NotKnown:
    """Attributes that a model does not know.

    Attributes:
        count: How many items, or rows, have some.
        names: The first of their names.
    """

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []

    def add(self, names: Iterable[str]) -> None:
        """Note what an item has."""
        self.count += 1
        if len(self.names) < _NAMES:
            self.names += [name for name in names if name not in self.names]


class Rows(Protocol):
    """Knows what an item is as a row.

    Attributes:
        header: What a file begins with.
        not_known: What rows, or items, had that the model does not know, and that is not kept.
    """

    header: bytes
    not_known: NotKnown

    def begin(self, header: bytes) -> None:
        """Take the header of a file that is read.

        Raises:
            ValidationError: It is none of this table.
        """
        ...

    def row(self, item: Item) -> bytes:
        """Return the row of an item, a line.

        Raises:
            ValidationError: It cannot be a row, or would not be the same item when it is read.
        """
        ...

    def item(self, row: Any) -> Item:
        """Return the item of a row as the file has it.

        Raises:
            ValidationError: It is none.
        """
        ...


class StoredRows:
    """DynamoDB's own JSON, one item a line: everything is kept as it is stored."""

    header = b""

    def __init__(self, entity: Entity[Any], *, has_model: bool) -> None:
        """Make rows of a table's items.

        Args:
            entity: The table.
            has_model: Whether an item that is read has to be one that the model can read.
        """
        self.not_known = NotKnown()
        self._entity = entity
        self._has_model = has_model

    def begin(self, header: bytes) -> None:
        """Take nothing: there is no header."""

    def row(self, item: Item) -> bytes:
        """Return ``{"Item": {"id": {"S": "x"}}}``."""
        return to_json({"Item": item}) + b"\n"

    def item(self, row: Any) -> Item:
        """Return the item of such a line.

        Raises:
            ValidationError: It is none, or not one that the model can read.
        """
        match plain.from_text(row):
            case {"Item": dict(attributes), **others} if not others:
                pass
            case {"Keys": _, "Metadata": _}:
                raise ValidationError("is a change, of an incremental export: only full exports have items")
            case _:
                raise ValidationError('is no line of DynamoDB JSON, which is {"Item": {"id": {"S": "x"}, ...}}')
        with plain.explained():
            item = _checked_entries(attributes)
        if self._has_model:
            if not self._entity.is_ours(item):
                raise ValidationError("is an item of another repository of the table")
            self._entity.decode(item)
        return item


class PlainRows:
    """JSON of a table without a model: numbers, text, lists and maps."""

    header = b""

    def __init__(self, *, lossy: bool = False) -> None:
        self.not_known = NotKnown()
        self._lossy = lossy

    def begin(self, header: bytes) -> None:
        """Take nothing: there is no header."""

    def row(self, item: Item) -> bytes:
        """Return the attributes as a JSON object.

        Raises:
            ValidationError: There is a set or binary in it.
        """
        try:
            return plain.to_text({"M": item}, lossy=self._lossy).encode() + b"\n"
        except RefusedValueError as refused:
            refused.reason += "; --format dynamodb-json keeps it, --lossy writes it as a list or as base64 text"
            raise refused.as_validation_error() from None

    def item(self, row: Any) -> Item:
        """Return the item of a JSON object.

        Raises:
            ValidationError: It is none, or DynamoDB cannot hold it.
        """
        return object_of(row, Shape())


class ModelRows:
    """JSON of models: what the model has as a set, bytes, a date or a decimal is read as that."""

    header = b""

    def __init__(self, entity: Entity[Any], *, lossy: bool = False) -> None:
        self.not_known = NotKnown()
        self._entity = entity
        self._lossy = lossy
        # Without forms of storing, keys or versions: a file has what the model has. What a model forbids is refused.
        model_class, times = entity.codec.model_class, entity.codec.times
        self.codec: ModelCodec[Any] = ModelCodec.shared(model_class, times=times, keep_unknown=True)
        self._root = Shape(tags=frozenset("M"), model=self.codec.shape)
        stored = entity.codec
        stamp = () if stored.stamp is None else (stored.stamp.attribute,)
        derived = (entry.attribute for entry in stored.derived)
        self._fields = frozenset((*self.codec.shape.by_attribute, *self.codec.shape.computed))
        self._known = frozenset((*stored.shape.by_attribute, *stored.shape.computed, *derived, *stamp))

    def begin(self, header: bytes) -> None:
        """Take nothing: there is no header."""

    def attributes(self, item: Item) -> Item:
        """Return what the model has of an item.

        Raises:
            ValidationError: It is no valid model.
        """
        if not self._entity.codec.shape.open and (others := item.keys() - self._known):
            self.not_known.add(sorted(others))
        return self.codec.encode(self._entity.decode(item))

    def row(self, item: Item) -> bytes:
        """Return the model as a JSON object.

        Raises:
            ValidationError: It is no valid model, or has a set or bytes where the model does not say so.
        """
        attributes = self.attributes(item)
        try:
            return plain.to_text({"M": attributes}, self._root, lossy=self._lossy).encode() + b"\n"
        except RefusedValueError as refused:
            raise not_told(refused) from None

    def item(self, row: Any) -> Item:
        """Return the item of a JSON object that is a model.

        Raises:
            ValidationError: It is none.
        """
        return self.stored(object_of(row, self._root))

    def stored(self, attributes: Item) -> Item:
        """Return what is stored of what the model has.

        Raises:
            ValidationError: It is no valid model.
        """
        if not self.codec.shape.open and (others := attributes.keys() - self._fields):
            self.not_known.add(sorted(others))
        try:
            model = self.codec.decode(attributes)
        except ValidationError as error:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in error.errors.items())
            name = self.codec.model_class.__name__
            raise ValidationError(f"is no valid {name}: {reasons or error.message}", error.errors, error) from error
        item = self._entity.codec.encode(model)
        if (stamp := self._entity.codec.stamp) is not None:  # the model may have it as a field, and not have it set
            item[stamp.attribute] = {"N": str(stamp.version)}
        return item


def object_of(row: Any, shape: Shape) -> Item:
    """Return the attributes of a JSON object.

    Raises:
        ValidationError: It is no JSON object, or DynamoDB cannot hold a value of it.
    """
    value = plain.from_text(row)
    if not isinstance(value, dict):
        raise ValidationError(f"is no JSON object: {value!r:.80}")
    with plain.explained():
        attributes: Item = plain.to_wire(value, shape)["M"]
    return attributes


def not_told(refused: RefusedValueError) -> ValidationError:
    """Return the error of a value that would not come back as it is."""
    refused.reason += (
        ", and the model does not say that it is there; --format dynamodb-json keeps it, --lossy writes it as a list "
        "or as base64 text"
    )
    return refused.as_validation_error()


def _checked_entries(entries: Mapping[str, object]) -> Item:
    checked = {}
    for name, value in entries.items():
        try:
            checked[name] = _checked(value)
        except RefusedValueError as refused:
            raise refused.at(name) from None
    return checked


def _checked(value: object) -> Wire:
    """Return a value of DynamoDB JSON as a wire value that DynamoDB takes."""
    tag, payload = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else ("", None)
    match tag, payload:
        case "S", str():
            return _ENCODER.encode(payload)
        case "N", str():
            return {"N": plain.as_number(payload)}
        case "B", str():
            return {"B": plain.decoded(payload)}
        case ("BOOL", bool()) | ("NULL", True):
            return {tag: payload}
        case "M", dict():
            return {"M": _checked_entries(payload)}
        case "L", list():
            return {"L": [_checked(element) for element in payload]}
        case (("SS" | "NS" | "BS"), [_, *_]):
            return _checked_set(tag, payload)
    raise RefusedValueError('is no value of DynamoDB JSON, such as {"S": "x"}', value)


def _checked_set(tag: str, members: list[object]) -> Wire:
    payloads = [_checked({tag[0]: member})[tag[0]] for member in members]
    if len(set(payloads)) < len(payloads):
        raise RefusedValueError("is a set with a member twice", members)
    return {tag: payloads}
