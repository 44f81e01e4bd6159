"""An import: rows of a file, looked at and written in chunks, and a checkpoint that never runs ahead of the table."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dynamodb_wrapper.cli.checkpoints import CheckpointFile
from dynamodb_wrapper.cli.failures import CommandError, ExitCode
from dynamodb_wrapper.cli.files.inputs import Input, Place, Record
from dynamodb_wrapper.cli.files.rejects import Rejects, reason_of, shown_row
from dynamodb_wrapper.cli.files.rows import Rows
from dynamodb_wrapper.cli.files.transfers import Moved, Told, Watch
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.operations import imports
from dynamodb_wrapper.operations.batches import identity
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.imports import Incoming
from dynamodb_wrapper.operations.passes import Pace
from dynamodb_wrapper.transport import SyncDriver

_CHUNK_ROWS = 1000
_CHUNK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Writing:
    """How a table is written.

    Attributes:
        overwrite: Whether what is there under a key is replaced.
        concurrency: How many requests are on their way at a time.
        rate: How many write units a second may be consumed; None for no limit.
        dry_run: Whether rows are only looked at.
    """

    overwrite: bool = True
    concurrency: int = 4
    rate: float | None = None
    dry_run: bool = False


class Import:
    """One import.

    Attributes:
        moved: What was moved so far.
        duplicates: How many rows had the key of another row; None where that is not known, because the file that kept
            the keys is gone.
    """

    def __init__(
        self,
        driver: SyncDriver,
        entity: Entity[Any],
        rows: Rows,
        source: Input,
        *,
        writing: Writing,
        rejects: Rejects,
        checkpoint: CheckpointFile | None,
    ) -> None:
        self.moved = Moved()
        self.duplicates: int | None = 0
        self._driver = driver.reporting()
        self._entity = entity
        self._rows = rows
        self._source = source
        self._writing = writing
        self._rejects = rejects
        self._checkpoint = checkpoint
        self._place = Place()
        self._watch = Watch()

    def run(self, state: Mapping[str, Any] | None, told: Told) -> None:
        """Import what is not imported yet.

        Args:
            state: What the checkpoint says; None to begin.
            told: Is told now and then how much that is.

        Raises:
            CommandError: Too many rows were refused, or the file is damaged or not as it was.
            DynamoDBWrapperError: A request failed.
        """
        keys = self._begun(state)
        try:
            self._read(keys, told)
            self.duplicates = self.moved.accepted - keys.count() if keys.are_all else None
        except BaseException:  # Ctrl-C too: what is done is written down, and the error goes on
            self._rejects.forget()
            if self.moved.rows:
                with closing(keys):
                    self._note(keys)
            else:
                keys.remove()
            raise
        finally:
            self._rejects.close()
        keys.remove()
        if self._checkpoint is not None:
            self._checkpoint.remove()

    def _begun(self, state: Mapping[str, Any] | None) -> Keys:
        """Begin, or go on where an earlier run was ended, and return the keys that were seen."""
        try:
            self._rows.begin(self._source.header())
        except ValidationError as error:
            raise CommandError(f"{self._source.name}: {reason_of(error)}") from error
        if state is not None:
            self.moved = Moved.of(state["moved"])
            self._place = Place(**state["place"])
        self._rejects.begin(None if state is None else state["rejects"])
        path = None if self._checkpoint is None else self._checkpoint.path
        return Keys(None if path is None else path.with_name(f"{path.name}.keys"), is_new=state is None)

    def _read(self, keys: Keys, told: Told) -> None:
        pace = Pace(self._writing.rate)
        with closing(cast(Any, self._source.records(self._place))) as records:
            for chunk in self._chunks(records):
                units = self._write(chunk, keys)
                told(self.moved)
                if self._watch.is_due():
                    self._note(keys)
                if units:
                    self._driver.run(pace.consumed(units), each_request=True)
        self._rejects.commit()
        self.moved.seconds += self._watch.lap()

    def _chunks(self, records: Iterable[Record]) -> Iterator[Chunk]:
        """Yield rows in such numbers as are written together: with a limit, about what a second is to see."""
        chunk, most = Chunk(), self._writing.rate or float("inf")
        for record in records:
            incoming = self._looked_at(record)
            chunk.add(record, incoming)
            if len(chunk.rows) >= _CHUNK_ROWS or chunk.bytes >= _CHUNK_BYTES or chunk.units >= most:
                yield chunk
                chunk = Chunk()
        if chunk.rows:
            yield chunk

    def _looked_at(self, record: Record) -> Incoming | None:
        try:
            if record.problem is not None:
                raise ValidationError(record.problem)
            return imports.incoming(self._entity, self._rows.item(record.content))
        except ValidationError as error:
            self._refuse(record, error)
            return None

    def _refuse(self, record: Record, error: DynamoDBWrapperError) -> None:
        where = {"line": record.row} if record.file is None else {"file": record.file, "line": record.row}
        self._rejects.take(reason_of(error), shown_row(record.content), where)

    def _write(self, chunk: Chunk, keys: Keys) -> float:
        """Write a chunk and return the units that it consumed; only then it counts."""
        imported = imports.Imported(sum(row is not None for row in chunk.rows))
        given = [(record, row) for record, row in zip(chunk.records, chunk.rows, strict=True) if row is not None]
        if given and not self._writing.dry_run:
            imported = self._driver.run(
                imports.write(
                    self._entity,
                    [row for _, row in given],
                    overwrite=self._writing.overwrite,
                    concurrency=self._writing.concurrency,
                ),
                each_request=True,
            )
        for refusal in imported.refusals:
            self._refuse(given[refusal.number][0], refusal.error)
        table = self._entity.table_name
        keys.add(identity(table, self._entity.key_of(row.item)) for _, row in given)
        moved = self.moved
        moved.rows += len(chunk.rows)
        moved.accepted += len(given)
        moved.items += imported.written
        moved.same += imported.same
        moved.bytes += chunk.bytes
        moved.units += imported.units
        self._place = chunk.records[-1].after
        self._rejects.keep()
        return imported.units

    def _note(self, keys: Keys) -> None:
        """Write down how far it has come."""
        rejects = self._rejects.commit()
        keys.commit()
        self.moved.seconds += self._watch.lap()
        if self._checkpoint is not None:
            place = {"file": self._place.file, "offset": self._place.offset, "row": self._place.row}
            self._checkpoint.write({"place": place, "rejects": rejects, "moved": self.moved.as_dict()})


class Chunk:
    """Rows that are written together.

    Attributes:
        records: The rows as the file has them.
        rows: What is written of each; None where it was refused.
        bytes: How many bytes the items have, as DynamoDB counts them.
        units: How many write units they take.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.rows: list[Incoming | None] = []
        self.bytes = 0
        self.units = 0

    def add(self, record: Record, row: Incoming | None) -> None:
        """Add a row."""
        self.records.append(record)
        self.rows.append(row)
        if row is not None:
            self.bytes += row.stored_bytes
            self.units += row.units


class Keys:
    """The keys that were seen, so that duplicates are counted: digests on the disk, so that any number has room.

    Attributes:
        are_all: Whether those of earlier runs are there.
    """

    def __init__(self, path: Path | None, *, is_new: bool) -> None:
        """Keep keys beside a checkpoint, or in a file that nobody sees."""
        self._path = path
        self.are_all = is_new or (path is not None and path.exists())
        if path is not None and is_new:
            path.unlink(missing_ok=True)
        with self._writable():
            # Without a name, SQLite makes a temporary file of what does not fit into its cache.
            self._database = sqlite3.connect("" if path is None else path)
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute("CREATE TABLE IF NOT EXISTS seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, keys: Iterable[Sequence[object]]) -> None:
        """Note keys; one that was seen is noted already."""
        digests = ((hashlib.blake2b(repr(key).encode(), digest_size=16).digest(),) for key in keys)
        with self._writable():
            self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?)", digests)

    def count(self) -> int:
        """Return how many different ones there were."""
        with self._writable():
            return int(self._database.execute("SELECT count(*) FROM seen").fetchone()[0])

    def commit(self) -> None:
        """Keep what was noted."""
        with self._writable():
            self._database.commit()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def remove(self) -> None:
        """Forget all."""
        self.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Say which file it is that cannot be used.

        Raises:
            CommandError: The disk is full, or the file is damaged.
        """
        try:
            yield
        except sqlite3.Error as error:
            if self._path is None:
                message = f"the temporary file of the keys cannot be written: {error}"
            else:
                message = f"{self._path} cannot be used: {error}; if you delete it, duplicates are not counted"
            raise CommandError(message, ExitCode.OUTPUT) from error
