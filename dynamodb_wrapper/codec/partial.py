"""What a read of some attributes gives: never a half-made model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class PartialItem(Mapping[str, Any]):
    """The attributes that were asked for, by field name; those the item does not have are absent.

    Values are typed and validated as the model's fields are. ``partial["total"]`` and ``partial.total`` are the same;
    asking for an attribute that was not read says so, instead of giving a default.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(
                f"{name!r} was not read, or the item has none; it has {sorted(self._values)}"
            ) from None

    def __repr__(self) -> str:
        return f"PartialItem({self._values!r})"
