"""Several models in one repository: a discriminated union of them, whose items say which one they are."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from functools import cached_property, reduce
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from dynamodb_wrapper.codec.derived import Derived
from dynamodb_wrapper.codec.evolution import Stamp
from dynamodb_wrapper.codec.model import ModelCodec
from dynamodb_wrapper.codec.one_pass import OnePassReader
from dynamodb_wrapper.codec.stored import StoredForm
from dynamodb_wrapper.codec.templates import Template
from dynamodb_wrapper.codec.wire import Item, TimeRules, Wire, WireEncoder, read_any
from dynamodb_wrapper.exceptions import DeclarationError, StoredItemError, ValidationError

T = TypeVar("T", bound=BaseModel)


_known: dict[tuple[tuple[type[BaseModel], ...], str], type[BaseModel]] = {}


def union_model(annotation: object) -> type[BaseModel] | None:
    """Return the model that stands for a union of models: it has their fields, and `UnionCodec` reads and writes them.

    Args:
        annotation: ``Annotated[Card | Transfer, Field(discriminator="method")]``, or something else.

    Returns:
        None for something else.

    Raises:
        DeclarationError: It is a union of models that cannot be told apart, or not be stored alike.
    """
    union: Any = getattr(annotation, "__value__", annotation)  # of `type Payment = ...`
    metadata: list[Any] = []
    if get_origin(union) is Annotated:
        union, *metadata = get_args(union)
    variants = get_args(union) if get_origin(union) in (Union, UnionType) else ()
    if not variants or not all(isinstance(variant, type) and issubclass(variant, BaseModel) for variant in variants):
        return None
    names = [entry.discriminator for entry in metadata if isinstance(entry, FieldInfo) and entry.discriminator]
    if len(names) != 1 or not isinstance(names[0], str):
        raise DeclarationError(
            f"{union!r} needs a field that says which of the models an item is: "
            'Annotated[..., Field(discriminator="kind")]'
        )
    known = _known.get((variants, names[0]))
    if known is None:
        known = _known[variants, names[0]] = _model_of(variants, names[0])
    return known


def _model_of(variants: tuple[type[BaseModel], ...], discriminator: str) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(name for variant in variants for name in variant.model_fields):
        infos = [variant.model_fields[name] for variant in variants if name in variant.model_fields]
        annotations = [info.annotation for info in infos]
        stored = {info.serialization_alias or info.alias or name for info in infos}
        if len(stored) > 1:
            raise DeclarationError(f"{name!r} is stored under different names: {', '.join(sorted(stored))}")
        if len(infos) == len(variants) and all(other == annotations[0] for other in annotations):
            fields[name] = (infos[0].annotation, infos[0])
            continue
        is_everywhere = len(infos) == len(variants) and all(info.is_required() for info in infos)
        merged: Any = reduce(operator.or_, annotations)
        alias = stored.pop()
        fields[name] = (
            (merged, Field(alias=alias)) if is_everywhere else (merged | None, Field(default=None, alias=alias))
        )
    model: Any = create_model(" | ".join(variant.__name__ for variant in variants), **fields)
    model.__dynamodb_codec__ = UnionCodec
    model.__dynamodb_union__ = (variants, discriminator)
    made: type[BaseModel] = model
    return made


class UnionCodec(ModelCodec[T]):
    """Turns models of several classes into items and back; which one an item is, a field says."""

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
            model_class, times=times, stored=stored, derived=derived, keep_unknown=keep_unknown, stamp=stamp
        )
        variants, discriminator = cast(Any, model_class).__dynamodb_union__
        self.classes = variants
        self.fixed = (discriminator,)
        self._discriminator = self.attribute(discriminator)
        self._variants: dict[type[BaseModel], ModelCodec[Any]] = {}
        self._by_value: dict[object, ModelCodec[Any]] = {}
        for variant in variants:
            self._check_derived(variant)
            forms = {name: form for name, form in (stored or {}).items() if name in variant.model_fields}
            codec: ModelCodec[Any] = ModelCodec.shared(
                variant, times=times, stored=forms, derived=derived, keep_unknown=keep_unknown, stamp=stamp
            )
            self._variants[variant] = codec
            self._by_value |= dict.fromkeys(_values(variant, discriminator), codec)
        self.shape.computed = frozenset(name for codec in self._variants.values() for name in codec.shape.computed)

    def _check_derived(self, variant: type[BaseModel]) -> None:
        for entry in self.derived:
            seen = entry.when_fields if isinstance(entry, Template) else entry.fields
            missing = [name for name in seen if name not in variant.model_fields]
            if missing:
                raise DeclarationError(
                    f"{entry.attribute!r} is computed from {', '.join(missing)}, which {variant.__name__} has not"
                )

    def made(self, values: Mapping[str, object]) -> T:
        """Return a model of these field values.

        Raises:
            ValidationError: They are of none of the models.
        """
        return cast(T, self._chosen(values.get(self.fixed[0])).made(values))

    def encode(self, model: T) -> Item:
        """Return the item of a model.

        Raises:
            ValidationError: It is of none of the classes, or has a value DynamoDB cannot hold.
        """
        codec = self._variants.get(type(model)) or next(
            (codec for variant, codec in self._variants.items() if isinstance(model, variant)), None
        )
        if codec is None:
            raise ValidationError(f"expected a {self.model_class.__name__}, got {type(model).__name__}: {model!r:.80}")
        return codec.encode(model)

    def encode_at_once(self, model: T, attributes: tuple[str, ...]) -> tuple[Item, bytes] | None:
        """Return some attributes of a model's item, and the whole of it as JSON; None as `ModelCodec` has it."""
        codec = self._variants.get(type(model))
        return None if codec is None else codec.encode_at_once(model, attributes)

    def decoded_simply(self, item: Mapping[str, Wire]) -> T:
        """Return what `decode` does, by the codec of the model that the item says it is of.

        Raises:
            StoredItemError: The item does not validate, or is of none of the models.
        """
        return cast(T, self._codec_of(item).decoded_simply(item))

    def may_be_absent(self, name: str) -> bool:
        """Whether an item without that field's attribute still reads as a valid model, of those that have the field."""
        having = [codec for codec in self._variants.values() if name in codec.shape.by_name]
        return all(codec.may_be_absent(name) for codec in having)

    def read_where_missing(self, name: str, item: Mapping[str, Wire]) -> object:
        """Return what reading an item gives for a field whose attribute it has not; None for one its model has not."""
        codec = self._codec_of(item)
        return codec.read_where_missing(name, item) if name in codec.shape.by_name else None

    def told_by_having(self, names: Collection[str]) -> list[object] | None:
        """Return the values by which models with all these fields are told; None where all of them have these."""
        ours = [name for name in names if name in self.shape.by_name]
        having = [value for value, codec in self._by_value.items() if codec.shape.by_name.keys() >= set(ours)]
        return having if len(having) < len(self._by_value) else None

    def _codec_of(self, item: Mapping[str, Wire]) -> ModelCodec[Any]:
        wire = item.get(self._discriminator)
        return self._chosen(None if wire is None else read_any(wire), StoredItemError)

    def _chosen(self, value: object, wrong: type[ValidationError] = ValidationError) -> ModelCodec[Any]:
        plain = value.value if isinstance(value, Enum) else value
        codec = self._by_value.get(plain) if isinstance(plain, str | int) else None  # a list cannot be looked up
        if codec is None:
            name = self.fixed[0]
            raise wrong(
                f"{name} = {value!r} is none of {', '.join(map(repr, self._by_value))}", {name: f"{value!r} is unknown"}
            )
        return codec

    def keeps_as_stored(self, names: Iterable[str]) -> bool:
        """Whether models that were read have these fields as they are stored, each text or a whole number."""
        fields = tuple(names)
        return all(codec.keeps_as_stored(fields) for codec in self._variants.values())

    @cached_property
    def _one_pass(self) -> OnePassReader[T]:
        encode = WireEncoder(self.times).encode
        return OnePassReader.of_union(
            self._discriminator, [(encode(value), codec._one_pass) for value, codec in self._by_value.items()]
        )

    def compile(self) -> None:
        """Make now what else the first item written, and the first one and the first page read, would wait for."""
        for codec in self._variants.values():
            codec._encoders.compile()
        self._one_pass.compile()


def _values(variant: type[BaseModel], name: str) -> list[object]:
    """Return the values by which items of a model are told."""
    annotation: Any = variant.model_fields[name].annotation if name in variant.model_fields else None
    if get_origin(annotation) is not Literal:
        raise DeclarationError(
            f"{variant.__name__}.{name} says that an item is a {variant.__name__}, so it is a Literal, "
            f"not {annotation!r}"
        )
    return [value.value if isinstance(value, Enum) else value for value in get_args(annotation)]
