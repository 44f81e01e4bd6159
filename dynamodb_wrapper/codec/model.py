"""The codec of one model: made once, then model to item and item to model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Generic, Literal, TypeVar

import pydantic
from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError

from dynamodb_wrapper.codec import pydantic_internals
from dynamodb_wrapper.codec.compiler import ShapeCompiler
from dynamodb_wrapper.codec.derived import Derived
from dynamodb_wrapper.codec.generated import Encoder, EncoderGenerator, OtherwiseError, Written
from dynamodb_wrapper.codec.one_pass import Explanation, OnePassReader
from dynamodb_wrapper.codec.partial import PartialItem
from dynamodb_wrapper.codec.shapes import ANY, Member, ModelShape, Shape, Step
from dynamodb_wrapper.codec.stored import StoredForm
from dynamodb_wrapper.codec.targets import Target, Validate, invalid, path_label, split_path
from dynamodb_wrapper.codec.wire import Item, RefusedValueError, TimeRules, Wire, WireEncoder
from dynamodb_wrapper.codec.wire_json import from_json, to_json
from dynamodb_wrapper.exceptions import ExpressionError, ValidationError

T = TypeVar("T", bound=BaseModel)


_NULL: Wire = {"NULL": True}
_NO_VALUE = object()
_EMPTY_SET = object()
_LEFT_OUT: dict[object, Any] = {None: "none", _EMPTY_SET: "empty set"}


class ModelCodec(Generic[T]):
    """Turns models of one class into items and back.

    Args:
        model_class: The Pydantic model.
        times: How datetimes are stored and shown.
        stored: Fields kept in a form of their own, by Python name.
        derived: Attributes computed on every write.
        keep_unknown: Hand stored attributes that are no field to a model with ``extra="forbid"`` too, so that it
            refuses them; otherwise it does not see them.
    """

    def __init__(
        self,
        model_class: type[T],
        *,
        times: TimeRules | None = None,
        stored: Mapping[str, StoredForm] | None = None,
        derived: Sequence[Derived] = (),
        keep_unknown: bool = False,
    ) -> None:
        self.model_class = model_class
        self.times = times or TimeRules()
        self.derived = tuple(derived)
        self._stored = dict(stored or {})
        self._keep_unknown = keep_unknown
        self._encoder = WireEncoder(self.times)
        self.shape = self._root_shape(ShapeCompiler(self.times, keep_unknown=keep_unknown))
        self._absent = {name: _absent(member) for name, member in self.shape.by_name.items()}
        self._filled = {
            member.attribute: (member, self._absent[name])
            for name, member in self.shape.by_name.items()
            if member.info.is_required() and self._absent[name] is not _NO_VALUE
        }
        self._derived_attributes = frozenset(entry.attribute for entry in self.derived)
        self._validators: dict[tuple[type, str], Validate] = {}
        self._adapters: dict[int, tuple[Shape, TypeAdapter[Any]]] = {}
        self._zoned: dict[TimeRules, ModelCodec[T]] = {}

    def _root_shape(self, compiler: ShapeCompiler) -> ModelShape:
        shape = compiler.model(self.model_class)
        root = ModelShape(shape.cls, shape.open, shape.forbids, shape.computed)
        for name, member in shape.by_name.items():
            form = self._stored.get(name)
            own = member if form is None else replace(member, shape=form.shape(member, self.times))
            root.by_name[name] = root.by_attribute[own.attribute] = own
        return root

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
        if model.__class__ is self.model_class and self._generated is not None:
            try:
                item = self._generated(model.__dict__)
                for entry in self.derived:
                    self._add_derived(item, entry, model)
            except (OtherwiseError, RefusedValueError, ValueError, TypeError, KeyError, RecursionError):
                pass  # the simple way writes it, or says what is wrong with it
            else:
                return item
        return self._encoded_simply(model)

    def _encoded_simply(self, model: T) -> Item:
        if not isinstance(model, self.model_class):
            raise ValidationError(f"expected a {self.model_class.__name__}, got {type(model).__name__}: {model!r:.80}")
        try:
            return self._encoded(model, self._dumped(model, warnings="error"))
        except PydanticSerializationError:
            # A field holds what its annotation does not say: assigned past validation, or harmless, like an int for a
            # Decimal. What could not be read back is not written.
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
        for entry in self.derived:
            self._add_derived(item, entry, model)
        return item

    def _add_derived(self, item: Item, entry: Derived, model: T) -> None:
        wire = self.derive(entry, [getattr(model, name) for name in entry.fields])
        if wire is not None:
            item[entry.attribute] = wire

    @cached_property
    def _generated(self) -> Encoder | None:
        """The generated encoder; None for a model that is encoded the simple way as a whole."""
        fields = [
            Written(
                member.name,
                member.attribute,
                _LEFT_OUT.get(self._absent[member.name], "nothing"),
                partial(self._encode_simply, member),
                has_own_form=member.name in self._stored,
            )
            for member in self.shape.by_name.values()
        ]
        try:
            return EncoderGenerator(self.times).encoder(self.model_class, fields)
        except (OtherwiseError, KeyError, TypeError, AttributeError):
            return None  # a schema that is laid out otherwise than expected

    def _encode_simply(self, member: Member, value: object) -> Wire:
        dumped = pydantic_internals.dump_field(self.model_class, member.name, value, warnings="error")
        return self._encoder.encode(self._in_stored_form(member, dumped))

    def decode(self, item: Mapping[str, Wire]) -> T:
        """Return the model of an item, validated by the model itself.

        Raises:
            ValidationError: The item does not validate; ``errors`` says what, by field.
        """
        if self._derived_attributes:
            item = {name: wire for name, wire in item.items() if name not in self._derived_attributes}
        data = self.shape.read(item)
        for attribute, (member, value) in self._filled.items():
            if attribute not in item:
                member.place(data, None if value is None else member.shape.read({"L": []}))
        try:
            # Not strictly: what DynamoDB has no type for is stored as text.
            return self.model_class.model_validate(data, strict=False)
        except pydantic.ValidationError as error:
            raise invalid(f"a stored item is no valid {self.model_class.__name__}", error) from error

    def encode_json(self, model: T) -> bytes:
        """Return the item of a model as the JSON the protocol carries."""
        return to_json(self.encode(model))

    def decode_json(self, text: bytes | str) -> T:
        """Return the model of an item in the protocol's JSON, as `decode` would; in one pass where that is the same."""
        model = self._one_pass.item(text)
        return self.decode(from_json(text)) if model is None else model

    def explain(self) -> Explanation:
        """Return how items are read, and what is read the simple way and why."""
        return self._one_pass.explanation

    @cached_property
    def _one_pass(self) -> OnePassReader[T]:
        filled: dict[str, object] = {
            member.name: None if value is None else set() for member, value in self._filled.values()
        }
        return OnePassReader(self.shape, self.times, filled)

    def decode_partial(self, item: Mapping[str, Wire], names: Iterable[str] | None = None) -> PartialItem:
        """Return the chosen attributes of an item, typed as the model's fields.

        Args:
            item: The attributes that were read.
            names: The Python names of whole fields asked for (they are validated); None for all that are there.
                Other attributes are given as they are.

        Raises:
            ValidationError: An attribute does not validate.
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
            codec = self._zoned[times] = ModelCodec(
                self.model_class,
                times=times,
                stored=self._stored,
                derived=self.derived,
                keep_unknown=self._keep_unknown,
            )
        return codec

    # --- single fields and places -------------------------------------------------------------------------------

    def member(self, name: str) -> Member | None:
        """Return the field of that Python name or stored name, or None."""
        return self.shape.find(name)

    def attribute(self, name: str) -> str:
        """Return the name a field is stored under (the name itself when it is no field)."""
        member = self.shape.find(name)
        return member.attribute if member else name

    def is_left_out(self, name: str, value: object) -> bool:
        """Whether that value of that field is stored by leaving the attribute out."""
        absent = self._absent[name]
        if value is None:
            return absent is None
        return absent is _EMPTY_SET and isinstance(value, set | frozenset) and not value

    def may_be_absent(self, name: str) -> bool:
        """Whether an item without that field's attribute still reads as a valid model."""
        return self._absent[name] is not _NO_VALUE or not self.shape.by_name[name].info.is_required()

    def derive(self, entry: Derived, values: Sequence[object]) -> Wire | None:
        """Return the value of a derived attribute for these field values, or None to leave it out."""
        value = entry.compute(*values)
        if value is None:
            return None
        try:
            return self._encoder.encode(value)
        except RefusedValueError as refused:
            raise refused.at(entry.attribute).as_validation_error(owner=self.model_class.__name__) from None

    def target(self, path: Sequence[Step]) -> Target:
        """Resolve a path as the caller wrote it.

        A first step that is no field may still be a derived attribute, a dotted path (``"address.city"``), or any name
        at all when the model's ``extra`` is ``"allow"``.

        Raises:
            ExpressionError: The model has no such place; names what it has.
        """
        first = path[0]
        if not isinstance(first, str):
            raise ExpressionError(f"a path starts with an attribute name, not {first!r}")
        if first in self._derived_attributes or first in self.shape.computed:
            return Target(first, (first, *path[1:]), ANY, self._encoder.encode, self._encoder.encode)
        member = self.shape.find(first)
        if member is None and ("." in first or "[" in first):
            return self.target((*split_path(first), *path[1:]))
        if member is None:
            if self.shape.open:
                return Target(path_label(path), tuple(path), ANY, self._encoder.encode, self._encoder.encode)
            raise ExpressionError(
                f"{self.model_class.__name__} has no field {first!r}; it has {', '.join(self.shape.by_name)}",
                {first: "no such field"},
            )
        if len(path) == 1:
            return self._field_target(self.model_class, member, member.name, (member.attribute,))
        return self._nested_target(member, path)

    def element_target(self, target: Target) -> Target:
        """Return the place of an element of the list or set at ``target``."""
        shape = target.shape.element or ANY
        return self._shape_target(f"an element of {target.label}", target.names, shape)

    def _nested_target(self, member: Member, path: Sequence[Step]) -> Target:
        names: list[Step] = [member.attribute]
        shape = member.shape
        owner, found = None, None
        for step in path[1:]:
            owner = shape.model
            found = owner.find(step) if owner is not None and isinstance(step, str) else None
            child = shape.child(step)
            if child is None:
                raise ExpressionError(
                    f"{self.model_class.__name__} has no place {path_label(path)!r}: no {step!r} there"
                )
            name, shape = child
            names.append(name)
        if owner is not None and found is not None:
            return self._field_target(owner.cls, found, path_label(path), tuple(names))
        return self._shape_target(path_label(path), tuple(names), shape)

    def _field_target(self, cls: type[BaseModel], member: Member, label: str, names: tuple[Step, ...]) -> Target:
        return Target(
            label,
            names,
            member.shape,
            self._encoder.encode,
            lambda value: self._encode_field(cls, member, value),
            self._validator(cls, member),
        )

    def _shape_target(self, label: str, names: tuple[Step, ...], shape: Shape) -> Target:
        encode = self._encoder.encode
        if shape.annotation is Any:
            return Target(label, names, shape, encode, encode)
        known = self._adapters.get(id(shape))
        if known is None:
            known = self._adapters[id(shape)] = (shape, TypeAdapter(shape.annotation))
        adapter = known[1]
        return Target(
            label,
            names,
            shape,
            encode,
            lambda value: encode(adapter.dump_python(value, by_alias=True, warnings=False)),
            adapter.validate_python,
        )

    def _validator(self, cls: type[BaseModel], member: Member) -> Validate:
        validate = self._validators.get((cls, member.name))
        if validate is None:
            validate = self._validators[cls, member.name] = pydantic_internals.field_validator(
                cls, member.name, member.shape.annotation
            )
        return validate

    def _validated(self, member: Member, value: object) -> Any:
        try:
            return self._validator(self.model_class, member)(value, strict=False)
        except pydantic.ValidationError as error:
            raise invalid(f"a stored item's {member.name} is not valid", error, member.name) from error

    def _encode_field(self, cls: type[BaseModel], member: Member, value: object) -> Wire:
        if not pydantic_internals.has_model_serializer(cls):
            try:
                value = pydantic_internals.dump_field(cls, member.name, value)
            except KeyError:
                raise ExpressionError(
                    f"{cls.__name__} leaves {member.name} = {value!r:.80} out of what it writes (exclude)",
                    {member.name: "excluded"},
                ) from None
        return self._encoder.encode(self._in_stored_form(member, value))

    def _in_stored_form(self, member: Member, value: object) -> object:
        """Return what is stored for a dumped value; only fields of the item itself have forms of their own."""
        form = self._stored.get(member.name) if member is self.shape.by_name.get(member.name) else None
        return value if form is None or value is None else form.store(value, self.times)


def _absent(member: Member) -> object:
    """Return what reading gives when the attribute is missing: None, an empty set, or something else."""
    info = member.info
    if info.is_required():
        if member.shape.nullable:
            return None
        return _EMPTY_SET if member.shape.is_set else _NO_VALUE
    if info.default_factory is not None:
        return _EMPTY_SET if info.default_factory in (set, frozenset) else _NO_VALUE
    if info.default is None:
        return None
    return _EMPTY_SET if isinstance(info.default, set | frozenset) and not info.default else _NO_VALUE
