"""Models as rows of cells: CSV, and what Parquet files are made of.

A cell is text. That of a text, number, boolean or bytes is what one would write; any other is JSON. None, and what is
not there, is no text at all: an empty cell, while the empty text is a pair of quotes.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from dynamodb_wrapper.cli.files import plain
from dynamodb_wrapper.cli.files.rows import ModelRows, not_told
from dynamodb_wrapper.codec import Item, Member, RefusedValueError, Shape, Wire
from dynamodb_wrapper.codec.wire import read_binary
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.entity import Entity

Cell = str | None

_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n?\Z)')
_SPECIAL = re.compile(r'[",\r\n]|^\s|\s\Z|\A\Z')


class CellRows(ModelRows):
    """Cells of models, in the order of the model's fields."""

    def __init__(self, entity: Entity[Any], *, lossy: bool = False) -> None:
        super().__init__(entity, lossy=lossy)
        self.columns = tuple(self.codec.shape.by_attribute)

    def cells(self, item: Item) -> list[Cell]:
        """Return the cells of an item.

        Raises:
            ValidationError: It is no valid model, or would not be the same when it is read.
        """
        attributes = self.attributes(item)
        if extra := attributes.keys() - self.codec.shape.by_attribute.keys() - self.codec.shape.computed:
            names = ", ".join(sorted(extra))
            raise ValidationError(
                f"{names}: the model takes such attributes, but there are no columns for them; use --format json",
                dict.fromkeys(extra, "no column"),
            )
        cells = []
        for name in self.columns:
            try:
                cells.append(self._cell(name, attributes.get(name)))
            except RefusedValueError as refused:
                raise not_told(refused.at(name)) from None
        return cells

    def _cell(self, name: str, wire: Wire | None) -> Cell:
        member = self.member(name)
        if wire is None:
            # None, or else an empty set; both are possible only where the model has to say which of them it is.
            is_empty_set = not self.codec.is_left_out(member.name, None) and self.codec.is_left_out(member.name, set())
            if is_empty_set and not member.shape.tags:
                raise RefusedValueError("is an empty set", set())
            return "[]" if is_empty_set and member.shape.nullable else None
        ((tag, payload),) = wire.items()
        if tag == "NULL":
            if self.codec.is_left_out(member.name, None):  # of one model among several: another one's are left out
                raise RefusedValueError("is None where another model has nothing", None)
            return None
        if member.shape.tags == {tag} and tag in ("S", "B"):
            return str(payload) if tag == "S" else b64encode(read_binary(payload)).decode()
        return plain.to_text(wire, member.shape, lossy=self._lossy)

    def item_of(self, cells: Mapping[str, Cell], others: Item | None = None) -> Item:
        """Return the item of cells by column.

        Args:
            cells: The cells.
            others: What else it has.

        Raises:
            ValidationError: They are no valid model.
        """
        attributes: Item = dict(others or {})
        with plain.explained():
            for name, cell in cells.items():
                member = self.member(name)
                try:
                    wire = self._nothing(member) if cell is None else _wire(cell, member.shape)
                except RefusedValueError as refused:
                    raise refused.at(name) from None
                if wire is not None:
                    attributes[member.attribute] = wire
        return self.stored(attributes)

    def _nothing(self, member: Member) -> Wire | None:
        """Return what an empty cell is: None where there may be that, the empty text where there must be some."""
        if self.codec.is_left_out(member.name, None):
            return None
        if member.shape.nullable or not member.shape.tags:
            return {"NULL": True}
        return {"S": ""} if member.info.is_required() and member.shape.tags == {"S"} else None

    def member(self, name: str) -> Member:
        """Return the field of a column.

        Raises:
            ValidationError: There is none.
        """
        member = self.codec.member(name)
        if member is None:
            raise ValidationError(
                f"{name!r} is no field of {self.codec.model_class.__name__}; its fields are {', '.join(self.columns)}",
                {name: "no field"},
            )
        return member


def _wire(cell: str, shape: Shape) -> Wire:
    """Return the wire form of a cell; what is no JSON where there should be some is text, and the model says more."""
    if shape.tags in ({"S"}, {"B"}):
        return plain.to_wire(cell, shape)
    try:
        value = plain.from_text(cell)
    except ValidationError:
        return plain.to_wire(cell)
    return plain.to_wire(value, shape)


class CsvRows(CellRows):
    """CSV as RFC 4180 has it, UTF-8, with the names of the columns in the first line."""

    def __init__(self, entity: Entity[Any], *, lossy: bool = False) -> None:
        super().__init__(entity, lossy=lossy)
        self.header = _record(list(self.columns))
        self._read: list[str] = []

    def begin(self, header: bytes) -> None:
        """Take the columns that a file has, in its order.

        Raises:
            ValidationError: A column is no field of the model, or is there twice.
        """
        names = [name or "" for name in _parsed(header.decode("utf-8-sig"))]
        for name in names:
            self.member(name)
        if len(set(names)) < len(names):
            raise ValidationError("a column is there twice")
        self._read = names

    def row(self, item: Item) -> bytes:
        """Return the cells with commas between them.

        Raises:
            ValidationError: As `cells` says.
        """
        return _record(self.cells(item))

    def item(self, row: Any) -> Item:
        """Return the item of a record.

        Raises:
            ValidationError: It is none, or has not as many cells as there are columns.
        """
        try:
            cells = _parsed(row.decode())
        except UnicodeDecodeError as error:
            raise ValidationError(f"is no UTF-8: {error}", original_error=error) from error
        if len(cells) != len(self._read):
            raise ValidationError(f"has {len(cells)} cells, and there are {len(self._read)} columns")
        return self.item_of(dict(zip(self._read, cells, strict=True)))


def _record(cells: list[Cell]) -> bytes:
    return (",".join("" if cell is None else _quoted(cell) for cell in cells) + "\r\n").encode()


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell


def _parsed(record: str) -> list[Cell]:
    """Return the cells of a record; None for an empty one without quotes."""
    cells: list[Cell] = []
    place = 0
    while True:
        found = _CELL.match(record, place)
        if found is None:
            raise ValidationError(f"is no CSV from character {place + 1} on: {record[place:]!r:.60}")
        quoted, bare, end = found.groups()
        cells.append(quoted.replace('""', '"') if quoted is not None else bare or None)
        if end != ",":
            return cells
        place = found.end()
