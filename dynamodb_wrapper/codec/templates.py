"""Key templates: texts made of fields, so that several entities and questions share the keys of one table.

A value is written so that the delimiter ``#`` sorts below everything that is in it: characters up to ``$`` (controls,
space, ``!``, ``"``, ``#`` and ``$`` itself) are written as ``$`` and another one. So different values make different
keys, and the order of the keys is the order of the values, part by part.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from dynamodb_wrapper.codec.partial import PartialItem
from dynamodb_wrapper.codec.wire import RefusedValueError, TimeRules, Wire
from dynamodb_wrapper.exceptions import DeclarationError

Case = Literal["lower", "upper"]
Form = Literal["text", "number", "datetime", "shard"]

DELIMITER = "#"
ABOVE_DELIMITER = "$"
"""The character after the delimiter: what begins with a key and the delimiter is below that key and this."""
PRECISIONS = {"year": 4, "month": 7, "day": 10, "hour": 13, "minute": 16, "second": 19}
"""How many characters of ``2026-11-02T09:30:00.000000Z`` a datetime cut to that precision has."""
_DATETIME_WIDTH = len("2026-11-02T09:30:00.000000Z")
_FIELD = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")
_RESERVED = re.compile("[\x00-\x24]")
_WRITTEN = re.compile(r"\$([@-d])")
_SHIFT = 0x40
_PADDED = re.compile(r"0([1-9]\d?)d")
LARGEST_WIDTH = 38
"""Digits: DynamoDB's numbers have no more."""
MOST_SHARDS = 1000
_SHARD_WIDTH = 3
"""Digits of a shard's number, however many shards there are: so that there can be more one day."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key attribute made of fields: ``Key("USER#{user_id}")``, ``Key("{priority:08d}#{placed_at}#{order_id}")``.

    Stands where a field name does: as ``primary_key``, as ``sort_key``, and as ``partition`` or ``sort`` of an
    `AccessPattern`. Callers give and get fields; what is stored has the fields and, beside them, the key's text.

    ``#`` separates: the template's own text has one on each side of a field, except at the ends. A whole number is
    padded (``{priority:08d}``), because keys are text and ``"10"`` sorts before ``"9"``. ``{number:d}`` is not, and is
    possible in a partition key only, where keys are equal or not. A datetime is written in UTC and in full, or cut:
    ``{placed_at:day}`` (``year``, ``month``, ``day``, ``hour``, ``minute``, ``second``). Text, dates, UUIDs, and enums
    are written as they are stored. The key of an index is left out where a part is None.

    Args:
        template: Text and fields in braces.
        attribute: The attribute it is stored in. By default ``pk`` and ``sk`` for the table's key, ``<index>_pk`` and
            ``<index>_sk`` for an index's, or what the `SingleTable` says.
        case: Write texts in lower or upper case, so that they are found whatever case is asked for.
        when: Of an index only: whether the item has this key, and so is in the index. Called with an object that has
            the values of ``fields`` as attributes.
        fields: The fields that ``when`` looks at.

    Raises:
        DeclarationError: The template cannot work.
    """

    template: str
    attribute: str | None = field(default=None, kw_only=True)
    case: Case | None = field(default=None, kw_only=True)
    when: Callable[[Any], object] | None = field(default=None, kw_only=True)
    fields: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        given: object = self.template
        if not isinstance(given, str) or not given:
            raise DeclarationError(f"a key template is a text, not {self.template!r}")
        if self.case is not None and self.case not in get_args(Case):
            raise DeclarationError(f"{self!r}: case is {' or '.join(map(repr, get_args(Case)))}, not {self.case!r}")
        seen: object = self.fields
        if (self.when is None) != (not seen) or not isinstance(seen, tuple):
            raise DeclarationError(f"{self!r}: when= and fields=(...), the fields that it looks at, are given together")
        literals = self.literals
        if any("{" in literal or "}" in literal for literal in literals):
            raise DeclarationError(f"{self!r}: braces stand around field names only, as in {{user_id}}")
        inner = [*(literal[:1] for literal in literals[1:] if literal), *(text[-1:] for text in literals[:-1] if text)]
        if any(end != DELIMITER for end in inner) or "" in literals[1:-1]:
            raise DeclarationError(f"{self!r}: {DELIMITER!r} stands between a field and what is beside it")
        names = [name for name, _ in self.placeholders]
        if len(set(names)) < len(names):
            raise DeclarationError(f"{self!r}: a field stands in it twice")

    @property
    def literals(self) -> tuple[str, ...]:
        """The text before each field, and after the last."""
        return tuple(_FIELD.split(self.template)[::3])

    @property
    def placeholders(self) -> list[tuple[str, str]]:
        """The fields, each with what stands after its colon."""
        return [(name, spec or "") for name, spec in _FIELD.findall(self.template)]

    def __repr__(self) -> str:
        return f"Key({self.template!r})"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Sharded(Key):
    """A partition key spread over several partitions: ``Sharded(Key("METRIC#{day}"), shards=16, by="device_id")``.

    DynamoDB serves one partition key value with 1,000 write and 3,000 read units a second at most. Items that would be
    in one partition are spread by a hash of a field, and queries read all shards together and merge what they find in
    the order of the sort key: one request for each shard at least.

    There may be more shards one day, for an index: items stay where they are until they are written again, and are
    found there. Fewer, or other ones for a table's own key, call for rewriting the items.

    Args:
        key: What the shards share.
        shards: How many there are, 2 to 1000.
        by: The field that decides. In a table's key it must be a field of the sort key.

    Raises:
        DeclarationError: It cannot work.
    """

    shards: int
    by: str

    def __init__(self, key: Key, *, shards: int, by: str) -> None:
        """Spread a key."""
        for name in ("template", "attribute", "case", "when", "fields"):
            object.__setattr__(self, name, getattr(key, name))
        object.__setattr__(self, "shards", shards)
        object.__setattr__(self, "by", by)
        if isinstance(shards, bool) or not 2 <= shards <= MOST_SHARDS:
            raise DeclarationError(f"{self!r}: shards is a whole number from 2 to {MOST_SHARDS}, not {shards!r}")
        if self.literals[-1].endswith(DELIMITER):
            raise DeclarationError(f"{self!r}: the number of the shard follows after {DELIMITER!r}, so leave it out")

    def __repr__(self) -> str:
        return f"Sharded(Key({self.template!r}), shards={self.shards!r}, by={self.by!r})"


@dataclass(frozen=True, slots=True)
class Part:
    """A field in a template.

    Attributes:
        name: The field.
        form: What it is written as.
        width: Digits of a number (0: as many as it has), characters of a datetime, or how many shards there are.
    """

    name: str
    form: Form
    width: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether the value can be read back from what is written, its case aside."""
        return self.form != "shard" and (self.form != "datetime" or self.width == _DATETIME_WIDTH)

    @classmethod
    def of(cls, name: str, spec: str, form: Form, *, is_sorted: bool) -> Part:
        """Return the part of a placeholder.

        Args:
            name: The field.
            spec: What stands after its colon.
            form: What the field holds.
            is_sorted: Whether the order of the keys matters.

        Raises:
            DeclarationError: A value cannot be written so.
        """
        if form == "datetime" and (not spec or spec in PRECISIONS):
            return cls(name, form, PRECISIONS.get(spec, _DATETIME_WIDTH))
        if form == "datetime":
            raise DeclarationError(f"{{{name}:{spec}}}: a datetime is cut to {', '.join(PRECISIONS)}, or not at all")
        if form == "text" and spec:
            raise DeclarationError(f"{{{name}:{spec}}}: {name!r} is text, which is written as it is: {{{name}}}")
        if form == "text":
            return cls(name, form)
        padded = _PADDED.fullmatch(spec)
        if padded is not None and int(padded[1]) <= LARGEST_WIDTH:
            return cls(name, form, int(padded[1]))
        if spec == "d" and not is_sorted:
            return cls(name, form)
        raise DeclarationError(
            f"{{{name}{':' + spec if spec else ''}}}: numbers in a key sort as text, so {name!r} is padded with zeros "
            f"to as many digits as it may ever have, up to {LARGEST_WIDTH}: {{{name}:08d}}. In a partition key, where "
            f"keys are equal or not, {{{name}:d}} leaves it as it is"
        )

    def written(self, wire: Wire, case: Case | None, times: TimeRules) -> str:
        """Return what stands in the key for a stored value.

        Raises:
            RefusedValueError: It does not fit.
        """
        ((tag, payload),) = wire.items()
        match self.form:
            case "shard":
                digest = hashlib.blake2b(f"{tag}{payload}".encode(), digest_size=8).digest()
                return shard_text(int.from_bytes(digest) % self.width)
            case "number":
                return self._digits(payload)
            case "datetime":
                return _utc_text(payload, times)[: self.width]
        return escaped(cased(payload, case))

    def read(self, text: str, times: TimeRules) -> Wire:
        """Return the stored value that is written so."""
        match self.form:
            case "number":
                return {"N": str(int(text))}
            case "datetime":
                return {"S": times.text(dt.datetime.fromisoformat(text))}
        return {"S": unescaped(text)}

    def _digits(self, payload: str) -> str:
        if not payload.isdigit() and self.width:
            raise RefusedValueError("cannot stand in a key: only whole numbers from 0 on sort as text", payload)
        if self.width and len(payload) > self.width:
            raise RefusedValueError(f"has more than the {self.width} digits that its key has", payload)
        return payload.zfill(self.width)


@dataclass(frozen=True, slots=True)
class Template:
    """A key template of one model, in its attribute; what `Key` declares.

    Attributes:
        attribute: The name it is stored under.
        literals: The text before each part, and after the last.
        parts: The fields.
        case: How texts are written.
        when: Whether an item has the key.
        when_fields: The fields that ``when`` looks at.
        source: The template, for errors.
        names: The fields that are written into the key.
    """

    attribute: str
    literals: tuple[str, ...]
    parts: tuple[Part, ...]
    case: Case | None = None
    when: Callable[[Any], object] | None = None
    when_fields: tuple[str, ...] = ()
    source: str = field(default="", compare=False)
    tag: Literal["S"] = "S"
    names: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(part.name for part in self.parts))

    @property
    def fields(self) -> tuple[str, ...]:
        """All the fields that decide what the key is."""
        return tuple(dict.fromkeys((*self.names, *self.when_fields)))

    @property
    def asked(self) -> tuple[str, ...]:
        """The fields whose values name a partition; all of its shards, where there are several."""
        return tuple(part.name for part in self.parts if part.form != "shard")

    @property
    def told(self) -> tuple[str, ...]:
        """The fields whose values can be read back from the key."""
        return tuple(part.name for part in self.parts if part.is_exact and (self.case is None or part.form != "text"))

    @property
    def shards(self) -> int:
        """Over how many shards a partition is spread; 0 for none."""
        return self.parts[-1].width if self.parts and self.parts[-1].form == "shard" else 0

    def applies(self, values: Mapping[str, object]) -> bool:
        """Whether an item with these field values has the key."""
        return self.when is None or bool(self.when(PartialItem({name: values[name] for name in self.when_fields})))

    def part_text(self, number: int, wire: Wire, times: TimeRules) -> str:
        """Return what stands in the key for a part.

        Raises:
            RefusedValueError: It does not fit; names the field.
        """
        part = self.parts[number]
        if part.form == "text" and self.case is None and "S" in wire:  # the commonest
            return escaped(wire["S"])
        try:
            return part.written(wire, self.case, times)
        except RefusedValueError as refused:
            raise refused.at(part.name) from None

    def text(self, wires: Sequence[Wire | None], times: TimeRules) -> str | None:
        """Return the key for stored values of the parts; None where one is missing."""
        pieces = [self.literals[0]]
        for number, wire in enumerate(wires):
            if wire is None or "NULL" in wire:
                return None
            pieces += self.part_text(number, wire, times), self.literals[number + 1]
        return "".join(pieces)

    def prefix(self, wires: Iterable[Wire], times: TimeRules) -> str:
        """Return what every key with these leading parts begins with, up to where the next one stands."""
        text = self.literals[0]
        for number, wire in enumerate(wires):
            text += self.part_text(number, wire, times) + self.literals[number + 1]
        return text

    def read(self, text: str, times: TimeRules) -> dict[str, Wire] | None:
        """Return the stored values that a key was made of, those that it tells; None if it is not of this template."""
        pattern = "([^#]*)".join(map(re.escape, self.literals))
        found = re.fullmatch(pattern, text, re.DOTALL)
        if found is None:
            return None
        try:
            return {
                part.name: part.read(piece, times)
                for part, piece in zip(self.parts, found.groups(), strict=True)
                if part.name in self.told
            }
        except ValueError:
            return None


def shard_text(number: int) -> str:
    """Return the number of a shard as it stands in keys."""
    return str(number).zfill(_SHARD_WIDTH)


def cased(text: str, case: Case | None) -> str:
    """Return a text in the case that keys are written in."""
    return text if case is None else text.lower() if case == "lower" else text.upper()


def escaped(text: str) -> str:
    """Return a text without the delimiter and what sorts below it; in the same order as all such texts."""
    return _RESERVED.sub(lambda found: f"${chr(ord(found[0]) + _SHIFT)}", text) if _RESERVED.search(text) else text


def unescaped(text: str) -> str:
    """Return the text that was `escaped`."""
    return _WRITTEN.sub(lambda found: chr(ord(found[1]) - _SHIFT), text)


@contextmanager
def fitting(owner: str) -> Iterator[None]:
    """Make refusals of values that do not fit into a key `ValidationError`.

    Args:
        owner: Whose key it is, for the message.
    """
    try:
        yield
    except RefusedValueError as refused:
        raise refused.as_validation_error(owner=owner) from None


def _utc_text(payload: str, times: TimeRules) -> str:
    if len(payload) == _DATETIME_WIDTH + 5 and payload.endswith("+00:00"):
        return f"{payload[:-6]}Z"
    moment = times.aware(dt.datetime.fromisoformat(payload))
    return f"{moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
