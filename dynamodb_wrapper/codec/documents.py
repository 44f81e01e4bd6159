"""Plain Python values to items and back, where there is no model: what the document-level client speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dynamodb_wrapper.codec.shapes import Shape, Step
from dynamodb_wrapper.codec.targets import Target, path_label, split_path
from dynamodb_wrapper.codec.wire import Item, RefusedValueError, TimeRules, Wire, WireEncoder, read_any
from dynamodb_wrapper.exceptions import ExpressionError, ValidationError

_ANY = Shape()
_KEY_TAGS = {"S", "N", "B"}


class DocumentCodec:
    """Encodes plain values, reads them back, and resolves the paths of expressions about them.

    Text, numbers (float as its shortest decimal), bytes, booleans, None, lists, dicts and sets keep their DynamoDB
    type; a tuple is a list. Other types that models may have are stored as models store them (a datetime as UTC text),
    and come back as what is stored. Nothing tells a reader what an empty or mixed set was, so they are refused.
    """

    def __init__(self, times: TimeRules) -> None:
        self._encoder = _DocumentEncoder(times)

    def item(self, place: str, document: object) -> Item:
        """Return the wire form of a dict of attributes.

        Args:
            place: Where it stands in the request, for errors.
            document: The dict; it is not changed, and nothing of it is kept.

        Raises:
            ValidationError: It is no dict, or a value in it cannot be stored; names the place.
        """
        if not isinstance(document, Mapping):
            raise ValidationError(f"{place} is {document!r:.80}: must be a dict of attributes", {place: "not a dict"})
        encoded: Item = self.value(place, document)["M"]
        return encoded

    def key(self, place: str, document: object) -> Item:
        """Return the wire form of a primary key.

        Raises:
            ValidationError: It is no dict, it is empty, or a part is not text, a number or bytes, or is empty.
        """
        key = self.item(place, document)
        if not key:
            raise ValidationError(f"{place} is empty: must have the attributes of the primary key", {place: "empty"})
        self.check_key(place, key)
        return key

    def check_key(self, place: str, key: Item) -> None:
        """Refuse a wire key that DynamoDB would refuse.

        Raises:
            ValidationError: A part is not text, a number or bytes, or is empty.
        """
        for name, wire in key.items():
            ((tag, payload),) = wire.items()
            problem = ""
            if tag not in _KEY_TAGS:
                problem = 'must be text, a number or bytes, as a plain value: {"id": "x"}, not {"id": {"S": "x"}}'
            elif not payload:
                problem = "is empty; DynamoDB allows no empty key"
            if problem:
                raise ValidationError(
                    f"{place}.{name} = {read_any(wire)!r:.80} {problem}", {f"{place}.{name}": problem}
                )

    def value(self, place: str, value: object) -> Wire:
        """Return the wire form of one value.

        Raises:
            ValidationError: It cannot be stored; names the place.
        """
        try:
            return self._encoder.encode(value)
        except RefusedValueError as refused:
            raise refused.at(place).as_validation_error() from None
        except RecursionError as error:
            reason = "contains itself or is nested too deeply"
            raise ValidationError(f"{place} {reason}", {place: reason}, error) from error

    def read(self, item: Mapping[str, Wire]) -> dict[str, Any]:
        """Return an item as plain values: whole numbers as int, others as Decimal, binary as bytes."""
        return {name: read_any(wire) for name, wire in item.items()}

    def target(self, path: Sequence[Step]) -> Target:
        """Return the place a path speaks of; in a first name, dots and brackets are steps, as boto3 has it.

        Raises:
            ExpressionError: It is no path.
        """
        first = path[0]
        if not isinstance(first, str):
            raise ExpressionError(f"a path starts with an attribute name, not {first!r}")
        names = (*split_path(first), *path[1:])
        encode = self._encoder.encode
        return Target(path_label(names), names, _ANY, encode, encode)

    def element_target(self, target: Target) -> Target:
        """Return the place of an element of the list or set at ``target``."""
        return Target(f"an element of {target.label}", target.names, _ANY, target.raw, target.store)


class _DocumentEncoder(WireEncoder):
    """Encodes what it can give back; models know more of their fields, and may store more."""

    def key_text(self, key: object) -> str:
        if not isinstance(key, str):
            raise RefusedValueError(f"has a key of type {type(key).__name__}; names of attributes are text", key)
        return super().key_text(key)

    def _encoder_for(self, kind: type) -> Callable[[Any], Wire]:
        if kind.__module__ == "boto3.dynamodb.types":  # Binary: what boto3's Table reads bytes as
            return lambda value: {"B": bytes(value)}
        return super()._encoder_for(kind)

    def _set(self, value: set[object] | frozenset[object]) -> Wire:
        wire = super()._set(value)
        if "L" in wire:
            reason = "is empty: DynamoDB has no empty set, leave the attribute out" if not value else _MIXED
            raise RefusedValueError(reason, value)
        return wire


_MIXED = "is no set of DynamoDB: its members must be all text, all numbers or all bytes"
