"""Schema versions of items: which an item has, and the chain of upcasters that brings an older one up to date.

An upcaster takes an item as a plain dict, attribute names to Python values, and returns it in the form of the next
version. The values are those of the document client: text, int or Decimal, bool, bytes, None, lists, dicts and sets.
What an upcaster leaves alone keeps the form it was stored in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from dynamodb_wrapper.codec.wire import Item, RefusedValueError, TimeRules, Wire, WireEncoder, read_any
from dynamodb_wrapper.exceptions import DeclarationError, SchemaVersionError, StoredItemError

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
NewerVersions = Literal["error", "read"]

UPCASTER_NAME = re.compile(r"upcast_v([1-9][0-9]*)_v([1-9][0-9]*)")
_UPCASTER_PREFIX = "upcast_v"


@dataclass(frozen=True, slots=True)
class SchemaOptions:
    """How a repository with a ``schema_version`` treats versions.

    Attributes:
        attribute: The attribute that has an item's version. Where the model has a field of that name (int), it is
            that field; otherwise models do not see it.
        oldest: The oldest version that is read: the chain of upcasters begins there.
        unversioned: The version of items that have none.
        newer_versions: What becomes of an item of a newer version than the repository's: ``"error"`` (default)
            raises `SchemaVersionError`; ``"read"`` reads it as if it were of this one, for versions that only add.
        write_back: Whether older items that are read are written back in the form of this version.
    """

    attribute: str = "schema_version"
    oldest: int = 1
    unversioned: int = 1
    newer_versions: NewerVersions = "error"
    write_back: bool = False

    def __post_init__(self) -> None:
        attribute: object = self.attribute
        if not isinstance(attribute, str) or not attribute:
            raise DeclarationError(f"attribute must be the name of an attribute, not {attribute!r}")
        for name in ("oldest", "unversioned"):
            check_version(name, getattr(self, name))
        if self.newer_versions not in get_args(NewerVersions):
            raise DeclarationError(f"newer_versions must be 'error' or 'read', not {self.newer_versions!r}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """The version that a program writes on items, and the attribute that has it."""

    attribute: str
    version: int

    def __call__(self) -> int:
        """Return the version."""
        return self.version


def check_version(name: str, version: object) -> None:
    """Refuse what is no version.

    Raises:
        DeclarationError: It is no whole number of at least 1.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise DeclarationError(f"{name} must be a whole number of at least 1, not {version!r}")


def check_chain(current: int, options: SchemaOptions, names: Iterable[str]) -> None:
    """Refuse a chain of upcasters that does not lead from the oldest version to the current one, step by step.

    Args:
        current: The version that is written.
        options: Where the chain begins.
        names: The names of what a class has that begin with ``upcast_v``.

    Raises:
        DeclarationError: An upcaster is missing, superfluous or misnamed; says which.
    """
    check_version("schema_version", current)
    if options.oldest > current or options.unversioned > current:
        raise DeclarationError(
            f"schema_version is {current}, so the oldest version ({options.oldest}) and that of items without one "
            f"({options.unversioned}) cannot be above"
        )
    found = set(names)
    wanted = [_upcaster_name(version) for version in range(options.oldest, current)]
    if missing := [name for name in wanted if name not in found]:
        raise DeclarationError(
            f"schema_version is {current}, and nothing brings older items there: missing {', '.join(missing)} "
            "(or set SchemaOptions.oldest, when no older items are left)"
        )
    if superfluous := sorted(found.difference(wanted)):
        raise DeclarationError(
            f"{', '.join(superfluous)}: no step between versions {options.oldest} and {current}; an upcaster is named "
            "upcast_v1_v2, and goes one version up"
        )


def upcaster_names(cls: type) -> list[str]:
    """Return the names of the upcasters of a class and its bases."""
    return [name for name in dir(cls) if name.startswith(_UPCASTER_PREFIX)]


def _upcaster_name(version: int) -> str:
    return f"upcast_v{version}_v{version + 1}"


@dataclass(frozen=True)
class Evolution:
    """The versions of one model's items.

    Attributes:
        current: The version that is written.
        options: How versions are treated.
        upcasters: From the oldest version up, each to the next.
        times: How datetimes are stored that upcasters give.
    """

    current: int
    options: SchemaOptions
    upcasters: tuple[Upcaster, ...] = ()
    times: TimeRules = field(default_factory=TimeRules)

    def bound(self, owner: object, times: TimeRules) -> Evolution:
        """Return this with the upcasters of a repository."""
        names = map(_upcaster_name, range(self.options.oldest, self.current))
        return replace(self, upcasters=tuple(getattr(owner, name) for name in names), times=times)

    @property
    def stamp(self) -> Stamp:
        """The version that is written, and the attribute that has it."""
        return Stamp(self.options.attribute, self.current)

    def version_of(self, item: Mapping[str, Wire]) -> int:
        """Return the version of an item.

        Raises:
            SchemaVersionError: What stands in its place is none.
        """
        wire = item.get(self.options.attribute)
        if wire is None:
            return self.options.unversioned
        found = read_any(wire)
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise SchemaVersionError(
                f"a stored item has {found!r:.40} as its schema version (attribute {self.options.attribute!r})",
                found=found,
                known=self.current,
            )
        return found

    def upcast(self, item: Mapping[str, Wire]) -> Mapping[str, Wire]:
        """Return an item in the form of the current version; one that is of it already, or newer and read, as it is.

        Raises:
            SchemaVersionError: It is newer than known, or older than read.
            StoredItemError: An upcaster failed, or gave what is no item; says which.
        """
        version = self.version_of(item)
        if version == self.current:
            return item
        if version > self.current:
            if self.options.newer_versions == "read":
                return item
            raise self.too_new(version)
        if version < self.options.oldest:
            raise SchemaVersionError(
                f"a stored item has schema version {version}, and this program reads {self.options.oldest} to "
                f"{self.current}: declare {_upcaster_name(version)} again, or migrate it with a program that has it",
                found=version,
                known=self.current,
            )
        return self._upcast(item, version)

    def too_new(self, version: int) -> SchemaVersionError:
        """Return the error of an item of a newer version."""
        return SchemaVersionError(
            f"a stored item has schema version {version}, and this program knows {self.current}: a newer program wrote "
            'it; update this one, or set SchemaOptions(newer_versions="read") if newer versions only add',
            found=version,
            known=self.current,
        )

    def too_old(self, version: int) -> SchemaVersionError:
        """Return the error of an older item where one of the current version is needed."""
        return SchemaVersionError(
            f"the stored item has schema version {version}, and only one of version {self.current} can be changed: it "
            "is brought up to date first, but older programs, or other tools, kept writing it",
            found=version,
            known=self.current,
        )

    def _upcast(self, item: Mapping[str, Wire], version: int) -> Item:
        attribute = self.options.attribute
        values = {name: read_any(wire) for name, wire in item.items() if name != attribute}
        name = ""
        for number, upcaster in enumerate(self.upcasters[version - self.options.oldest :], start=version):
            name = _upcaster_name(number)
            try:
                returned: object = upcaster(values)
            except Exception as error:  # whatever the user's code does not expect of an item is wrong with that item
                reason = f"{type(error).__name__}: {error}"
                raise StoredItemError(
                    f"{name} failed on a stored item of schema version {version}: {reason}", {name: reason}, error
                ) from error
            if not isinstance(returned, dict):
                raise StoredItemError(
                    f"{name} must return the item as a dict, and returned {returned!r:.80}", {name: "no dict"}
                )
            values = returned
        values[attribute] = self.current
        return self._encoded(name, item, values)

    def _encoded(self, upcaster: str, before: Mapping[str, Wire], values: Mapping[str, object]) -> Item:
        """Return values as an item; what has not changed keeps the very form it was stored in."""
        encode = WireEncoder(self.times).encode
        item: Item = {}
        for name, value in values.items():
            stored = before.get(name)
            try:
                item[name] = stored if stored is not None and _is_same(stored, value) else encode(value)
            except RefusedValueError as refused:
                wrong = refused.at(name).as_validation_error(owner=upcaster)
                raise StoredItemError(wrong.message, wrong.errors) from None
        return item


def _is_same(stored: Wire, value: object) -> bool:
    """Whether a value is what the stored one reads as, of the same types all the way down."""
    read = read_any(stored)
    return repr(read) == repr(value) if isinstance(value, list | dict) else type(read) is type(value) and read == value
