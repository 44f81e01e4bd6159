"""Files that are read row by row, from any place on; memory holds one row."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

from dynamodb_wrapper.cli.failures import CommandError
from dynamodb_wrapper.cli.files import parquet

MAX_ROW_BYTES = 8 * 1024 * 1024
"""More than any item takes as text: DynamoDB holds 400 KB, and JSON writes a character in six at most."""
_SAMPLE_BYTES = 64 * 1024
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """How far files have been read.

    Attributes:
        file: Which file, where there are several.
        offset: How many bytes of it, unpacked.
        row: How many lines of it; of Parquet, rows.
    """

    file: int = 0
    offset: int = 0
    row: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One row as the file has it.

    Attributes:
        row: The number of its (first) line, or of the row, from 1.
        content: Bytes of a line, or values by column.
        after: The place behind it.
        problem: Why it cannot be read.
        file: The file, where there are several.
    """

    row: int
    content: Any
    after: Place
    problem: str | None = None
    file: str | None = None


class Input(Protocol):
    """What is imported.

    Attributes:
        name: What to call it.
        measure: What its size is counted in.
    """

    name: str
    measure: str

    @property
    def size(self) -> int | None:
        """How much of it there is; None when that is not known."""
        ...

    @property
    def position(self) -> int:
        """How much of it was read."""
        ...

    def identity(self) -> Mapping[str, object] | None:
        """Return what tells it from another, or from what it was before; None where reading cannot be gone on with."""
        ...

    def header(self) -> bytes:
        """Return what stands before the rows, as far as there is such a thing."""
        ...

    def records(self, begin: Place) -> Iterator[Record]:
        """Yield the rows from some place on."""
        ...


class LinesInput:
    """Lines of a file, packed with gzip if its name ends so, or of what can be read once: a pipe, standard input."""

    measure = "bytes"

    def __init__(self, path: Path | None, *, is_csv: bool = False) -> None:
        """Read a file, or standard input if there is none; of CSV, a row may have several lines."""
        self.path = path if path is None or path.is_file() else None
        self.name = "standard input" if path is None else str(path)
        self.size: int | None = None if self.path is None else self.path.stat().st_size
        self.position = 0
        self._once = sys.stdin.buffer if path is None else path.open("rb") if self.path is None else None
        self._is_csv = is_csv
        self._header: bytes | None = None

    def identity(self) -> Mapping[str, object] | None:
        """Return the size of the file, and a digest of its beginning and end."""
        if self.path is None:
            return None
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            digest.update(file.read(_SAMPLE_BYTES))
            file.seek(max(0, (self.size or 0) - _SAMPLE_BYTES))
            digest.update(file.read(_SAMPLE_BYTES))
        return {"size": self.size, "digest": digest.hexdigest()}

    def header(self) -> bytes:
        """Return the first line of a CSV file.

        Raises:
            CommandError: It is empty.
        """
        if not self._is_csv:
            return b""
        if self._header is None:
            if self._once is not None:
                self._header = self._once.readline(MAX_ROW_BYTES)
            elif self.path is not None:
                with _opened(self.path) as (_, stream):
                    self._header = stream.readline(MAX_ROW_BYTES)
        if not self._header or not self._header.strip():
            raise CommandError(f"{self.name} has no first line with the names of the columns")
        return self._header

    def records(self, begin: Place) -> Iterator[Record]:
        """Yield the rows from some place on.

        Raises:
            CommandError: The file is damaged.
        """
        if begin.offset == 0 and (header := self.header()):
            begin = Place(begin.file, len(header), 1)
        if self._once is not None:
            with self._once as stream:
                yield from self._rows(stream, begin, stream)
            return
        place = begin
        assert self.path is not None
        try:
            with _opened(self.path) as (raw, stream):
                stream.seek(begin.offset)
                for record in self._rows(stream, begin, raw):
                    place = record.after
                    yield record
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise CommandError(f"{self.name} is damaged after line {place.row:,}: {error}") from error

    def _rows(self, stream: IO[bytes], begin: Place, raw: IO[bytes]) -> Iterator[Record]:
        place, is_packed = begin, raw is not stream
        while line := stream.readline(MAX_ROW_BYTES):
            row, lines, size, problem = place.row + 1, 1, len(line), None
            if self._is_csv and line.count(b'"') % 2:
                rest = self._quoted(stream, row, size)
                lines += len(rest)
                line = b"".join((line, *rest))
                size = len(line)
            elif size >= MAX_ROW_BYTES and not line.endswith(b"\n"):
                problem, line = "is longer than 8 MB", line[:100]
                size += _skipped(stream)
            place = Place(begin.file, place.offset + size, place.row + lines)
            self.position = raw.tell() if is_packed else place.offset
            if line.strip():
                yield Record(row, line.rstrip(b"\r\n"), place, problem)

    def _quoted(self, stream: IO[bytes], row: int, size: int) -> list[bytes]:
        """Return the lines up to the end of a quote that the line before has begun; if it has no end, all there are."""
        lines: list[bytes] = []
        while line := stream.readline(MAX_ROW_BYTES):
            lines.append(line)
            size += len(line)
            if line.count(b'"') % 2:
                return lines
            if size > MAX_ROW_BYTES:
                raise CommandError(f"{self.name}: a quote in line {row:,} is not closed within 8 MB")
        return lines


def _skipped(stream: IO[bytes]) -> int:
    """Read to the end of a line, and return how many bytes that was."""
    size = 0
    while rest := stream.readline(MAX_ROW_BYTES):
        size += len(rest)
        if rest.endswith(b"\n"):
            break
    return size


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a file, and give it as it is and unpacked."""
    with path.open("rb") as raw:
        if path.suffix != ".gz":
            yield raw, raw
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield raw, cast("IO[bytes]", stream)


class ParquetInput:
    """Rows of a Parquet file."""

    measure = "rows"

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.position = 0
        self._path = path
        self.columns, self.size = parquet.columns_of(path)

    def identity(self) -> Mapping[str, object] | None:
        """Return the size of the file, and a digest of its beginning and end."""
        return LinesInput(self._path).identity()

    def header(self) -> bytes:
        """Return the names of the columns, as JSON."""
        return json.dumps(self.columns).encode()

    def records(self, begin: Place) -> Iterator[Record]:
        """Yield the rows from some place on.

        Raises:
            CommandError: The file is damaged.
        """
        for number, values in enumerate(parquet.rows_of(self._path, begin.row), start=begin.row + 1):
            self.position = number
            yield Record(number, values, Place(row=number))


def md5_of(path: Path) -> bytes:
    """Return the MD5 checksum of a file."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
