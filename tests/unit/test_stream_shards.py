"""Reading the shards of a stream, driven by hand against a stream that splits, ends, trims and stutters."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import pytest

from dynamodb_wrapper import DynamoDBWrapperError, TableNotFoundError, ValidationError
from dynamodb_wrapper.operations.effects import Call, Flow, Now, Together
from dynamodb_wrapper.spark.offsets import Offset, StreamEndedError, TrimmedDataError
from dynamodb_wrapper.spark.shards import Record, ShardReader

R = TypeVar("R")
ARN = "arn:aws:dynamodb:us-east-1:1:table/t/stream/s"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@dataclass
class Shard:
    parent: str | None = None
    records: list[Record] = field(default_factory=list)
    is_closed: bool = False
    trimmed: int = 0


@dataclass
class Stream:
    """A stream as DynamoDB has it, to be changed by tests; `run` runs a flow against it."""

    shards: dict[str, Shard] = field(default_factory=lambda: {"s0": Shard()})
    clock: datetime = NOON
    status: str = "ENABLED"
    stutters: random.Random | None = None
    calls: list[Call] = field(default_factory=list)
    number: int = 0
    tokens: int = 0
    expired: set[str] = field(default_factory=set)

    def put(self, shard: str, item: str = "i", value: int = 0) -> None:
        self.number += 1
        body = {
            "Keys": {"pk": {"S": item}},
            "SequenceNumber": str(self.number),
            "ApproximateCreationDateTime": self.clock.replace(microsecond=0),
            "NewImage": {"pk": {"S": item}, "value": {"N": str(value)}},
        }
        self.shards[shard].records.append({"eventID": str(self.number), "eventName": "INSERT", "dynamodb": body})

    def split(self, shard: str, *children: str) -> None:
        self.shards[shard].is_closed = True
        for child in children:
            self.shards[child] = Shard(shard)

    def run(self, flow: Flow[R]) -> R:
        outcome: Any = None
        error: DynamoDBWrapperError | None = None
        while True:
            try:
                effect = flow.send(outcome) if error is None else flow.throw(error)
            except StopIteration as done:
                result: R = done.value
                return result
            outcome, error = None, None
            try:
                match effect:
                    case Call():
                        self.calls.append(effect)
                        outcome = getattr(self, effect.operation)(effect.params)
                    case Together():
                        outcome = [self.run(one) for one in effect.flows]
                    case Now():
                        outcome = self.clock
                    case _:
                        raise AssertionError(effect)
            except DynamoDBWrapperError as raised:
                error = raised

    def DescribeStream(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert params["StreamArn"] == ARN
        if self.status == "GONE":
            raise refused("ResourceNotFoundException", TableNotFoundError)
        names = list(self.shards)
        names = names[names.index(params["ExclusiveStartShardId"]) + 1 :] if len(params) > 1 else names
        shards = [
            {
                "ShardId": name,
                "SequenceNumberRange": {"StartingSequenceNumber": "0", "EndingSequenceNumber": "9"}
                if self.shards[name].is_closed
                else {"StartingSequenceNumber": "0"},
                **({} if self.shards[name].parent is None else {"ParentShardId": self.shards[name].parent}),
            }
            for name in names[:2]
        ]
        more = {"LastEvaluatedShardId": names[1]} if len(names) > 2 else {}
        dated = {"HTTPHeaders": {"date": format_datetime(self.clock, usegmt=True)}}
        description = {"StreamArn": ARN, "StreamStatus": self.status, "Shards": shards, **more}
        return {"StreamDescription": description, "ResponseMetadata": dated}

    def GetShardIterator(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        shard = self._shard(params["ShardId"])
        numbers = [record["dynamodb"]["SequenceNumber"] for record in shard.records]
        match params["ShardIteratorType"]:
            case "TRIM_HORIZON":
                place = shard.trimmed
            case "LATEST":
                place = len(numbers)
            case "AT_SEQUENCE_NUMBER":
                place = numbers.index(params["SequenceNumber"])
            case "AFTER_SEQUENCE_NUMBER":
                place = numbers.index(params["SequenceNumber"]) + 1
            case kind:
                raise AssertionError(kind)
        if place < shard.trimmed:
            raise refused("TrimmedDataAccessException")
        return {"ShardIterator": self._token(params["ShardId"], place)}

    def GetRecords(self, params: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert 1 <= params["Limit"] <= 1000
        if params["ShardIterator"] in self.expired:
            raise refused("ExpiredIteratorException")
        name, place, _ = params["ShardIterator"].split("|")
        shard = self._shard(name)
        if int(place) < shard.trimmed:
            raise refused("TrimmedDataAccessException")
        stutters = self.stutters is not None and self.stutters.random() < 0.3
        found = [] if stutters else shard.records[int(place) : int(place) + params["Limit"]]
        end = int(place) + len(found)
        if shard.is_closed and end == len(shard.records):
            return {"Records": found}
        return {"Records": found, "NextShardIterator": self._token(name, end)}

    def _shard(self, name: str) -> Shard:
        if name not in self.shards:
            raise refused("ResourceNotFoundException", TableNotFoundError)
        return self.shards[name]

    def _token(self, shard: str, place: int) -> str:
        self.tokens += 1
        return f"{shard}|{place}|{self.tokens}"


def refused(code: str, kind: type[DynamoDBWrapperError] = DynamoDBWrapperError) -> DynamoDBWrapperError:
    return kind("refused").answered(operation="GetRecords", request_id=None, code=code)


def kept(offset: Offset) -> Offset:
    """The offset as it comes back from a checkpoint."""
    return Offset.of(json.loads(json.dumps(offset.as_json())))


def numbers(records: list[Record]) -> list[int]:
    return [int(record["dynamodb"]["SequenceNumber"]) for record in records]


def read_all(stream: Stream, reader: ShardReader, offset: Offset) -> tuple[list[int], Offset]:
    found: list[int] = []
    for _ in range(50):
        records, offset = stream.run(reader.read(kept(offset)))
        found += numbers(records)
    return found, offset


@pytest.mark.parametrize("seed", range(60))
def test_every_change_once_and_in_order_whatever_happens(seed: int) -> None:
    chance = random.Random(seed)
    stream = Stream(stutters=random.Random(seed))
    items = {f"i{n}": "s0" for n in range(6)}
    values = dict.fromkeys(items, 0)
    delivered: dict[str, list[int]] = {item: [] for item in items}
    reader = ShardReader(ARN, max_records=chance.choice((1, 3, 1000)))
    offset = stream.run(reader.from_now_on() if seed % 2 else reader.from_the_beginning())
    steps, idle = 60, 0
    for step in range(1000):
        stream.clock += timedelta(seconds=chance.choice((0, 1, 40)))
        for _ in range(chance.randrange(4) if step < steps else 0):
            item = chance.choice(list(items))
            values[item] += 1
            stream.put(items[item], item, values[item])
        if step < steps and chance.random() < 0.1:
            parent = chance.choice([name for name, shard in stream.shards.items() if not shard.is_closed])
            children = [f"s{len(stream.shards) + n}" for n in range(chance.choice((1, 2)))]
            stream.split(parent, *children)
            items = {item: chance.choice(children) if shard == parent else shard for item, shard in items.items()}
        if chance.random() < 0.2:  # another process
            reader = ShardReader(ARN, max_records=reader.max_records)
        elif chance.random() < 0.1:
            stream.expired |= {token for _, token in reader._iterators.values()}
        if chance.random() < 0.1:  # a batch that failed
            stream.run(reader.read(kept(offset)))
        records, end = stream.run(reader.read(kept(offset)))
        again = stream.run(ShardReader(ARN).between(kept(offset), kept(end)))
        assert sorted(numbers(again)) == sorted(numbers(records))
        for record in again:
            image = record["dynamodb"]["NewImage"]
            delivered[image["pk"]["S"]].append(int(image["value"]["N"]))
        offset = end
        idle = 0 if records or step < steps else idle + 1
        if idle == 25:
            break
    assert delivered == {item: list(range(1, values[item] + 1)) for item in values}
    assert sum(values.values()) > 50


def test_a_child_waits_for_its_parent_and_is_read_in_the_same_batch() -> None:
    stream = Stream()
    reader = ShardReader(ARN)
    offset = stream.run(reader.from_the_beginning())
    stream.put("s0")
    stream.split("s0", "s1", "s2")
    stream.put("s2")
    stream.put("s1")
    stream.split("s1", "s3")
    stream.put("s3")
    records, offset = stream.run(reader.read(offset))
    found = numbers(records)
    assert sorted(found) == [1, 2, 3, 4]
    assert found[0] == 1
    assert found.index(3) < found.index(4)
    assert {shard: position.is_done for shard, position in offset.shards.items()} == {
        "s0": True, "s1": True, "s2": False, "s3": False,
    }  # fmt: skip


def test_an_unfinished_parent_holds_its_child_back() -> None:
    stream = Stream()
    for _ in range(5):
        stream.put("s0")
    stream.split("s0", "s1")
    stream.put("s1")
    reader = ShardReader(ARN, max_records=3)
    offset = stream.run(reader.from_the_beginning())
    first, offset = stream.run(reader.read(offset))
    second, _ = stream.run(reader.read(offset))
    assert (numbers(first), numbers(second)) == ([1, 2, 3], [4, 5, 6])


def test_nothing_new_leaves_the_offset_as_it_is() -> None:
    stream = Stream()
    stream.put("s0")
    reader = ShardReader(ARN)
    _, offset = stream.run(reader.read(stream.run(reader.from_the_beginning())))
    for reading in (reader, ShardReader(ARN)):
        records, same = stream.run(reading.read(kept(offset)))
        assert records == []
        assert json.dumps(same.as_json()) == json.dumps(offset.as_json())


def test_an_iterator_is_used_again_and_renewed_when_it_has_expired() -> None:
    stream = Stream()
    reader = ShardReader(ARN)
    _, offset = stream.run(reader.read(stream.run(reader.from_the_beginning())))
    stream.put("s0")
    stream.calls.clear()
    records, offset = stream.run(reader.read(kept(offset)))
    assert numbers(records) == [1]
    assert [call.operation for call in stream.calls] == ["GetRecords", "GetRecords"]
    stream.put("s0")
    stream.expired |= {token for _, token in reader._iterators.values()}
    stream.calls.clear()
    records, offset = stream.run(reader.read(kept(offset)))
    assert numbers(records) == [2]
    assert stream.calls[1].params == {
        "StreamArn": ARN, "ShardId": "s0", "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "1",
    }  # fmt: skip


@pytest.mark.parametrize("is_another_process", [False, True])
def test_latest_begins_now_also_in_another_process_that_begins_later(is_another_process: bool) -> None:
    stream = Stream()
    stream.put("s0")
    stream.clock += timedelta(seconds=2, microseconds=300)
    reader = ShardReader(ARN)
    offset = stream.run(reader.from_now_on())
    records, offset = stream.run(reader.read(kept(offset)))
    assert records == []
    stream.clock += timedelta(hours=1)
    stream.put("s0")
    if is_another_process:
        reader = ShardReader(ARN)
    records, _ = stream.run(reader.read(kept(offset)))
    assert numbers(records) == [2]


def test_latest_goes_by_the_clock_of_aws_only_where_it_has_to() -> None:
    stream = Stream()
    reader = ShardReader(ARN)
    stream.clock += timedelta(hours=1)  # the header of the answer; the records below are older
    offset = stream.run(reader.from_now_on())
    stream.clock -= timedelta(hours=1)
    stream.put("s0")
    records, _ = stream.run(reader.read(kept(offset)))
    assert numbers(records) == [1]


def test_changes_that_are_gone_are_an_error_unless_they_are_to_be_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    stream = Stream()
    for _ in range(5):
        stream.put("s0")
    reader = ShardReader(ARN, max_records=1)
    _, offset = stream.run(reader.read(stream.run(reader.from_the_beginning())))
    stream.shards["s0"].trimmed = 3
    for reading in (reader, ShardReader(ARN)):
        with pytest.raises(TrimmedDataError, match="on_trimmed") as caught:
            stream.run(reading.read(kept(offset)))
        assert caught.value.context == {"shard": "s0"}
    found, end = read_all(stream, ShardReader(ARN, goes_on=True), offset)
    assert (found, end.gaps) == ([4, 5], 1)
    assert "lost" in caplog.text


def test_a_batch_with_a_gap_in_it_is_read_again_as_it_was() -> None:
    stream = Stream()
    for _ in range(5):
        stream.put("s0")
    reader = ShardReader(ARN, goes_on=True, max_records=1)
    _, offset = stream.run(reader.read(stream.run(reader.from_the_beginning())))
    stream.shards["s0"].trimmed = 2
    reader = ShardReader(ARN, goes_on=True)
    _, between = stream.run(reader.read(offset))
    records, end = stream.run(reader.read(between))
    assert numbers(records) == [3, 4, 5]
    assert numbers(stream.run(ShardReader(ARN).between(kept(between), kept(end)))) == [3, 4, 5]
    stream.shards["s0"].trimmed = 4
    with pytest.raises(TrimmedDataError):
        stream.run(ShardReader(ARN).between(kept(between), kept(end)))
    assert numbers(stream.run(ShardReader(ARN, goes_on=True).between(kept(between), kept(end)))) == [5]


def test_a_shard_that_is_forgotten_is_a_loss_if_it_was_not_finished() -> None:
    stream = Stream()
    stream.put("s0")
    stream.split("s0", "s1")
    stream.put("s1")
    reader = ShardReader(ARN)
    beginning = stream.run(reader.from_the_beginning())
    _, finished = stream.run(reader.read(beginning))
    del stream.shards["s0"]
    records, end = stream.run(ShardReader(ARN).read(kept(finished)))
    assert (records, list(end.shards), end.gaps) == ([], ["s1"], 0)
    with pytest.raises(TrimmedDataError):
        stream.run(ShardReader(ARN).read(kept(beginning)))
    records, end = stream.run(ShardReader(ARN, goes_on=True).read(kept(beginning)))
    assert (numbers(records), list(end.shards), end.gaps) == ([2], ["s1"], 1)


def test_what_is_created_later_is_left_for_the_next_run() -> None:
    stream = Stream()
    stream.put("s0")
    stream.clock += timedelta(seconds=5)
    stream.put("s0")
    reader = ShardReader(ARN)
    offset = stream.run(reader.from_the_beginning())
    until = NOON + timedelta(seconds=2)
    records, offset = stream.run(reader.read(kept(offset), until=until))
    assert numbers(records) == [1]
    assert stream.run(reader.read(kept(offset), until=until)) == ([], offset)
    records, _ = stream.run(reader.read(kept(offset)))
    assert numbers(records) == [2]


@pytest.mark.parametrize("status", ["DISABLED", "GONE"])
def test_a_stream_that_has_ended_is_told(status: str) -> None:
    stream = Stream()
    stream.put("s0")
    reader = ShardReader(ARN)
    offset = stream.run(reader.from_the_beginning())
    stream.shards["s0"].is_closed = True
    stream.status = "DISABLED"
    records, offset = stream.run(reader.read(offset))
    assert numbers(records) == [1]
    stream.status = status
    with pytest.raises(StreamEndedError, match=ARN):
        stream.run(reader.read(kept(offset)))


def test_a_shard_has_its_part_of_a_small_batch() -> None:
    stream = Stream({f"s{n}": Shard() for n in range(5)})
    for shard in stream.shards:
        stream.put(shard)
        stream.put(shard)
    reader = ShardReader(ARN, max_records=2)
    records, _ = stream.run(reader.read(stream.run(reader.from_the_beginning())))
    assert numbers(records) == [1, 3, 5, 7, 9]


def test_other_errors_are_left_alone() -> None:
    stream = Stream()
    reader = ShardReader(ARN)
    offset = stream.run(reader.from_the_beginning())
    flow = reader.read(offset)
    flow.send(None)
    together = flow.send(NOON)
    assert isinstance(together, Together)
    (page,) = together.flows
    page.send(None)
    with pytest.raises(DynamoDBWrapperError, match="refused") as caught:
        page.throw(refused("AccessDeniedException"))
    assert not isinstance(caught.value, TrimmedDataError)


def test_an_offset_of_another_version_is_refused() -> None:
    with pytest.raises(ValidationError, match="version 2"):
        Offset.of({"version": 2, "stream": ARN, "shards": {}, "gaps": 0})
