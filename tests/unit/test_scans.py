"""Parallel scans: every item once, whatever happens in between, and checkpoints that are exact to the item."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    ExpressionError,
    F,
    InvalidCursorError,
    ServerError,
    ValidationError,
)
from dynamodb_wrapper.codec import Item, TimeRules
from dynamodb_wrapper.operations.cursors import sealed
from dynamodb_wrapper.operations.effects import Call, Emit, Response
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.scans import SegmentPage, Segments, read_segment
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.repositories.scanning import ParallelScan
from dynamodb_wrapper.transport import RetryPolicy, SyncDriver
from tests.unit.test_flows import drive


class Reading(BaseModel):
    sensor: str
    number: int
    value: int = 0


class Readings(BaseDynamoRepository[Reading]):
    table_name = "readings"
    primary_key = "sensor"
    sort_key = "number"
    by_value = AccessPattern("by_value", partition="value")
    keys_only = AccessPattern("keys_only", partition="value", sort="number", projection="KEYS_ONLY")


def entity_of(table_name: str = "readings", secret: str | None = None) -> Entity[Reading]:
    declaration = Readings._declaration
    assert declaration is not None
    return Entity(table_name, declaration, declaration.codec_for(Reading, TimeRules()), secret)


ENTITY = entity_of()


def selection_of(entity: Entity[Reading] = ENTITY, index: str | None = None) -> Selection[Reading]:
    key = entity.declaration.table_key if index is None else entity.declaration.index(index)
    return Selection(entity, key, entity.decode)


def item(number: int) -> Item:
    return {"sensor": {"S": f"s{number % 7}"}, "number": {"N": str(number)}, "value": {"N": str(number % 3)}}


class Table:
    """Answers scans: item ``n`` is in segment ``n % total``; every other item is filtered out if there is a filter."""

    def __init__(self, items: int, *, page: int = 3, fails_at: int | None = None) -> None:
        self.sent: list[Call] = []
        self._items, self._page, self._fails_at = items, page, fails_at
        self._lock = threading.Lock()

    def send(self, call: Call) -> Response:
        with self._lock:
            self.sent.append(call)
            if self._fails_at is not None and len(self.sent) > self._fails_at:
                raise ServerError("out of order")
        params = call.params
        start = int(params["ExclusiveStartKey"]["number"]["N"]) if "ExclusiveStartKey" in params else -1
        mine = [n for n in range(self._items) if n % params["TotalSegments"] == params["Segment"] and n > start]
        read, rest = mine[: self._page], mine[self._page :]
        kept = [item(n) for n in read if "FilterExpression" not in params or n % 2]
        names = ("sensor", "number", "value") if "IndexName" in params else ("sensor", "number")
        more = {"LastEvaluatedKey": {name: item(read[-1])[name] for name in names}} if rest else {}
        return {"Items": kept, **more}

    @property
    def segments(self) -> list[int]:
        return [call.params["Segment"] for call in self.sent]


def scan_of(
    table: Table, total: int, checkpoint: str | None = None, *, at_once: int = 4, index: str | None = None
) -> ParallelScan[Reading]:
    driver = SyncDriver(table, RetryPolicy(max_attempts=1))
    return ParallelScan(driver, Segments(selection_of(index=index), total, at_once, checkpoint))


def numbers(scan: ParallelScan[Reading]) -> list[int]:
    return [reading.number for reading in scan]


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_segment_is_read_page_by_page_and_an_empty_page_is_not_its_end() -> None:
    key = {"sensor": {"S": "s1"}, "number": {"N": "1"}}
    driven = drive(
        read_segment(selection_of(), 2, 5, None),
        {"Items": [], "LastEvaluatedKey": key},
        {"Items": [item(8)], "ConsumedCapacity": {"TableName": "readings", "CapacityUnits": 0.5}},
    )
    assert [call.params for call in driven.calls] == [
        {"TableName": "readings", "Segment": 2, "TotalSegments": 5},
        {"TableName": "readings", "ExclusiveStartKey": key, "Segment": 2, "TotalSegments": 5},
    ]
    emitted = [effect.items for effect in driven.effects if isinstance(effect, Emit)]
    assert emitted == [[SegmentPage(2, [], key, None)], [SegmentPage(2, [item(8)], None, 0.5)]]


def test_the_request_has_what_was_refined() -> None:
    scan = scan_of(Table(0), 8).where(F.value > 1).page_size(50).consistent().project("value")
    assert scan.explain() == {
        "TableName": "readings",
        "FilterExpression": "#n0 > :v0",
        "ProjectionExpression": "#n0, #n1, #n2",
        "ConsistentRead": True,
        "Limit": 50,
        "ExpressionAttributeNames": {"#n0": "value", "#n1": "sensor", "#n2": "number"},
        "ExpressionAttributeValues": {":v0": {"N": "1"}},
        "Segment": 0,
        "TotalSegments": 8,
    }
    assert "TotalSegments" in repr(scan)


@pytest.mark.parametrize("total", [1, 2, 5, 40])
@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_every_item_comes_once(total: int, at_once: int) -> None:
    table = Table(100)
    assert sorted(numbers(scan_of(table, total, at_once=at_once))) == list(range(100))
    assert set(table.segments) == set(range(total))


def test_nothing_is_sent_before_it_is_iterated_and_segments_are_begun_as_there_is_room() -> None:
    table = Table(1000, page=1)
    scan = scan_of(table, 100, at_once=2)
    reading = iter(scan)
    assert table.sent == []
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert set(table.segments) <= {0, 1}
    assert len(table.sent) <= 4, "what is read, and one page ahead of it, in each of two segments"


def test_stopping_leaves_no_thread_and_sends_nothing_more() -> None:
    table, before = Table(10_000, page=2), threading.active_count()
    for reading in scan_of(table, 4):
        if reading.number > 20:
            break
    sent = len(table.sent)
    assert threading.active_count() == before
    assert len(table.sent) == sent < 200


def test_the_first_error_stops_all_and_what_was_not_handed_out_comes_from_the_checkpoint() -> None:
    table, seen = Table(1000, page=2, fails_at=40), list[int]()
    scan = scan_of(table, 4)
    with pytest.raises(ServerError):
        seen.extend(reading.number for reading in scan)
    assert len(table.sent) <= 40 + 4
    rest = numbers(scan_of(Table(1000), 4, scan.checkpoint))
    assert sorted(seen + rest) == list(range(1000))


def test_items_before_an_unreadable_one_are_handed_out() -> None:
    class Spoiled(Table):
        def send(self, call: Call) -> Response:
            response = super().send(call)
            for stored in response["Items"]:
                if stored["number"] == {"N": "4"}:
                    stored["value"] = {"S": "broken"}
            return response

    scan, seen = scan_of(Spoiled(10, page=10), 1), list[int]()
    with pytest.raises(ValidationError):
        seen.extend(reading.number for reading in scan)
    assert seen == [0, 1, 2, 3]
    assert numbers(scan_of(Table(10), 1, scan.checkpoint)) == [4, 5, 6, 7, 8, 9]


def test_iterating_again_reads_again() -> None:
    scan = scan_of(Table(20), 3)
    assert sorted(numbers(scan)) == sorted(numbers(scan)) == list(range(20))


@pytest.mark.parametrize("wrong", [0, -1, 1_000_001, True, 2.0, "4", None])
def test_a_wrong_number_of_segments_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="segments"):
        scan_of(Table(0), wrong)


@pytest.mark.parametrize("wrong", [0, -1, True, "4"])
def test_a_wrong_concurrency_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="concurrency"):
        scan_of(Table(0), 4, at_once=wrong)


def test_the_most_segments_are_allowed() -> None:
    assert scan_of(Table(0), 1_000_000).explain()["TotalSegments"] == 1_000_000


def test_an_index_that_carries_no_whole_items_needs_a_projection() -> None:
    scan = scan_of(Table(10), 2, index="keys_only")
    with pytest.raises(ExpressionError, match="project"):
        iter(scan)
    assert sorted(partial.number for partial in scan.project("number")) == list(range(10))


# --- checkpoints ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_stopped_anywhere_any_number_of_times_every_item_comes_once(seed: int) -> None:
    chance = random.Random(seed)
    items, total, seen, checkpoint = chance.randrange(120), chance.randrange(1, 12), list[int](), None
    refine: Callable[[ParallelScan[Reading]], ParallelScan[Any]] = chance.choice(
        [lambda scan: scan, lambda scan: scan.where(F.value >= 0), lambda scan: scan.project("number")]
    )
    index = chance.choice([None, "by_value"])
    filtered = "FilterExpression" in refine(scan_of(Table(0), 1)).explain()
    for _ in range(500):
        table = Table(items, page=chance.randrange(1, 6))
        scan = refine(scan_of(table, total, checkpoint, at_once=chance.randrange(1, 6), index=index))
        taken = [reading.number for reading in islice(scan, chance.randrange(12))]
        seen += taken
        checkpoint = scan.checkpoint
        if len(seen) >= len([n for n in range(items) if n % 2 or not filtered]):
            break
    assert sorted(seen) == [n for n in range(items) if n % 2 or not filtered]
    assert list(refine(scan_of(Table(items), total, checkpoint, index=index))) == []


def test_before_an_iteration_the_checkpoint_is_where_it_will_start() -> None:
    scan = scan_of(Table(10), 2)
    assert sorted(numbers(scan_of(Table(10), 2, scan.checkpoint))) == list(range(10))
    stopped = scan_of(Table(10), 2)
    list(islice(stopped, 4))
    again = scan_of(Table(10), 2, stopped.checkpoint)
    assert again.checkpoint == stopped.checkpoint
    assert len(numbers(again)) == 6
    assert len(numbers(again)) == 6, "each iteration starts where the scan does"


def test_after_the_end_nothing_is_sent_from_the_checkpoint() -> None:
    scan, table = scan_of(Table(10), 4), Table(10)
    assert len(numbers(scan)) == 10
    assert numbers(scan_of(table, 4, scan.checkpoint)) == []
    assert table.sent == []


def test_the_checkpoint_is_of_the_iteration_begun_last() -> None:
    scan = scan_of(Table(100), 1)
    first, second = iter(scan), None
    assert [next(first).number for _ in range(50)] == list(range(50))
    second = iter(scan)
    assert next(second).number == 0
    assert next(first).number == 50, "they do not disturb each other"
    assert numbers(scan_of(Table(100), 1, scan.checkpoint)) == list(range(1, 100))


def test_the_checkpoint_stays_small_however_many_segments_there_are() -> None:
    scan = scan_of(Table(3000, page=1), 3000)
    longest = 0
    for count, _ in enumerate(scan):
        if count % 100 == 0:
            longest = max(longest, len(scan.checkpoint))
    assert longest < 600


def test_a_checkpoint_of_a_narrower_or_wider_job_goes_on_with_its_open_segments() -> None:
    scan = scan_of(Table(200, page=2), 20, at_once=10)
    seen = [reading.number for reading in islice(scan, 60)]
    table = Table(200)
    rest = numbers(scan_of(table, 20, scan.checkpoint, at_once=1))
    assert sorted(seen + rest) == list(range(200))


CHECKPOINT = scan_of(Table(10), 4).checkpoint


@pytest.mark.parametrize(
    "other",
    [
        lambda scan: replace(scan._segments, total=5, checkpoint=CHECKPOINT),
        lambda scan: replace(scan._segments, selection=selection_of(entity_of("other")), checkpoint=CHECKPOINT),
        lambda scan: replace(scan._segments, selection=selection_of(index="by_value"), checkpoint=CHECKPOINT),
        lambda scan: replace(scan.where(F.value > 1)._segments, checkpoint=CHECKPOINT),
        lambda scan: replace(scan._segments, selection=selection_of(entity_of(secret="s")), checkpoint=CHECKPOINT),
        lambda scan: replace(scan._segments, checkpoint=CHECKPOINT[:-2]),
        lambda scan: replace(scan._segments, checkpoint=""),
        lambda scan: replace(scan._segments, checkpoint="no checkpoint"),
        lambda scan: replace(scan._segments, checkpoint=12),
    ],
    ids=["segments", "table", "index", "filter", "secret", "cut", "empty", "text", "number"],
)
def test_a_foreign_or_damaged_checkpoint_is_refused_before_anything_is_sent(other: Callable[[Any], Any]) -> None:
    table = Table(10)
    scan: ParallelScan[Reading] = ParallelScan(SyncDriver(table), other(scan_of(table, 4)))
    with pytest.raises(InvalidCursorError, match="checkpoint"):
        iter(scan)
    with pytest.raises(InvalidCursorError):
        _ = scan.checkpoint
    assert table.sent == []


def test_a_projection_and_strong_reads_do_not_change_what_is_left() -> None:
    scan = scan_of(Table(20), 2)
    seen = [reading.number for reading in islice(scan, 7)]
    rest = [partial.number for partial in scan_of(Table(20), 2, scan.checkpoint).consistent().project("number")]
    assert sorted(seen + rest) == list(range(20))


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        [1],
        [1, {}],
        ["1", []],
        [5, []],
        [-1, []],
        [1, [1]],
        [1, [[1, None]]],
        [1, [[-1, None]]],
        [1, [[0, {}]]],
        [1, [[0, []]]],
        [1, [[0, {"sensor": "x"}]]],
        [1, [[0, {"sensor": {"B": "%"}}]]],
        [1, [[0, {"sensor": {"S": 1}}]]],
        [1, [[0, {"sensor": {"L": []}}]]],
    ],
)
def test_a_checkpoint_that_was_never_ours_is_refused_although_its_seal_holds(content: Any) -> None:
    segments = scan_of(Table(10), 4)._segments
    forged = sealed(content, segments.identity(), None)
    with pytest.raises(InvalidCursorError, match="damaged"):
        iter(scan_of(Table(10), 4, forged))
