"""The generated encoders of one model, each made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec.generated import Encoder, EncoderGenerator, OtherwiseError, Written
from dynamodb_wrapper.codec.generated_json import JsonEncoder, JsonGenerator
from dynamodb_wrapper.codec.wire import RefusedValueError, TimeRules

E = TypeVar("E")

NOT_AS_DECLARED = (OtherwiseError, RefusedValueError, ValueError, TypeError, KeyError, RecursionError)
"""What encoders raise for a model that is to be encoded the simple way, which writes it or says what is wrong."""


class Encoders:
    """Functions from a model's ``__dict__``; None where such models have to be encoded the simple way as a whole."""

    def __init__(self, model_class: type[BaseModel], times: TimeRules, fields: Sequence[Written]) -> None:
        self._model_class = model_class
        self._times = times
        self._fields = fields
        self._parts: dict[tuple[str, ...], Encoder | None] = {}

    @cached_property
    def to_item(self) -> Encoder | None:
        """To the item."""
        return _made(lambda: EncoderGenerator(self._times).encoder(self._model_class, self._fields))

    @cached_property
    def to_json(self) -> JsonEncoder | None:
        """To the item's JSON, in which half of a surrogate pair is no error yet."""
        return _made(lambda: JsonGenerator(self._times).json_encoder(self._model_class, self._fields))

    def compile(self) -> None:
        """Make now what the first model that is written would wait for."""
        _ = self.to_item, self.to_json

    def to_part(self, attributes: tuple[str, ...]) -> Encoder | None:
        """Return what leads to some attributes of the item."""
        if attributes not in self._parts:
            fields = [field for field in self._fields if field.attribute in attributes]
            self._parts[attributes] = _made(lambda: EncoderGenerator(self._times).encoder(self._model_class, fields))
        return self._parts[attributes]


def _made(make: Callable[[], E]) -> E | None:
    try:
        return make()
    except (OtherwiseError, KeyError, TypeError, AttributeError):
        return None  # a schema that is laid out otherwise than expected
