"""Files that are written row by row and can be gone on with: what is not surely written is cut off again."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from dynamodb_wrapper.cli.failures import CommandError, ExitCode

_GZIP = 31
"""What zlib calls the format of gzip."""
_LEVEL = 6


class Output(Protocol):
    """What an export writes.

    Attributes:
        name: What to call it.
        is_lasting: Whether it can be gone on with.
    """

    name: str
    is_lasting: bool

    def begin(self, state: Mapping[str, Any] | None) -> None:
        """Begin, or go on where `commit` was.

        Raises:
            CommandError: What was written is no longer there.
        """
        ...

    def write(self, row: bytes) -> None:
        """Write a row."""
        ...

    def commit(self) -> Mapping[str, Any]:
        """Bring all to the disk, and return where to go on."""
        ...

    def finish(self) -> None:
        """Give the whole its name."""
        ...

    def is_finished(self) -> bool:
        """Whether `finish` was done, of what was to be finished."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...

    def discard(self) -> None:
        """Delete what was written, which nobody can go on with."""
        ...


class StandardOutput:
    """Rows on standard output."""

    name = "standard output"
    is_lasting = False

    def __init__(self, header: bytes = b"") -> None:
        self._header = header

    def begin(self, state: Mapping[str, Any] | None) -> None:
        """Write the header."""
        sys.stdout.buffer.write(self._header)

    def write(self, row: bytes) -> None:
        """Write a row."""
        sys.stdout.buffer.write(row)

    def commit(self) -> Mapping[str, Any]:
        """Hand on what is written."""
        sys.stdout.buffer.flush()
        return {}

    def finish(self) -> None:
        """Hand on what is written."""
        sys.stdout.buffer.flush()

    def is_finished(self) -> bool:
        """Return no: nothing is gone on with."""
        return False

    def close(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing: what is written is gone."""


class GrowingFile:
    """A file that rows are added to, packed with gzip or not; of a packed one, every `commit` ends a member.

    What has several members is a gzip file like any other.
    """

    def __init__(self, path: Path, *, packed: bool) -> None:
        self.path = path
        self._packed = packed
        self._packer: Any = None
        self._file: IO[bytes] | None = None

    def open(self, offset: int | None) -> None:
        """Begin, or go on at an offset.

        Raises:
            CommandError: The file cannot be written, or is not there or shorter.
        """
        with writable(self.path, ExitCode.USAGE):
            self._file = self.path.open("wb" if offset is None else "r+b")
        if offset is None:
            return
        size = self._file.seek(0, os.SEEK_END)
        if size < offset:
            self.close()
            raise CommandError(
                f"{self.path} has {size:,} bytes, and {offset:,} were written; begin anew with --restart"
            )
        self._file.truncate(offset)
        self._file.seek(offset)

    def write(self, row: bytes) -> None:
        """Write a row.

        Raises:
            CommandError: The disk is full, or fails.
        """
        assert self._file is not None
        if self._packed and self._packer is None:
            self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        with writable(self.path):
            self._file.write(row if self._packer is None else self._packer.compress(row))

    def commit(self) -> int:
        """Bring all to the disk, and return how many bytes that is.

        Raises:
            CommandError: The disk is full, or fails.
        """
        assert self._file is not None
        with writable(self.path):
            if self._packer is not None:
                self._file.write(self._packer.flush())
                self._packer = None
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file; what is not committed may be lost, and is cut off in any case."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


class FileOutput:
    """Rows in one file, which has its name when it is whole; until then ``.part`` is added to it.

    Args:
        path: The file.
        header: What it begins with.
        packed: Whether it is packed with gzip; by default if its name says so.
        convert: Makes the file from rows, where it is not made of them as they are.
    """

    is_lasting = True

    def __init__(
        self,
        path: Path,
        header: bytes = b"",
        *,
        packed: bool | None = None,
        convert: Callable[[Iterator[bytes], Path], None] | None = None,
    ) -> None:
        self.name = str(path)
        self._path = path
        self._header = header
        self._convert = convert
        self._part = path.with_name(f"{path.name}.part")
        self._growing = GrowingFile(self._part, packed=path.suffix == ".gz" if packed is None else packed)

    def begin(self, state: Mapping[str, Any] | None) -> None:
        """Begin, or go on where `commit` was.

        Raises:
            CommandError: What was written is no longer there.
        """
        self._growing.open(None if state is None else int(state["offset"]))
        if state is None and self._header:
            self._growing.write(self._header)

    def write(self, row: bytes) -> None:
        """Write a row."""
        self._growing.write(row)

    def commit(self) -> Mapping[str, Any]:
        """Bring all to the disk, and return where to go on."""
        return {"offset": self._growing.commit()}

    def finish(self) -> None:
        """Give the file its name."""
        self._growing.commit()
        self._growing.close()
        whole = self._part
        if self._convert is not None:
            whole = self._path.with_name(f"{self._path.name}.new")
            with self._part.open("rb") as lines:
                self._convert(lines, whole)
            on_disk(whole)
        os.replace(whole, self._path)
        on_disk(self._path.parent)
        self._part.unlink(missing_ok=True)

    def is_finished(self) -> bool:
        """Whether the file has its name already, of a run that was ended just then."""
        return self._path.exists() and not self._part.exists()

    def close(self) -> None:
        """Let go of what is open."""
        self._growing.close()

    def discard(self) -> None:
        """Delete what was written."""
        self._part.unlink(missing_ok=True)


@contextmanager
def writable(path: Path, code: ExitCode = ExitCode.OUTPUT) -> Iterator[None]:
    """Say which file it is that cannot be written.

    Raises:
        CommandError: It cannot.
    """
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}", code) from error


def on_disk(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk, where the system can be told to."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
