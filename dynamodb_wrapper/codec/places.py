"""Places in the items of one model: how a path is stored, and how values are written there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

import pydantic
from pydantic import BaseModel, TypeAdapter

from dynamodb_wrapper.codec import pydantic_internals
from dynamodb_wrapper.codec.compiler import ShapeCompiler
from dynamodb_wrapper.codec.derived import Derived
from dynamodb_wrapper.codec.evolution import Stamp
from dynamodb_wrapper.codec.generated import EncoderGenerator, OtherwiseError
from dynamodb_wrapper.codec.shapes import ANY, Member, ModelShape, Shape, Step
from dynamodb_wrapper.codec.stored import StoredForm
from dynamodb_wrapper.codec.targets import Target, Validate, invalid, path_label, split_path
from dynamodb_wrapper.codec.templates import Template
from dynamodb_wrapper.codec.wire import RefusedValueError, TimeRules, Wire, WireEncoder, read_any
from dynamodb_wrapper.exceptions import ExpressionError, StoredItemError

T = TypeVar("T", bound=BaseModel)


class ItemPlaces(Generic[T]):
    """Knows the shape of a model's items and finds places in them.

    Attributes:
        model_class: The model.
        times: How datetimes are stored and shown.
        derived: Attributes computed on every write, the schema version included.
        stamp: The schema version that items are written with, if they have one.
        shape: How the model's fields are stored.
    """

    def __init__(
        self,
        model_class: type[T],
        times: TimeRules,
        stored: Mapping[str, StoredForm],
        derived: Sequence[Derived | Template],
        *,
        keep_unknown: bool,
        stamp: Stamp | None = None,
    ) -> None:
        self.model_class = model_class
        self.times = times
        self.stamp = stamp
        self._declared = tuple(derived)
        self._stored = dict(stored)
        self._keep_unknown = keep_unknown
        self._encoder = WireEncoder(times)
        self.shape = self._root_shape(ShapeCompiler(times, keep_unknown=keep_unknown))
        # Models do not see the schema version, as they do not see what is derived; unless it is one of their fields.
        is_hidden = stamp is not None and self.shape.find(stamp.attribute) is None
        self.derived = (*self._declared, *([Derived(stamp.attribute, (), stamp, "N")] if is_hidden and stamp else ()))
        self._derived_attributes = frozenset(entry.attribute for entry in self.derived)
        self._targets: dict[str, Target] = {}
        self._validators: dict[tuple[type, str], Validate] = {}
        self._adapters: dict[int, tuple[Shape, TypeAdapter[Any]]] = {}

    def _root_shape(self, compiler: ShapeCompiler) -> ModelShape:
        shape = compiler.model(self.model_class)
        root = ModelShape(shape.cls, shape.open, shape.forbids, shape.computed)
        for name, member in shape.by_name.items():
            form = self._stored.get(name)
            own = member if form is None else replace(member, shape=form.shape(member, self.times))
            root.by_name[name] = root.by_attribute[own.attribute] = own
        return root

    def member(self, name: str) -> Member | None:
        """Return the field of that Python name or stored name, or None."""
        return self.shape.find(name)

    def attribute(self, name: str) -> str:
        """Return the name a field is stored under (the name itself when it is no field)."""
        member = self.shape.find(name)
        return member.attribute if member else name

    def stored_as_it_is(self, name: str) -> type | None:
        """Return ``str`` or ``int`` if such values of a field are stored unchanged, and nothing is asked of them."""
        member = self.shape.by_name.get(name)
        if member is None or self._form(member) is not None or member.shape.read is not read_any:
            return None
        return pydantic_internals.takes_as_it_is(self.model_class, name)

    def keeps_as_stored(self, names: Iterable[str]) -> bool:
        """Whether a model that was read has these fields as they are stored, each text or a whole number."""
        is_kept = all(self.stored_as_it_is(name) for name in names)
        return is_kept and pydantic_internals.leaves_fields_alone(self.model_class)

    def read_where_missing(self, name: str, item: Mapping[str, Wire]) -> object:
        """Return what reading an item gives for a field whose attribute it has not."""
        info = self.shape.by_name[name].info
        return None if info.is_required() else info.get_default(call_default_factory=True)

    def told_by_having(self, names: Collection[str]) -> list[object] | None:
        """Return the values by which models with all these fields are told; None where there is but one model."""
        return None

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
            target = self._targets.get(member.name)
            if target is None:
                target = self._field_target(self.model_class, member, member.name, (member.attribute,))
                self._targets[member.name] = target
            return target
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
        validate = self._validator(cls, member)
        return Target(label, names, member.shape, self._encoder.encode, self._field_encoder(cls, member), validate)

    def _field_encoder(self, cls: type[BaseModel], member: Member) -> Callable[[Any], Wire]:
        simply = partial(self._encode_field, cls, member)
        if self._form(member) is not None:
            return simply
        try:
            generated = EncoderGenerator(self.times).field(cls, member.name)
        except (OtherwiseError, KeyError, TypeError, AttributeError):
            return simply  # also where a schema is laid out otherwise than expected

        def encode(value: Any) -> Wire:
            try:
                return generated(value)
            except (OtherwiseError, RefusedValueError, ValueError, RecursionError):
                return simply(value)

        return encode

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
            message = f"a stored item's {member.name} is not valid"
            raise invalid(message, error, member.name, kind=StoredItemError) from error

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
        """Return what is stored for a dumped value."""
        form = self._form(member)
        return value if form is None or value is None else form.store(value, self.times)

    def _form(self, member: Member) -> StoredForm | None:
        """Return the form of its own that a field is stored in; only fields of the item itself have such."""
        return self._stored.get(member.name) if member is self.shape.by_name.get(member.name) else None

    def derive(self, entry: Derived | Template, values: Sequence[object]) -> Wire | None:
        """Return the value of a derived attribute for these field values, or None to leave it out."""
        if isinstance(entry, Template):
            given = dict(zip(entry.fields, values, strict=True))
            wires = [None if given[name] is None else self.target((name,)).store(given[name]) for name in entry.names]
            return self._key_text(entry, wires, given)
        value = entry.compute(*values)
        if value is None:
            return None
        try:
            return self._encoder.encode(value)
        except RefusedValueError as refused:
            raise refused.at(entry.attribute).as_validation_error(owner=self.model_class.__name__) from None

    def _key_text(self, entry: Template, wires: Sequence[Wire | None], seen: Mapping[str, object]) -> Wire | None:
        """Return the key that a template makes of stored values, or None to leave it out."""
        try:
            text = entry.text(wires, self.times) if entry.applies(seen) else None
        except RefusedValueError as refused:
            raise refused.as_validation_error(owner=self.model_class.__name__) from None
        return None if text is None else {"S": text}
