"""The shards of a table's stream, read so that the changes of an item stay in order.

A stream is a tree of shards. A shard is written for about four hours; then it ends, and shards that name it as their
parent go on. The changes of an item are in order within a shard and from parent to child, so a child is read when its
parent is finished. Records are kept for 24 hours.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import inf
from typing import Any

from dynamodb_wrapper.exceptions import DynamoDBWrapperError, TableNotFoundError
from dynamodb_wrapper.operations.effects import Flow, Params, Response, call, now, together
from dynamodb_wrapper.spark.offsets import Offset, Position, StreamEndedError, TrimmedDataError

Record = dict[str, Any]
"""A stream record as botocore returns it."""

MAX_RECORDS = 1000
"""AWS, GetRecords: at most so many records, or 1 MB, in one answer."""
_MAX_BYTES = 32_000_000
_AT_A_TIME = 8
_DESCRIBED_FOR_SECONDS = 30.0
_EMPTY_PAGES = 1
_EMPTY_PAGES_AT_THE_END = 5
_EMPTY_PAGES_CLOSED = 20
_EMPTY_PAGES_AGAIN = 1000
_GONE = ("TrimmedDataAccessException", "ResourceNotFoundException")

logger = logging.getLogger("dynamodb_wrapper.spark")


@dataclass(frozen=True)
class _Page:
    """What one GetRecords gave.

    Attributes:
        records: Those that are to be delivered.
        position: Where the shard is now.
        size: How many bytes it was.
        is_empty: Whether the answer had no records.
        is_enough: Whether the shard is not to be read on, because what follows is too new.
        gaps: How many gaps were met.
    """

    records: list[Record]
    position: Position
    size: int = 0
    is_empty: bool = False
    is_enough: bool = False
    gaps: int = 0


@dataclass
class ShardReader:
    """Reads one stream, as flows; holds iterators and what it knows of the shards between one read and the next.

    Attributes:
        stream: The stream's ARN.
        goes_on: Whether changes that are lost are passed over with a warning; else they are an error.
        max_records: About how many records a read returns at most.
    """

    stream: str
    goes_on: bool = False
    max_records: int = 10_000
    _iterators: dict[str, tuple[Position, str]] = field(default_factory=dict)
    _from_latest: set[str] = field(default_factory=set)
    _parents: dict[str, str | None] = field(default_factory=dict)
    _closed: set[str] = field(default_factory=set)
    _described_at: datetime | None = None
    _server_time: int = 0
    _is_disabled: bool = False

    def from_the_beginning(self) -> Flow[Offset]:
        """Return the offset before everything that is in the stream."""
        positions: dict[str, Position] = {}
        yield from self._describe(positions)
        return Offset(self.stream, positions)

    def from_now_on(self) -> Flow[Offset]:
        """Return the offset after everything that is in the stream."""
        positions: dict[str, Position] = {}
        yield from self._describe(positions)
        for shard in positions:
            if shard in self._closed:
                positions[shard] = Position(is_done=True)
                continue
            positions[shard] = Position(since=self._server_time)
            # Good for this process; another one finds the place by the time.
            self._iterators[shard] = positions[shard], (yield from self._iterator(shard, "LATEST"))
            self._from_latest.add(shard)
        return Offset(self.stream, positions)

    def read(self, start: Offset, *, until: datetime | None = None) -> Flow[tuple[list[Record], Offset]]:
        """Return the next records after an offset, and the offset after them.

        Args:
            start: Where to begin.
            until: Leave out what was created later, and look harder for what was not.

        Raises:
            TrimmedDataError: Changes are lost, and that is to fail.
            StreamEndedError: There will be no more.
        """
        positions, gaps = dict(start.shards), start.gaps
        if (yield from self._is_due(positions)):
            gaps += yield from self._describe(positions)
        if self._is_disabled and all(position.is_done for position in positions.values()):
            raise StreamEndedError(f"the stream {self.stream} was disabled, and all changes in it are delivered")
        taken: list[Record] = []
        size, empty = 0, dict.fromkeys(positions, 0.0)
        while len(taken) < self.max_records and size < _MAX_BYTES:
            ready = [shard for shard in positions if self._is_ready(shard, positions, empty, until)]
            if not ready:
                break
            limit = max(1, min(MAX_RECORDS, (self.max_records - len(taken)) // len(ready)))
            flows = (self._page(shard, start.shards.get(shard), positions[shard], limit, until) for shard in ready)
            pages = yield from together(flows, at_most=_AT_A_TIME)
            for shard, page in zip(ready, pages, strict=True):
                taken += page.records
                size += page.size
                gaps += page.gaps
                positions[shard] = page.position
                empty[shard] = inf if page.is_enough else empty[shard] + 1 if page.is_empty else 0
            if any(page.position.is_done for page in pages):
                gaps += yield from self._describe(positions)  # for the children
                empty = {shard: empty.get(shard, 0) for shard in positions}
        return taken, Offset(self.stream, positions, gaps)

    def between(self, start: Offset, end: Offset) -> Flow[list[Record]]:
        """Return the records of a batch once more, from the offsets before and after it.

        Raises:
            TrimmedDataError: Some of them are lost, and that is to fail.
        """
        records: list[Record] = []
        for shard, last in end.shards.items():
            before = start.shards.get(shard, Position())
            if last.after is None or last.after == before.after:
                continue
            if last.first is not None:
                records += yield from self._again(shard, "AT_SEQUENCE_NUMBER", last.first, last.after)
            elif before.after is not None and last.since is None:
                records += yield from self._again(shard, "AFTER_SEQUENCE_NUMBER", before.after, last.after)
        return records

    def _is_due(self, positions: Mapping[str, Position]) -> Flow[bool]:
        time = yield from now()
        if self._described_at is None or all(position.is_done for position in positions.values()):
            return True
        return (time - self._described_at).total_seconds() > _DESCRIBED_FOR_SECONDS

    def _describe(self, positions: dict[str, Position]) -> Flow[int]:
        """Bring positions up to date with the shards there are, and return how many were lost."""
        self._described_at = yield from now()
        shards: list[Response] = []
        start: Params = {}
        while True:
            try:
                answer = yield from call("DescribeStream", {"StreamArn": self.stream, **start})
            except TableNotFoundError as error:
                raise StreamEndedError(f"the stream {self.stream} does not exist (any more)", error) from error
            description = answer["StreamDescription"]
            shards += description.get("Shards", ())
            if not description.get("LastEvaluatedShardId"):
                break
            start = {"ExclusiveStartShardId": description["LastEvaluatedShardId"]}
        # AWS's clock, not this machine's: it is compared with when records were created.
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        self._server_time = int((parsedate_to_datetime(date) if date else self._described_at).timestamp())
        self._is_disabled = description.get("StreamStatus") == "DISABLED"
        self._parents = {shard["ShardId"]: shard.get("ParentShardId") for shard in shards}
        ended = (shard for shard in shards if shard.get("SequenceNumberRange", {}).get("EndingSequenceNumber"))
        self._closed = {shard["ShardId"] for shard in ended}
        lost = 0
        for shard in [shard for shard in positions if shard not in self._parents]:
            if not positions.pop(shard).is_done:
                lost += self._lost(shard)
            self._iterators.pop(shard, None)
        for shard in _parents_first(self._parents):
            positions.setdefault(shard, Position())
        return lost

    def _is_ready(
        self, shard: str, positions: Mapping[str, Position], empty: Mapping[str, float], until: datetime | None
    ) -> bool:
        """Whether a shard is to be read now."""
        parent = positions.get(self._parents.get(shard) or "")
        if positions[shard].is_done or (parent is not None and not parent.is_done):
            return False
        # An answer without records is not the end: it may take several to get over a stretch where there are none.
        patience = _EMPTY_PAGES if until is None else _EMPTY_PAGES_AT_THE_END
        return empty[shard] < (max(patience, _EMPTY_PAGES_CLOSED) if shard in self._closed else patience)

    def _page(
        self, shard: str, start: Position | None, position: Position, limit: int, until: datetime | None
    ) -> Flow[_Page]:
        try:
            answer = yield from self._records(shard, position, limit)
        except DynamoDBWrapperError as error:
            if error.code not in _GONE:
                raise
            return _Page([], Position(), is_empty=True, gaps=self._lost(shard, error))
        following = answer.get("NextShardIterator")
        found: list[Record] = answer["Records"]
        since = None if shard in self._from_latest else position.since
        records = [record for record in found if since is None or _created(record) >= since]
        new_enough = len(records) if until is None else _count_until(records, until.timestamp())
        is_enough = new_enough < len(records)
        records = records[:new_enough]
        reached = position
        if seen := (records if is_enough else found):
            reached = Position(_sequence_number(seen[-1]), None if records else position.since)
            is_contiguous = position.after is not None and position.since is None
            if records and not is_contiguous:
                reached = replace(reached, first=_sequence_number(records[0]))
            elif position != start:  # a later page of the batch in which it was set
                reached = replace(reached, first=position.first)
        if following is None and not is_enough:
            reached = replace(reached, is_done=True)
        elif following is not None and not is_enough:
            self._iterators[shard] = reached, following
        return _Page(records, reached, _size(answer), not found, is_enough)

    def _records(self, shard: str, position: Position, limit: int) -> Flow[Response]:
        """Send GetRecords, with the iterator of last time if there is one that is good still."""
        kept_for, kept = self._iterators.pop(shard, (None, None))
        if kept is not None and kept_for == position:
            try:
                return (yield from call("GetRecords", {"ShardIterator": kept, "Limit": limit}))
            except DynamoDBWrapperError as error:
                if error.code != "ExpiredIteratorException":
                    raise
        self._from_latest.discard(shard)
        if position.after is None:
            iterator = yield from self._iterator(shard, "TRIM_HORIZON")
        else:
            iterator = yield from self._iterator(shard, "AFTER_SEQUENCE_NUMBER", position.after)
        return (yield from call("GetRecords", {"ShardIterator": iterator, "Limit": limit}))

    def _iterator(self, shard: str, kind: str, sequence_number: str | None = None) -> Flow[str]:
        params: Params = {"StreamArn": self.stream, "ShardId": shard, "ShardIteratorType": kind}
        if sequence_number is not None:
            params["SequenceNumber"] = sequence_number
        answer = yield from call("GetShardIterator", params)
        iterator: str = answer["ShardIterator"]
        return iterator

    def _again(self, shard: str, kind: str, first: str, last: str) -> Flow[list[Record]]:
        """Return the records of a shard from one sequence number to another."""
        try:
            return (yield from self._up_to(shard, kind, first, last))
        except DynamoDBWrapperError as error:
            if error.code not in _GONE:
                raise
            self._lost(shard, error)
        try:  # what is left of them
            return (yield from self._up_to(shard, "TRIM_HORIZON", None, last))
        except DynamoDBWrapperError as error:
            if error.code not in _GONE:
                raise
            return []

    def _up_to(self, shard: str, kind: str, first: str | None, last: str) -> Flow[list[Record]]:
        records: list[Record] = []
        iterator: str | None = yield from self._iterator(shard, kind, first)
        empty = 0
        while iterator is not None and empty < _EMPTY_PAGES_AGAIN:
            answer = yield from call("GetRecords", {"ShardIterator": iterator, "Limit": MAX_RECORDS})
            found: list[Record] = answer["Records"]
            records += [record for record in found if int(_sequence_number(record)) <= int(last)]
            if found and int(_sequence_number(found[-1])) >= int(last):
                break
            empty = 0 if found else empty + 1
            iterator = answer.get("NextShardIterator")
        return records

    def _lost(self, shard: str, error: DynamoDBWrapperError | None = None) -> int:
        """Report that changes of a shard are lost, and return 1 if that is to be passed over."""
        if not self.goes_on:
            raise TrimmedDataError(
                f"changes in shard {shard} are no longer in the stream {self.stream}: they were not read within 24 "
                "hours, and are lost. Read the table as a whole, then begin with another checkpoint location; or "
                'option("on_trimmed", "continue") goes on with what there is',
                error,
                {"shard": shard},
            ) from error
        logger.warning("changes in shard %s of the stream %s are lost; going on with what there is", shard, self.stream)
        return 1


def _parents_first(parents: Mapping[str, str | None]) -> Iterable[str]:
    """Return the shards so that each comes after its parent, if that is one of them."""
    ordered: dict[str, None] = {}
    for shard in parents:
        line = []
        ancestor: str | None = shard
        while ancestor is not None and ancestor in parents and ancestor not in ordered:
            line.append(ancestor)
            ancestor = parents[ancestor]
        ordered.update(dict.fromkeys(reversed(line)))
    return ordered


def _sequence_number(record: Record) -> str:
    number: str = record["dynamodb"]["SequenceNumber"]
    return number


def _created(record: Record) -> float:
    created: datetime = record["dynamodb"]["ApproximateCreationDateTime"]
    return created.timestamp()


def _count_until(records: list[Record], until: float) -> int:
    for number, record in enumerate(records):
        if _created(record) > until:
            return number
    return len(records)


def _size(answer: Response) -> int:
    return int(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("content-length", 0))
