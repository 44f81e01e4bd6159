"""What is known of the wire form of values: which type tags they take, and how they are read back.

A `Shape` reads an attribute value into what ``model_dump()`` gave when it was written (datetimes as datetimes, sets as
sets, nested models as dicts under the names that validation wants); Pydantic's own validation does the rest. A shape
never fails on a value it does not expect: it hands on the plain value, and validation says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dynamodb_wrapper.codec.wire import Wire, read_any

Reader = Callable[[Wire], Any]
Step = str | int
"""One step of a path into a value: a field, attribute or map key, or a list index."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How values of one annotation look on the wire.

    Attributes:
        annotation: The annotation, with its metadata, for validating single values.
        tags: The type tags a value can take; empty when that is not known.
        read: From an attribute value to what validation takes.
        nullable: Whether None is one of its values.
        model: The nested model, when it is one.
        element: The shape of the elements or map values, when it has them.
    """

    annotation: Any = Any
    tags: frozenset[str] = frozenset()
    read: Reader = read_any
    nullable: bool = False
    model: ModelShape | None = None
    element: Shape | None = None

    @property
    def is_set(self) -> bool:
        """Whether values are sets."""
        return bool(self.tags & {"SS", "NS", "BS"})

    def child(self, step: Step) -> tuple[Step, Shape] | None:
        """Return the stored name and the shape one step further in, or None when there is no such place.

        DynamoDB has no places inside sets, indexes in lists only and names in maps only.
        """
        if self.model is not None and isinstance(step, str):
            member = self.model.find(step)
            return (member.attribute, member.shape) if member else (step, ANY) if self.model.open else None
        if self.is_set or (self.tags == {"L"} and isinstance(step, str)):
            return None
        if self.element is not None:
            return (str(step) if self.tags == {"M"} else step), self.element
        return (step, ANY) if not self.tags or self.tags & {"M", "L"} else None


ANY = Shape()


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a model, as it is stored.

    Attributes:
        name: The field's name in Python.
        attribute: The name it is stored under (its serialization alias).
        path: Where validation looks for it: usually one name, more for an ``AliasPath``.
        shape: How its values look.
        info: Pydantic's own description of the field.
    """

    name: str
    attribute: str
    path: tuple[Step, ...]
    shape: Shape
    info: FieldInfo

    def accepts(self, wire: Wire) -> bool:
        """Whether that attribute value can be this field's."""
        if "NULL" in wire:
            return True
        if get_origin(self.info.annotation) is Literal:
            return self.shape.read(wire) in get_args(self.info.annotation)
        return not self.shape.tags or bool(self.shape.tags & wire.keys())

    def place(self, data: dict[str, Any], value: object) -> None:
        """Put a value where validation will look for it."""
        target: Any = data
        for step, following in zip(self.path, self.path[1:], strict=False):
            target = _descend(target, step, [] if isinstance(following, int) else {})
        _descend(target, self.path[-1], value, always=True)


def _descend(container: Any, step: Step, value: Any, *, always: bool = False) -> Any:
    if isinstance(container, list) and isinstance(step, int):
        container.extend([None] * ((step + 1 if step >= 0 else -step) - len(container)))
        if always or container[step] is None:
            container[step] = value
    elif always or step not in container:
        container[step] = value
    return container[step]


@dataclass(slots=True)
class ModelShape:
    """How the fields of one model are stored; filled in after it is made, so that models may contain themselves."""

    cls: type[BaseModel]
    open: bool = False
    forbids: bool = False
    computed: frozenset[str] = frozenset()
    by_name: dict[str, Member] = field(default_factory=dict)
    by_attribute: dict[str, Member] = field(default_factory=dict)

    def find(self, name: str) -> Member | None:
        """Return the field of that Python name, or stored under that name."""
        return self.by_name.get(name) or self.by_attribute.get(name)

    def read(self, attributes: Mapping[str, Wire]) -> dict[str, Any]:
        """Return the attributes under the names validation wants.

        What is stored beyond the fields is handed to validation as the model's ``extra`` says, except where
        ``forbids`` keeps it from making the item unreadable.
        """
        data: dict[str, Any] = {}
        for attribute, wire in attributes.items():
            member = self.by_attribute.get(attribute)
            if member is not None:
                if len(member.path) == 1:
                    data[member.path[0]] = member.shape.read(wire)  # type: ignore[index]  # a lone step is a name
                else:
                    member.place(data, member.shape.read(wire))
            elif attribute not in self.computed and not self.forbids:
                data[attribute] = read_any(wire)
        return data

    def unknown(self, attributes: Mapping[str, Wire]) -> int:
        """Return how many of these attributes are not this model's."""
        return sum(name not in self.by_attribute and name not in self.computed for name in attributes)

    def accepts(self, attributes: Mapping[str, Wire]) -> bool:
        """Whether these attributes can be this model's: types and literals agree, nothing required is missing."""
        return all(
            member.accepts(attributes[member.attribute])
            if member.attribute in attributes
            else not member.info.is_required()
            for member in self.by_name.values()
        )
