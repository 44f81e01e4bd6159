"""Models in Parquet files; the only place that imports pyarrow, when such a file is written or read.

A Parquet file cannot be gone on with: what says where its rows are stands at its end. So an export writes rows of cells
first, as lines, and makes the file of them when all are there.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from dynamodb_wrapper.cli.failures import CommandError
from dynamodb_wrapper.cli.files import plain
from dynamodb_wrapper.cli.files.cells import Cell, CellRows
from dynamodb_wrapper.codec import Item, Member, RefusedValueError, Wire
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.declaration import DATETIMES
from dynamodb_wrapper.operations.entity import Entity

_GROUP_ROWS = 100_000
_GROUP_BYTES = 64 * 1024 * 1024
_BATCH_ROWS = 1000
_LONG = 2**63


def pyarrow(name: str = "pyarrow") -> Any:
    """Return pyarrow, or a module of it.

    Raises:
        CommandError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise CommandError(
            "Parquet needs pyarrow, which is not installed: pip install 'dynamodb-wrapper[parquet]'"
        ) from error


class ParquetRows(CellRows):
    """Rows of cells as lines of JSON, and the values that columns of Parquet have."""

    header = b""

    def __init__(self, entity: Entity[Any], *, lossy: bool = False) -> None:
        super().__init__(entity, lossy=lossy)
        self._kinds = {name: _kind(self.member(name)) for name in self.columns}

    def begin(self, header: bytes) -> None:
        """Take the columns of a file that is read, as a line of JSON.

        Raises:
            ValidationError: A column is no field of the model.
        """
        for name in json.loads(header):
            self.member(name)

    def row(self, item: Item) -> bytes:
        """Return the cells as a line of JSON.

        Raises:
            ValidationError: As `cells` says, or a whole number has more than 64 bits.
        """
        cells = self.cells(item)
        for name, cell in zip(self.columns, cells, strict=True):
            if cell is not None and self._kinds[name] == "int64" and not -_LONG <= int(cell) < _LONG:
                raise ValidationError(
                    f"{name} = {cell} has more than the 64 bits of whole numbers in Parquet; use --format json",
                    {name: "has more than 64 bits"},
                )
        return json.dumps(cells).encode() + b"\n"

    def item(self, row: Any) -> Item:
        """Return the item of values by column.

        Raises:
            ValidationError: They are no valid model.
        """
        attributes: Item = {}
        texts: dict[str, Cell] = {}
        with plain.explained():
            for name, value in row.items():
                if value is None or isinstance(value, str):
                    texts[name] = value
                else:
                    member = self.member(name)
                    value = self.codec.times.aware(value) if isinstance(value, datetime) else value
                    attributes[member.attribute] = _refused_at(name, value, member)
        return self.item_of(texts, attributes)

    def schema(self) -> Any:
        """Return the columns of a file, typed as the model's fields are."""
        arrow = pyarrow()
        types = {
            "int64": arrow.int64(),
            "float64": arrow.float64(),
            "bool": arrow.bool_(),
            "binary": arrow.binary(),
            "timestamp": arrow.timestamp("us", tz="UTC"),
            "date": arrow.date32(),
            "texts": arrow.list_(arrow.string()),
            "text": arrow.string(),
        }
        return arrow.schema([(name, types[kind]) for name, kind in self._kinds.items()])

    def write(self, lines: Iterator[bytes], path: Path) -> None:
        """Make a file of the lines that `row` gave; memory holds one group of its rows."""
        arrow, schema = pyarrow(), self.schema()
        with pyarrow("pyarrow.parquet").ParquetWriter(path, schema) as writer:
            while group := list(_group(lines)):
                rows = [json.loads(line) for line in group]
                columns = [
                    arrow.array([None if row[place] is None else read(row[place]) for row in rows], schema.types[place])
                    for place, read in enumerate(_READERS[kind] for kind in self._kinds.values())
                ]
                writer.write_table(arrow.Table.from_arrays(columns, schema=schema))


def rows_of(path: Path, begin: int) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file from some row on, each by column; memory holds a thousand.

    Raises:
        CommandError: It is no Parquet file, or it is damaged.
    """
    arrow = pyarrow()
    try:
        with pyarrow("pyarrow.parquet").ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                skipped = min(begin, batch.num_rows)
                begin -= skipped
                columns = [_in_microseconds(column) for column in batch.slice(skipped).columns]
                yield from arrow.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    except arrow.ArrowException as error:
        raise CommandError(f"{path} cannot be read as Parquet: {error}") from error


def _in_microseconds(column: Any) -> Any:
    """Return a column whose times Python can hold: pandas writes nanoseconds."""
    arrow, kind = pyarrow(), column.type
    is_finer = pyarrow("pyarrow.types").is_timestamp(kind) and kind.unit == "ns"
    return column.cast(arrow.timestamp("us", tz=kind.tz), safe=False) if is_finer else column


def columns_of(path: Path) -> tuple[list[str], int]:
    """Return the columns of a file, and how many rows it has.

    Raises:
        CommandError: It is no Parquet file.
    """
    arrow = pyarrow()
    try:
        with pyarrow("pyarrow.parquet").ParquetFile(path) as file:
            return list(file.schema_arrow.names), int(file.metadata.num_rows)
    except (arrow.ArrowException, OSError) as error:
        raise CommandError(f"{path} cannot be read as Parquet: {error}") from error


def _group(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield as many lines as a group of rows has."""
    size = 0
    for line in islice(lines, _GROUP_ROWS):
        yield line
        size += len(line)
        if size >= _GROUP_BYTES:
            return


def _kind(member: Member) -> str:
    """Return what a field is in Parquet; what has no type of its own there is text, or JSON."""
    shape, element, kind = member.shape, member.shape.element, _class_of(member.info.annotation)
    if shape.tags == {"S"} and issubclass(kind, date):
        return "timestamp" if issubclass(kind, datetime) else "date"
    if shape.tags == {"S"} and issubclass(kind, DATETIMES):  # Pydantic's own ones
        return "timestamp"
    if shape.tags == {"N"} and issubclass(kind, int | float):
        return "int64" if issubclass(kind, int) else "float64"
    if shape.tags in ({"BOOL"}, {"B"}):
        return "bool" if shape.tags == {"BOOL"} else "binary"
    is_list = element is not None and element.tags == {"S"} and not element.nullable and shape.tags <= {"L", "SS"}
    return "texts" if is_list else "text"


def _class_of(annotation: Any) -> type:
    """Return the class that every value of an annotation is of, but for None; ``object`` where there are several."""
    if get_origin(annotation) is Annotated:
        return _class_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        members = [each for each in get_args(annotation) if each is not NoneType]
        return _class_of(members[0]) if len(members) == 1 else object
    return annotation if isinstance(annotation, type) else object


_READERS: Mapping[str, Callable[[str], Any]] = {
    "int64": int,
    "float64": float,
    "bool": lambda cell: cell == "true",
    "binary": plain.decoded,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "texts": json.loads,
    "text": str,
}


def _refused_at(name: str, value: object, member: Member) -> Wire:
    try:
        return plain.to_wire(value, member.shape)
    except RefusedValueError as refused:
        raise refused.at(name) from None
