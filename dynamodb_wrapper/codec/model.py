"""The codec of one model: made once, then model to item and item to model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Literal, TypeVar
from weakref import WeakValueDictionary

import pydantic
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from dynamodb_wrapper.codec import pydantic_internals
from dynamodb_wrapper.codec.absence import Absent
from dynamodb_wrapper.codec.derived import Always, Derived
from dynamodb_wrapper.codec.encoders import NOT_AS_DECLARED, Encoders
from dynamodb_wrapper.codec.evolution import Stamp
from dynamodb_wrapper.codec.generated import OtherwiseError, Written
from dynamodb_wrapper.codec.one_pass import Explanation, OnePassReader
from dynamodb_wrapper.codec.partial import PartialItem
from dynamodb_wrapper.codec.places import ItemPlaces
from dynamodb_wrapper.codec.shapes import ANY, Member
from dynamodb_wrapper.codec.stored import StoredForm
from dynamodb_wrapper.codec.targets import invalid
from dynamodb_wrapper.codec.templates import Template
from dynamodb_wrapper.codec.wire import Item, RefusedValueError, TimeRules, Wire
from dynamodb_wrapper.codec.wire_json import encoded_to_json, from_json
from dynamodb_wrapper.exceptions import StoredItemError, ValidationError

T = TypeVar("T", bound=BaseModel)


class ModelCodec(ItemPlaces[T]):
    """Turns models of one class into items and back.

    Attributes:
        classes: The classes of models that it takes.
        fixed: Fields that say which class an item is, where there are several.

    Args:
        model_class: The Pydantic model.
        times: How datetimes are stored and shown.
        stored: Fields kept in a form of their own, by Python name.
        derived: Attributes computed on every write.
        keep_unknown: Hand stored attributes that are no field to a model with ``extra="forbid"`` too, so that it
            refuses them; otherwise it does not see them.
        stamp: The schema version that items are written with, if they have one.
    """

    def __init__(
        self,
        model_class: type[T],
        *,
        times: TimeRules | None = None,
        stored: Mapping[str, StoredForm] | None = None,
        derived: Sequence[Derived | Template] = (),
        keep_unknown: bool = False,
        stamp: Stamp | None = None,
    ) -> None:
        super().__init__(
            model_class, times or TimeRules(), stored or {}, derived, keep_unknown=keep_unknown, stamp=stamp
        )
        self.classes: tuple[type[BaseModel], ...] = (model_class,)
        self.fixed: tuple[str, ...] = ()
        self._absent = {name: Absent.of(member) for name, member in self.shape.by_name.items()}
        self._filled = {
            member.attribute: (member, self._absent[name])
            for name, member in self.shape.by_name.items()
            if member.info.is_required() and self._absent[name] is not Absent.OTHER
        }
        self._made_from = model_class.__pydantic_core_schema__
        self._zoned: dict[TimeRules, ModelCodec[T]] = {}

    @classmethod
    def shared(
        cls,
        model_class: type[T],
        *,
        times: TimeRules | None = None,
        stored: Mapping[str, StoredForm] | None = None,
        derived: Sequence[Derived | Template] = (),
        keep_unknown: bool = False,
        stamp: Stamp | None = None,
    ) -> ModelCodec[T]:
        """Return such a codec, the same one to everybody who asks alike as long as somebody has it.

        A codec takes about 0.1 MB and a millisecond to make, and many repositories may have one model.
        """
        times, stored = times or TimeRules(), stored or {}
        made: type[ModelCodec[T]] = getattr(model_class, "__dynamodb_codec__", cls)
        pydantic_internals.complete(model_class)
        # A model that is built anew has another schema. The codec keeps its own, so that no other can get its id.
        schema = id(model_class.__pydantic_core_schema__)
        asked = (model_class, schema, times, tuple(stored.items()), tuple(derived), keep_unknown, stamp)
        try:
            codec: ModelCodec[Any] | None = _shared.get(asked)
        except TypeError:  # a stored form that has no hash
            return made(
                model_class, times=times, stored=stored, derived=derived, keep_unknown=keep_unknown, stamp=stamp
            )
        if codec is None:
            codec = made(
                model_class, times=times, stored=stored, derived=derived, keep_unknown=keep_unknown, stamp=stamp
            )
            _shared[asked] = codec
        return codec

    # --- whole models -------------------------------------------------------------------------------------------

    def made(self, values: Mapping[str, object]) -> T:
        """Return a model of these field values.

        Raises:
            ValidationError: A value is wrong or missing, or (as the model's ``extra`` says) a field unknown.
        """
        try:
            return self.model_class.model_validate(dict(values))
        except pydantic.ValidationError as error:
            raise invalid(f"this is no valid {self.model_class.__name__}", error) from error

    def encode(self, model: T) -> Item:
        """Return the item of a model.

        A field that is None is left out (unless reading a missing attribute would give something else than None: then
        NULL is stored); so is an empty set whose field would read as one.

        Raises:
            ValidationError: The model is of another class, or has a value DynamoDB cannot hold; names field and value.
        """
        if model.__class__ is self.model_class and (encode := self._encoders.to_item) is not None:
            try:
                item = encode(model.__dict__)
                self._add_derived(item, model)
            except NOT_AS_DECLARED:
                pass  # the simple way writes it, or says what is wrong with it
            else:
                return item
        return self._encoded_simply(model)

    def encode_json(self, model: T) -> bytes:
        """Return the item of a model as the JSON the protocol carries."""
        written = self.encode_at_once(model, ())
        return encoded_to_json(self.encode(model)) if written is None else written[1]

    def encode_at_once(self, model: T, attributes: tuple[str, ...]) -> tuple[Item, bytes] | None:
        """Return some attributes of a model's item, and the whole of it as JSON, without making the rest of it.

        None for a model that cannot be written so: `encode` writes it, or says what is wrong with it.
        """
        if model.__class__ is not self.model_class or self.derived:
            return None
        to_part, to_json = self._encoders.to_part(attributes), self._encoders.to_json
        if to_part is None or to_json is None:
            return None
        try:
            return to_part(model.__dict__), to_json(model.__dict__).encode()
        except NOT_AS_DECLARED:
            return None

    def _encoded_simply(self, model: T) -> Item:
        if not isinstance(model, self.model_class):
            raise ValidationError(f"expected a {self.model_class.__name__}, got {type(model).__name__}: {model!r:.80}")
        try:
            try:
                return self._encoded(model, self._dumped(model, warnings="error"))
            except PydanticSerializationError:
                # A field holds what its annotation does not say: assigned past validation, or harmless, like an int for
                # a Decimal. What could not be read back is not written.
                item = self._encoded(model, self._dumped(model, warnings=False))
                self._check_readable(item)
                return item
        except (RecursionError, ValueError) as error:
            raise self._unwritable(error) from error

    def _check_readable(self, item: Item) -> None:
        try:
            self.decode(item)
        except ValidationError as error:
            error.message = (
                f"this {self.model_class.__name__} could not be read again, so it is not written: "
                + "; ".join(f"{field}: {reason}" for field, reason in error.errors.items())
            )
            raise

    def _dumped(self, model: T, *, warnings: Literal["error"] | bool) -> object:
        try:
            return model.model_dump(by_alias=True, warnings=warnings)
        except (RecursionError, TypeError, ValueError) as error:
            if warnings and isinstance(error, PydanticSerializationError):
                raise
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> ValidationError:
        reason = "contains itself or is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return ValidationError(f"a {self.model_class.__name__} cannot be written: {reason}", original_error=error)

    def _encoded(self, model: T, dumped: object) -> Item:
        if not isinstance(dumped, dict):
            raise ValidationError(f"a {self.model_class.__name__} is written as {dumped!r:.80}, and an item is a dict")
        item: Item = {}
        for attribute, value in dumped.items():
            member = self.shape.by_attribute.get(attribute)
            if member is not None and self.is_left_out(member.name, value):
                continue
            if value is None and attribute in self.shape.computed:
                continue
            try:
                if member is not None:
                    value = self._in_stored_form(member, value)
                item[attribute] = self._encoder.encode(value)
            except RefusedValueError as refused:
                raise refused.at(attribute).as_validation_error(owner=self.model_class.__name__) from None
        self._add_derived(item, model)
        return item

    def _add_derived(self, item: Item, model: T) -> None:
        for entry, parts in self._derived_parts:
            if isinstance(entry, Template):
                seen = {name: getattr(model, name) for name in entry.when_fields}
                wire = self._key_text(entry, [item.get(attribute) for attribute in parts], seen)
            else:
                wire = self.derive(entry, [getattr(model, name) for name in entry.fields])
            if wire is not None:
                item[entry.attribute] = wire

    @cached_property
    def _derived_parts(self) -> list[tuple[Derived | Template, tuple[str, ...]]]:
        """What is derived, each with the stored names of what a template is made of."""
        return [
            (entry, tuple(map(self.attribute, entry.names)) if isinstance(entry, Template) else ())
            for entry in self.derived
        ]

    @cached_property
    def _encoders(self) -> Encoders:
        fields = [
            Written(
                member.name,
                member.attribute,
                self._absent[member.name],
                partial(self._encode_simply, member),
                has_own_form=member.name in self._stored,
            )
            for member in self.shape.by_name.values()
        ]
        return Encoders(self.model_class, self.times, fields)

    def _encode_simply(self, member: Member, value: object) -> Wire:
        dumped = pydantic_internals.dump_field(self.model_class, member.name, value, warnings="error")
        if self.is_left_out(member.name, dumped):  # by its serializer's doing: the simple way leaves it out
            raise OtherwiseError
        return self._encoder.encode(self._in_stored_form(member, dumped))

    def decode(self, item: Mapping[str, Wire]) -> T:
        """Return the model of an item, validated by the model itself.

        Raises:
            StoredItemError: The item does not validate; ``errors`` says what, by field.
        """
        model = self._one_pass.item(item)
        return self.decoded_simply(item) if model is None else model

    def decoded_simply(self, item: Mapping[str, Wire]) -> T:
        """Return what `decode` does, without the pass through pydantic-core that is to give the same, and faster.

        Raises:
            StoredItemError: As `decode` does.
        """
        if self._derived_attributes:
            item = {name: wire for name, wire in item.items() if name not in self._derived_attributes}
        try:
            data = self.shape.read(item)
        except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
            reason = f"it has an attribute value that DynamoDB does not send ({error})"
            raise StoredItemError(f"a stored item is no valid {self.model_class.__name__}: {reason}") from error
        for attribute, (member, value) in self._filled.items():
            if attribute not in item:
                member.place(data, None if value is Absent.NONE else member.shape.read({"L": []}))
        try:
            # Not strictly: what DynamoDB has no type for is stored as text.
            return self.model_class.model_validate(data, strict=False)
        except pydantic.ValidationError as error:
            message = f"a stored item is no valid {self.model_class.__name__}"
            raise invalid(message, error, kind=StoredItemError) from error

    def decode_json(self, text: bytes | str) -> T:
        """Return the model of an item in the protocol's JSON, as `decode` would; in one pass where that is the same."""
        model = self._one_pass.item(text)
        return self.decoded_simply(from_json(text)) if model is None else model

    def answer_reader(
        self, member: Literal["Item", "Items", "Attributes", "Responses"]
    ) -> Callable[[bytes], dict[str, Any] | None] | None:
        """Return a function from the body of an answer to its content, with what it has in that member as models.

        It gives None for an answer that is to be parsed and read the simple way. None, if this is so for all answers.
        """
        return self._one_pass.answers[member] if self._one_pass.explanation.in_one_pass else None

    def compile(self) -> None:
        """Make now what else the first item written, and the first one and the first page read, would wait for."""
        self._encoders.compile()
        self._one_pass.compile()

    def explain(self) -> Explanation:
        """Return how items are read, and what is read the simple way and why."""
        return self._one_pass.explanation

    @cached_property
    def _one_pass(self) -> OnePassReader[T]:
        filled: dict[str, object] = {
            member.name: None if value is Absent.NONE else set() for member, value in self._filled.values()
        }
        told_by: dict[str, Wire] = {} if self.stamp is None else {self.stamp.attribute: {"N": str(self.stamp.version)}}
        told_by |= {
            entry.attribute: {"S": entry.compute.value}
            for entry in self.derived
            if isinstance(entry, Derived) and isinstance(entry.compute, Always)
        }
        return OnePassReader.of_model(self.shape, self.times, filled, told_by)

    def decode_partial(self, item: Mapping[str, Wire], names: Iterable[str] | None = None) -> PartialItem:
        """Return the chosen attributes of an item, typed as the model's fields.

        Args:
            item: The attributes that were read.
            names: The Python names of whole fields asked for (they are validated); None for all that are there.
                Other attributes are given as they are.

        Raises:
            StoredItemError: An attribute does not validate.
        """
        whole = set(self.shape.by_name if names is None else names)
        values: dict[str, Any] = {}
        for attribute, wire in item.items():
            member = self.shape.by_attribute.get(attribute)
            if member is None:
                if attribute not in self._derived_attributes:
                    values[attribute] = ANY.read(wire)
            elif member.name in whole:
                values[member.name] = self._validated(member, member.shape.read(wire))
            else:
                values[member.name] = member.shape.read(wire)
        return PartialItem(values)

    def in_zones(self, *, assumed: str | None = None, shown: str | None = None) -> ModelCodec[T]:
        """Return this codec with other zones: naive datetimes taken to be in one, results shown in another."""
        times = TimeRules.of(
            assumed=str(self.times.assumed) if assumed is None else assumed,
            stored_in_utc=True,
            shown=str(self.times.shown) if shown is None else shown,
        )
        times = replace(times, stored=self.times.stored)
        codec = self._zoned.get(times)
        if codec is None:
            codec = self._zoned[times] = type(self)(
                self.model_class,
                times=times,
                stored=self._stored,
                derived=self._declared,
                keep_unknown=self._keep_unknown,
                stamp=self.stamp,
            )
        return codec

    # --- single fields and places -------------------------------------------------------------------------------

    def is_left_out(self, name: str, value: object) -> bool:
        """Whether that value of that field is stored by leaving the attribute out."""
        absent = self._absent[name]
        if value is None:
            return absent is Absent.NONE
        return absent is Absent.EMPTY_SET and isinstance(value, set | frozenset) and not value

    def may_be_absent(self, name: str) -> bool:
        """Whether an item without that field's attribute still reads as a valid model."""
        return self._absent[name] is not Absent.OTHER or not self.shape.by_name[name].info.is_required()


_shared: WeakValueDictionary[tuple[object, ...], ModelCodec[Any]] = WeakValueDictionary()


def explain(model_class: type[BaseModel]) -> Explanation:
    """Return how items of a model are read: in one pass through pydantic-core, or the simple way, and why.

    A repository may store fields in forms of its own; what it does with them, ``explain()`` of its codec tells.
    """
    return ModelCodec.shared(model_class).explain()
