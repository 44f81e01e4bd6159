"""What a field reads as when its attribute is missing, and so what may be stored by leaving it out."""

from __future__ import annotations

from enum import Enum, auto

from dynamodb_wrapper.codec.shapes import Member


class Absent(Enum):
    """What reading gives for a missing attribute."""

    NONE = auto()
    EMPTY_SET = auto()
    OTHER = auto()
    """Something else, or nothing at all: no value is stored by leaving the attribute out."""

    @classmethod
    def of(cls, member: Member) -> Absent:
        """Return what it is for a field."""
        info = member.info
        if info.is_required():
            if member.shape.nullable:
                return cls.NONE
            return cls.EMPTY_SET if member.shape.is_set else cls.OTHER
        if info.default_factory is not None:
            return cls.EMPTY_SET if info.default_factory in (set, frozenset) else cls.OTHER
        if info.default is None:
            return cls.NONE
        return cls.EMPTY_SET if isinstance(info.default, set | frozenset) and not info.default else cls.OTHER
