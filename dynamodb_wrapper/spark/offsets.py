"""Where a reader is in a table's stream, as Spark keeps it in its checkpoint.

Nobody tells where an open shard ends now: to know how far one can read is to read. So an offset says what *was* read,
by sequence numbers, which mean the same in any process; iterators, which expire after 15 minutes, are in none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError

_VERSION = 1


class TrimmedDataError(DynamoDBWrapperError):
    """Changes that were to be read are no longer in the stream: DynamoDB keeps them for 24 hours."""


class StreamEndedError(DynamoDBWrapperError):
    """The stream was disabled, and all of it is read; or it is gone."""


@dataclass(frozen=True)
class Position:
    """How far a shard is read.

    Attributes:
        after: The sequence number of the last record seen; None for none yet.
        since: Records created before this second (since 1970) are skipped: of a shard that was open when a query began
            at ``latest``, and of which no record was taken yet.
        first: The first record of the batch that ended here, where that batch did not begin after a sequence number: so
            the batch can be read again just as it was.
        is_done: Whether the shard has ended, and all of it is read.
    """

    after: str | None = None
    since: int | None = None
    first: str | None = None
    is_done: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the position as JSON values, without what is not set."""
        values = {"after": self.after, "since": self.since, "first": self.first, "done": self.is_done or None}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Offset:
    """How far a stream is read.

    Attributes:
        stream: Its ARN.
        shards: The position in every shard, parents before their children.
        gaps: How often changes were lost, and reading went on all the same, since the query began.
    """

    stream: str
    shards: Mapping[str, Position]
    gaps: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the offset as Spark keeps it in its checkpoint."""
        shards = {name: position.as_json() for name, position in self.shards.items()}
        return {"version": _VERSION, "stream": self.stream, "gaps": self.gaps, "shards": shards}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Offset:
        """Return an offset from Spark's checkpoint.

        Raises:
            ValidationError: It is of another version, or none of ours.
        """
        if given.get("version") != _VERSION:
            raise ValidationError(
                f"the checkpoint's offset is of version {given.get('version')!r}, and this library knows {_VERSION}: "
                "use the version of the library that wrote it, or another checkpoint location",
                {"version": f"is {given.get('version')!r}"},
            )
        shards = {
            name: Position(entry.get("after"), entry.get("since"), entry.get("first"), entry.get("done", False))
            for name, entry in given["shards"].items()
        }
        return cls(given["stream"], shards, given["gaps"])
