"""Folders as DynamoDB's export to S3 writes them: packed files of DynamoDB JSON, and manifests that vouch for them.

AWS, "DynamoDB table export output format": ``manifest-summary.json`` says what was exported, and
``manifest-files.json``, with a line for each file under ``data/``, how many items a file has and its MD5 checksum in
base64. Files stand in them by their keys in S3, of which only the last part is a name here.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from dynamodb_wrapper.cli.failures import CommandError
from dynamodb_wrapper.cli.files.inputs import LinesInput, Place, Record, md5_of
from dynamodb_wrapper.cli.files.outputs import GrowingFile, on_disk
from dynamodb_wrapper.operations.raw_tables import StoredTable

SUMMARY = "manifest-summary.json"
FILES = "manifest-files.json"
_FILE_BYTES = 256 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of items, as the manifest has it.

    Attributes:
        name: Its name under ``data/``.
        items: How many items it has.
        md5: Its MD5 checksum, in base64.
    """

    name: str
    items: int
    md5: str


class FolderOutput:
    """Rows of DynamoDB JSON in a folder, which has its name when it is whole; until then ``.part`` is added to it.

    Args:
        path: The folder.
        table: The table, for the manifest.
        file_bytes: How many bytes a file has before another one is begun, unpacked.
    """

    is_lasting = True

    def __init__(self, path: Path, *, table: StoredTable, file_bytes: int = _FILE_BYTES) -> None:
        self.name = str(path)
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._table = table
        self._file_bytes = file_bytes
        now = datetime.now(UTC)
        self._started = _moment(now)
        self._id = f"{int(now.timestamp() * 1000):014d}-{uuid4().hex[:8]}"
        self._files: list[DataFile] = []
        self._growing: GrowingFile | None = None
        self._items = 0
        self._bytes = 0

    def begin(self, state: Mapping[str, Any] | None) -> None:
        """Begin, or go on where `commit` was.

        Raises:
            CommandError: What was written is no longer there.
        """
        if state is None:
            if (self._part / "_started").exists():
                shutil.rmtree(self._part)
            try:
                (self._part / "data").mkdir(parents=True)
            except OSError as error:
                raise CommandError(f"{self._part} cannot be made: {error.strerror}") from error
            (self._part / "_started").touch()
            return
        self._id, self._started = state["id"], state["started"]
        self._files = [DataFile(*entry) for entry in state["files"]]
        for file in self._files:
            if not self._data(file.name).exists():
                raise CommandError(f"{self._data(file.name)} is gone; begin anew with --restart")
        if state["offset"] is not None:
            self._growing, self._items, self._bytes = self._next_file(), state["items"], state["bytes"]
            self._growing.open(state["offset"])

    def write(self, row: bytes) -> None:
        """Write a row."""
        if self._growing is None:
            self._growing, self._items, self._bytes = self._next_file(), 0, 0
            self._growing.open(None)
        self._growing.write(row)
        self._items += 1
        self._bytes += len(row)

    def commit(self) -> Mapping[str, Any]:
        """Bring all to the disk, and return where to go on."""
        offset = None if self._growing is None else self._growing.commit()
        if offset is not None and self._bytes >= self._file_bytes:
            self._end_file()
            offset = None
        return {
            "id": self._id,
            "started": self._started,
            "files": [[file.name, file.items, file.md5] for file in self._files],
            "offset": offset,
            "items": self._items,
            "bytes": self._bytes,
        }

    def finish(self) -> None:
        """Write the manifests, and give the folder its name."""
        if self._growing is not None:
            self._growing.commit()
            self._end_file()
        prefix = f"AWSDynamoDB/{self._id}"
        entries = [
            {
                "itemCount": file.items,
                "md5Checksum": file.md5,
                "etag": _hex(file.md5),
                "dataFileS3Key": f"{prefix}/data/{file.name}",
            }
            for file in self._files
        ]
        self._manifest(FILES, "".join(f"{json.dumps(entry)}\n" for entry in entries))
        self._manifest(SUMMARY, json.dumps(self._summary(f"{prefix}/{FILES}")))
        on_disk(self._part / "data")
        on_disk(self._part)
        os.replace(self._part, self._path)
        on_disk(self._path.parent)

    def is_finished(self) -> bool:
        """Whether the folder has its name already, of a run that was ended just then."""
        return self._path.exists() and not self._part.exists()

    def close(self) -> None:
        """Let go of what is open."""
        if self._growing is not None:
            self._growing.close()

    def discard(self) -> None:
        """Delete what was written."""
        if (self._part / "_started").exists():
            shutil.rmtree(self._part)

    def _summary(self, files_key: str) -> Mapping[str, object]:
        arn = self._table.arn
        return {
            "version": "2020-06-30",
            "exportArn": None if arn is None else f"{arn}/export/{self._id}",
            "startTime": self._started,
            "endTime": _moment(datetime.now(UTC)),
            "tableArn": arn,
            "tableId": self._table.table_id,
            "exportTime": self._started,
            "s3Bucket": None,
            "s3Prefix": None,
            "s3SseAlgorithm": None,
            "s3SseKmsKeyId": None,
            "manifestFilesS3Key": files_key,
            "billedSizeBytes": 0,
            "itemCount": sum(file.items for file in self._files),
            "outputFormat": "DYNAMODB_JSON",
            "exportType": "FULL_EXPORT",
        }

    def _manifest(self, name: str, text: str) -> None:
        path = self._part / name
        path.write_text(text, encoding="utf-8")
        path.with_suffix(".checksum").write_text(_checksum(path), encoding="ascii")
        on_disk(path)

    def _next_file(self) -> GrowingFile:
        return GrowingFile(self._data(f"{len(self._files):05d}-{self._id[-8:]}.json.gz"), packed=True)

    def _end_file(self) -> None:
        assert self._growing is not None
        path = self._growing.path
        self._growing.close()
        self._growing = None
        self._files.append(DataFile(path.name, self._items, _checksum(path)))

    def _data(self, name: str) -> Path:
        return self._part / "data" / name


class FolderInput:
    """Rows of a folder with manifests, every file of which is looked at before the first row is given."""

    measure = "bytes"

    def __init__(self, path: Path) -> None:
        """Read the manifests.

        Raises:
            CommandError: They are missing, damaged, or of an export that cannot be imported.
        """
        self.name = str(path)
        self._path = path
        self._done = 0
        self._current: LinesInput | None = None
        summary = self._summary()
        self._files = self._listed()
        listed, said = sum(file.items for file in self._files), summary.get("itemCount")
        if isinstance(said, int) and listed != said:
            raise CommandError(f"{self.name}: {SUMMARY} has {said:,} items, and {FILES} has {listed:,}")
        self.size = sum(self._data(file).stat().st_size for file in self._files)

    @property
    def position(self) -> int:
        """How many bytes of the files were read."""
        return self._done + (0 if self._current is None else self._current.position)

    def identity(self) -> Mapping[str, object] | None:
        """Return the checksum of the list of files, which has theirs."""
        return {"files": _checksum(self._path / FILES)}

    def header(self) -> bytes:
        """Return nothing."""
        return b""

    def verify(self) -> None:
        """Compare all files with their checksums and counts.

        Raises:
            CommandError: One is damaged, or is another file.
        """
        for file in self._files:
            path = self._data(file)
            if (found := _checksum(path)) != file.md5:
                raise CommandError(
                    f"{path} is damaged: its MD5 checksum is {found}, and that of the manifest is {file.md5}; nothing "
                    "was written"
                )
            if (lines := _lines_in(path)) != file.items:
                raise CommandError(
                    f"{path} has {lines:,} items, and the manifest says {file.items:,}; nothing was written"
                )

    def records(self, begin: Place) -> Iterator[Record]:
        """Yield the rows of all files from some place on.

        Raises:
            CommandError: A file is damaged.
        """
        for number, file in enumerate(self._files):
            path = self._data(file)
            if number >= begin.file:
                place = begin if number == begin.file else Place(number)
                self._current = LinesInput(path)
                with closing(self._current.records(place)) as records:  # type: ignore[type-var]  # a generator
                    for record in records:
                        yield replace(record, after=replace(record.after, file=number), file=file.name)
                self._current = None
            self._done += path.stat().st_size

    def _summary(self) -> Mapping[str, Any]:
        path = self._path / SUMMARY
        try:
            summary = json.loads(path.read_bytes())
            said = summary.get("outputFormat", "DYNAMODB_JSON"), summary.get("exportType", "FULL_EXPORT")
        except FileNotFoundError as error:
            raise CommandError(
                f"{self._path} has no {SUMMARY}: name the folder that has it, as DynamoDB's export to S3 writes it"
            ) from error
        except (ValueError, AttributeError) as error:
            raise CommandError(f"{path} is damaged: {error}") from error
        if said != ("DYNAMODB_JSON", "FULL_EXPORT"):
            raise CommandError(
                f"{self._path} is a {said[1]} as {said[0]}; only a FULL_EXPORT as DYNAMODB_JSON can be imported"
            )
        self._check(path)
        return dict(summary)

    def _listed(self) -> Sequence[DataFile]:
        path = self._path / FILES
        try:
            entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            files = [
                DataFile(entry["dataFileS3Key"].rpartition("/")[2], int(entry["itemCount"]), entry["md5Checksum"])
                for entry in entries
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CommandError(f"{path} is missing or damaged: {error}") from error
        self._check(path)
        if missing := [file.name for file in files if not self._data(file).is_file()]:
            raise CommandError(f"{self._path / 'data'} has no {', '.join(missing[:5])}, which {FILES} names")
        return files

    def _check(self, path: Path) -> None:
        """Compare a manifest with the checksum beside it, where there is one of a form that we know."""
        beside = path.with_suffix(".checksum")
        said = beside.read_text(encoding="utf-8", errors="replace").strip() if beside.is_file() else ""
        found = _checksum(path)
        if (len(said) == len(found) and said != found) or (len(said) == 32 and said.lower() != _hex(found)):
            raise CommandError(f"{path} is damaged: its MD5 checksum is {found}, and {beside.name} has {said}")

    def _data(self, file: DataFile) -> Path:
        return self._path / "data" / file.name


def _checksum(path: Path) -> str:
    return b64encode(md5_of(path)).decode()


def _hex(checksum: str) -> str:
    return b64decode(checksum).hex()


def _lines_in(path: Path) -> int:
    count, last = 0, b"\n"
    try:
        with gzip.open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                count += chunk.count(b"\n")
                last = chunk[-1:]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CommandError(f"{path} is damaged: {error}; nothing was written") from error
    return count + (last != b"\n")


def _moment(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
