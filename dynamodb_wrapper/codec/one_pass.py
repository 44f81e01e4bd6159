"""DynamoDB's JSON to validated models in one pass through pydantic-core, where that is what the simple way gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from pydantic_core import SchemaError, SchemaValidator

from dynamodb_wrapper.codec import pydantic_internals
from dynamodb_wrapper.codec.core_schemas import SchemaRewriter, UnreadableInOnePassError
from dynamodb_wrapper.codec.shapes import ModelShape
from dynamodb_wrapper.codec.wire import TimeRules

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Explanation:
    """How items of a model are read.

    Attributes:
        in_one_pass: Whether pydantic-core reads DynamoDB's JSON itself. If not, items are parsed, read by type tag, and
            then validated: the simple way, which every item that does not validate in one pass is read in too.
        reason: Why not; None in one pass.
        read_simply: Fields that are read the simple way inside the pass, by dotted name, with the reason.
    """

    in_one_pass: bool
    reason: str | None = None
    read_simply: Mapping[str, str] = field(default_factory=dict)


class OnePassReader(Generic[T]):
    """Reads models of one class from JSON; made once.

    Attributes:
        explanation: Whether and how it does.
    """

    def __init__(self, shape: ModelShape, times: TimeRules, filled: Mapping[str, object]) -> None:
        """Rewrite the model's schema.

        Args:
            shape: How the model is stored.
            times: How datetimes are shown.
            filled: Fields that read as this value when their attribute is missing, though the model requires them.
        """
        self._filled = frozenset(filled)
        self._schema: Any = None
        self._validators: dict[str, Callable[[bytes | str], Any]] = {}
        rewriter = SchemaRewriter(times)
        try:
            self._schema = rewriter.model(shape, filled)
            self._as_python = rewriter.as_python
            self._validator_of("", self._schema)
        except (UnreadableInOnePassError, SchemaError, KeyError, TypeError, AttributeError) as reason:
            # A schema that is laid out otherwise than expected: the simple way reads it all the same.
            self._schema = None
            self.explanation = Explanation(in_one_pass=False, reason=str(reason))
        else:
            self.explanation = Explanation(in_one_pass=True, read_simply=rewriter.reasons)

    def item(self, text: bytes | str) -> T | None:
        """Return the model of an item; None when it is to be read the simple way."""
        model: T | None = self._read("", text)
        if model is not None and self._filled:
            model.__pydantic_fields_set__.update(self._filled)
        return model

    def _read(self, member: str, text: bytes | str) -> Any:
        if self._schema is None:
            return None
        try:
            return self._validators[member](text)
        except Exception:  # noqa: BLE001 - whatever went wrong, in a validator of the model too, the simple way says it right
            return None

    def _validator_of(self, member: str, schema: Any) -> None:
        validator: SchemaValidator = pydantic_internals.validator_of(schema)
        self._validators[member] = (
            (lambda text: validator.validate_python(json.loads(text))) if self._as_python else validator.validate_json
        )
