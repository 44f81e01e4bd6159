"""DynamoDB's JSON to validated models in one pass through pydantic-core, where that is what the simple way gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from pydantic_core import SchemaError, SchemaValidator, from_json
from pydantic_core import core_schema as cs

from dynamodb_wrapper.codec import pydantic_internals
from dynamodb_wrapper.codec.core_schemas import SchemaRewriter, UnreadableInOnePassError
from dynamodb_wrapper.codec.shapes import ModelShape
from dynamodb_wrapper.codec.wire import TimeRules, Wire

T = TypeVar("T", bound=BaseModel)

Answer = dict[str, Any]
Readable = bytes | str | Mapping[str, Any]
"""JSON, or what it was parsed into; binary may be bytes in that."""


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
    """Reads models of one class, or of a union, from JSON; made once.

    Attributes:
        explanation: Whether and how it does.
        answers: Functions from the body of an answer to its content, by the member that has the item or items; they
            give None for an answer that is to be read the simple way.
    """

    def __init__(
        self,
        schema: Any,
        explanation: Explanation,
        *,
        filled: Mapping[type[BaseModel], frozenset[str]],
        told_by: Mapping[str, Wire],
        as_python: bool,
    ) -> None:
        self.explanation = explanation
        self.answers: dict[str, Callable[[bytes], Answer | None]] = {
            "Item": self._answer_with_item,
            "Attributes": self._answer_with_attributes,
            "Items": self._answer_with_items,
            "Responses": self._answer_of_batch,
        }
        self._schema = schema
        self._filled = filled
        self._told_by = told_by
        self._as_python = as_python
        self._readers: dict[str, Callable[[Readable], Any]] = {}  # made when first used: each takes memory

    @classmethod
    def of_model(
        cls, shape: ModelShape, times: TimeRules, filled: Mapping[str, object], told_by: Mapping[str, Wire]
    ) -> OnePassReader[T]:
        """Return what reads one model, its schema rewritten.

        Args:
            shape: How the model is stored.
            times: How datetimes are shown.
            filled: Fields that read as this value when their attribute is missing, though the model requires them.
            told_by: Attributes that an item must have just so, its schema version for example; an answer with another
                item is read the simple way.
        """
        rewriter = SchemaRewriter(times)
        schema: Any = None
        try:
            schema = rewriter.model(shape, filled)
        except (UnreadableInOnePassError, KeyError, TypeError, AttributeError) as reason:
            # A schema that is laid out otherwise than expected: the simple way reads it all the same.
            explanation = Explanation(in_one_pass=False, reason=str(reason))
        else:
            explanation = Explanation(in_one_pass=True, read_simply=rewriter.reasons)
        by_model: dict[type[BaseModel], frozenset[str]] = {shape.cls: frozenset(filled)} if filled else {}
        return cls(schema, explanation, filled=by_model, told_by=told_by, as_python=rewriter.as_python)

    @classmethod
    def of_union(cls, attribute: str, variants: Sequence[tuple[Wire, OnePassReader[Any]]]) -> OnePassReader[T]:
        """Return what reads several models, told apart by what an attribute says.

        Args:
            attribute: Its name.
            variants: What it says, and what reads such items.
        """
        readers = [reader for _, reader in variants]
        tags = {tag for wire, _ in variants for tag in wire}
        unread = [reader.explanation for reader in readers if not reader.explanation.in_one_pass]
        schema: Any = None
        if unread:
            explanation = unread[0]
        elif len(tags) > 1:
            explanation = Explanation(in_one_pass=False, reason=f"{attribute!r} may be a text or a number")
        else:
            definitions: dict[str, Any] = {}
            choices = {
                str(*wire.values()): _without_definitions(reader._schema, definitions) for wire, reader in variants
            }
            schema = _told_apart(attribute, tags.pop(), choices)
            schema = cs.definitions_schema(schema, [*definitions.values()]) if definitions else schema
            read_simply = {name: why for reader in readers for name, why in reader.explanation.read_simply.items()}
            explanation = Explanation(in_one_pass=True, read_simply=read_simply)
        return cls(
            schema,
            explanation,
            filled={model: names for reader in readers for model, names in reader._filled.items()},
            told_by=readers[0]._told_by,
            as_python=any(reader._as_python for reader in readers),
        )

    def compile(self) -> None:
        """Make now what the first item and the first page would wait for."""
        self.answers["Item"](b"{}")
        self.answers["Items"](b'{"Items":[],"Count":0}')

    def item(self, item: Readable) -> T | None:
        """Return the model of an item, of JSON or parsed already; None when it is to be read the simple way."""
        model: T | None = self._read(_as_it_is, item)
        if model is not None:
            self._complete(model)
        return model

    def _answer_with_item(self, body: bytes) -> Answer | None:
        answer: Answer | None = self._read(_with_item, body)
        if answer and "Item" in answer:
            self._complete(answer["Item"])
        return answer

    def _answer_with_attributes(self, body: bytes) -> Answer | None:
        answer: Answer | None = self._read(_with_attributes, body)
        if answer is not None:
            self._complete(answer["Attributes"])
        return answer

    def _answer_of_batch(self, body: bytes) -> Answer | None:
        answer: Answer | None = self._read(_of_batch, body)
        if answer is not None and self._filled:
            for models in answer["Responses"].values():
                for model in models:
                    self._complete(model)
        return answer

    def _answer_with_items(self, body: bytes) -> Answer | None:
        answer: Answer | None = self._read(_page, body)
        if answer is not None and len(answer["Items"]) != answer["Count"]:
            return None
        if answer is not None and self._filled:
            for model in answer["Items"]:
                self._complete(model)
        return answer

    def _read(self, within: Callable[[Any], Any], answer: Readable) -> Any:
        """Read JSON by the schema within another one; None where it does not fit, or there is none."""
        read = self._readers.get(within.__name__)
        if read is None:
            read = self._readers[within.__name__] = self._new_reader(within)
        return read(answer)

    def _new_reader(self, within: Callable[[Any], Any]) -> Callable[[Readable], Any]:
        try:
            if self._schema is None:
                return _nothing
            return _reader_of(within(_told(self._told_by, self._schema)), as_python=self._as_python)
        except SchemaError as reason:  # in this version of Pydantic
            self.explanation = Explanation(in_one_pass=False, reason=str(reason))
            return _nothing

    def _complete(self, model: T) -> None:
        if filled := self._filled.get(type(model)):
            model.__pydantic_fields_set__.update(filled)


def _reader_of(schema: Any, *, as_python: bool) -> Callable[[Readable], Any]:
    """Return a function that reads JSON by a schema, and gives None where it does not fit."""
    validator: SchemaValidator = pydantic_internals.validator_of(schema)

    def read(answer: Readable) -> Any:
        try:
            if not isinstance(answer, bytes | str):
                return validator.validate_python(answer)
            return validator.validate_python(from_json(answer)) if as_python else validator.validate_json(answer)
        except Exception:  # noqa: BLE001 - of a validator of the model, perhaps: the simple way raises it again, in order
            return None

    return read


def _nothing(_: Readable) -> None:
    return None


def _told(told_by: Mapping[str, Wire], schema: Any) -> Any:
    """Return a schema that takes items only that have these attributes just so."""
    for attribute, wire in told_by.items():
        ((tag, payload),) = wire.items()
        schema = _told_apart(attribute, tag, {str(payload): schema})
    return schema


def _told_apart(attribute: str, tag: str, choices: dict[Any, Any]) -> Any:
    """Return a schema that takes an item by what an attribute says."""
    place: list[list[str | int]] = [[attribute, tag]]
    return cs.tagged_union_schema(choices, place)


def _without_definitions(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema for beside others: what it refers to is added to what they refer to."""
    if schema["type"] != "definitions":
        return schema
    definitions |= {entry["ref"]: entry for entry in schema["definitions"]}
    return schema["schema"]


def _as_it_is(schema: Any) -> Any:
    return schema


def _with_item(schema: Any) -> Any:
    return _answer(Item=schema)


def _with_attributes(schema: Any) -> Any:
    answer = _answer()
    answer["fields"]["Attributes"] = cs.typed_dict_field(schema)
    return answer


def _of_batch(schema: Any) -> Any:
    answer = _answer()
    answer["fields"]["Responses"] = cs.typed_dict_field(cs.dict_schema(cs.str_schema(), cs.list_schema(schema)))
    left = cs.dict_schema(cs.str_schema(), cs.dict_schema(cs.str_schema(), cs.any_schema()))
    answer["fields"]["UnprocessedKeys"] = cs.typed_dict_field(left, required=False)
    return answer


def _answer(**members: Any) -> Any:
    """Return the schema of an answer that may have some members, and what it consumed."""
    return cs.typed_dict_schema(
        {
            **{name: cs.typed_dict_field(schema, required=False) for name, schema in members.items()},
            "ConsumedCapacity": cs.typed_dict_field(cs.any_schema(), required=False),
        },
        extra_behavior="ignore",
    )


def _page(schema: Any) -> Any:
    """Return the schema of a page; one that ends with a key of bytes is left to the lane, which knows their form."""
    part = cs.typed_dict_schema(
        {tag: cs.typed_dict_field(cs.str_schema(), required=False) for tag in ("S", "N")}, extra_behavior="forbid"
    )
    answer = _answer(LastEvaluatedKey=cs.dict_schema(cs.str_schema(), part))
    answer["fields"]["Items"] = cs.typed_dict_field(cs.list_schema(schema))
    answer["fields"]["Count"] = cs.typed_dict_field(cs.int_schema(strict=True))
    answer["fields"]["ScannedCount"] = cs.typed_dict_field(cs.int_schema(strict=True), required=False)
    return answer
