"""Batches, driven by hand: what is sent beside what, what is sent again, and what is reported in the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict

from dynamodb_wrapper import (
    AccessDeniedError,
    BaseDynamoRepository,
    BatchIncompleteError,
    ConnectionError,
    DeadlineExceededError,
    ItemTooLargeError,
    PartialItem,
    ValidationError,
)
from dynamodb_wrapper.codec import TimeRules, from_json, to_json
from dynamodb_wrapper.exceptions import CorruptResponseError, DynamoDBWrapperError
from dynamodb_wrapper.operations import batches, bulk
from dynamodb_wrapper.operations.batches import BatchOptions, BatchProgress, Entry, Wanted
from dynamodb_wrapper.operations.effects import Call, Flow, Now, Params, Sleep, Together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import put_entry
from dynamodb_wrapper.transport import RetryPolicy, SyncDriver
from dynamodb_wrapper.transport.async_driver import AsyncDriver
from dynamodb_wrapper.transport.botocore_lane import parameters_of
from dynamodb_wrapper.transport.observers import reporting_capacity

R = TypeVar("R")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
Answer = Callable[[Call], dict[str, Any] | DynamoDBWrapperError]


@dataclass
class Hand:
    """Runs flows that run together in turns, one effect of each after the other, so that every run is the same.

    Attributes:
        answer: Says what a call is answered with, when its turn has come.
        sent: The calls, in the order they were begun.
        pauses: The sleeps.
        most: The most calls that were on their way at a time.
        rounds: How many flows ran in each effect of running together.
    """

    answer: Answer
    sent: list[Call] = field(default_factory=list)
    pauses: list[Sleep] = field(default_factory=list)
    most: int = 0
    rounds: list[int] = field(default_factory=list)

    def run(self, flow: Flow[R]) -> R:
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Together):
                    try:
                        results = self._together(effect)
                    except DynamoDBWrapperError as error:
                        effect = flow.throw(error)
                    else:
                        effect = flow.send(results)
                else:
                    assert isinstance(effect, Now)
                    effect = flow.send(NOON)
        except StopIteration as end:
            result: R = end.value
            return result

    def _together(self, effect: Together) -> list[Any]:
        waiting = iter(effect.flows)
        running: deque[tuple[Flow[Any], Any]] = deque()
        self.rounds.append(0)

        def begin() -> None:
            for flow in waiting:
                self.rounds[-1] += 1
                running.append((flow, self._noted(next(flow))))
                return

        for _ in range(effect.at_most):
            begin()
        while running:
            self.most = max(self.most, len(running))
            flow, asked = running.popleft()
            try:
                running.append((flow, self._noted(self._go_on(flow, asked))))
            except StopIteration:
                begin()
        return []

    def _noted(self, effect: Any) -> Any:
        if isinstance(effect, Call):
            self.sent.append(effect)
        else:
            assert isinstance(effect, Sleep)
            self.pauses.append(effect)
        return effect

    def _go_on(self, flow: Flow[Any], effect: Any) -> Any:
        if isinstance(effect, Sleep):
            return flow.send(None)
        answer = self.answer(effect)
        return flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)

    @property
    def sizes(self) -> list[int]:
        """How many entries each request had."""
        return [len(entries_of(call)) for call in self.sent]


def entries_of(call: Call) -> list[Any]:
    tables = parameters_of(call)["RequestItems"].values()
    return [entry for part in tables for entry in (part["Keys"] if isinstance(part, dict) else part)]


def key(number: object) -> dict[str, Any]:
    return {"id": {"N": str(number)}}


def put(number: object, value: str = "", table: str = "t") -> Entry:
    item = {**key(number), "value": {"S": value}}
    return Entry(table, key(number), {"PutRequest": {"Item": item}}, (number, value))


def delete(number: object, table: str = "t") -> Entry:
    return Entry(table, key(number), {"DeleteRequest": {"Key": key(number)}}, number)


def wanted(number: object, table: str = "t") -> Wanted:
    return Wanted(table, key(number), number)


def all_done(call: Call) -> dict[str, Any]:
    return {"UnprocessedItems": {}}


def left(*entries: Entry) -> dict[str, Any]:
    by_table: dict[str, list[Params]] = {}
    for entry in entries:
        by_table.setdefault(entry.table_name, []).append(entry.request)
    return {"UnprocessedItems": by_table}


def nothing_done(call: Call) -> dict[str, Any]:
    return {"UnprocessedItems": parameters_of(call)["RequestItems"]}


def in_turn(*answers: Any) -> Answer:
    remaining = iter(answers)
    return lambda call: next(remaining)


@dataclass
class Drawn(Iterator[Any]):
    """A generator that tells how far it was drawn."""

    source: Iterator[Any]
    count: int = 0

    def __next__(self) -> Any:
        drawn = next(self.source)
        self.count += 1
        return drawn


class TestWrite:
    def test_no_entries_send_nothing(self) -> None:
        hand = Hand(all_done)
        assert hand.run(batches.write([])) == 0
        assert hand.sent == []

    def test_25_entries_a_request_and_so_many_requests_at_a_time(self) -> None:
        hand = Hand(all_done)
        assert hand.run(batches.write([put(n) for n in range(110)], BatchOptions(concurrency=3))) == 110
        assert hand.sizes == [25, 25, 25, 25, 10]
        assert hand.most == 3
        assert all(call.operation == "BatchWriteItem" and call.repeatable for call in hand.sent)
        assert [each for call in hand.sent for each in entries_of(call)] == [put(n).request for n in range(110)]

    def test_a_request_may_concern_several_tables(self) -> None:
        hand = Hand(in_turn(left(put(1, table="b")), {}))
        assert hand.run(batches.write([put(1, table="a"), put(1, table="b"), delete(2, table="a")])) == 3
        assert parameters_of(hand.sent[0]) == hand.sent[0].params
        assert hand.sent[0].params["RequestItems"] == {
            "a": [put(1).request, delete(2).request],
            "b": [put(1).request],
        }
        assert parameters_of(hand.sent[1]) == {"RequestItems": {"b": [put(1).request]}}

    def test_json_that_is_made_already_is_sent_as_it_is(self) -> None:
        made = replace(put(1), request=put_entry(key(1)), body=b'{"PutRequest": {"Item": {"made": {"S": "before"}}}}')
        hand = Hand(in_turn(left(put(1)), {}))
        assert hand.run(batches.write([made, put(2)])) == 2
        for call, entries in zip(hand.sent, ([made.body, to_json(put(2).request)], [made.body]), strict=True):
            assert call.body == b'{"RequestItems":{"t":[%b]}}' % b",".join(filter(None, entries))
        assert hand.sent[0].params == {"RequestItems": {"t": [put_entry(key(1)), put(2).request]}}

    def test_consumed_capacity_is_asked_for_beside_what_is_json_already(self) -> None:
        hand = Hand(all_done)
        hand.run(batches.write([put(1)]))
        reporting = reporting_capacity(hand.sent[0])
        assert parameters_of(reporting) == reporting.params
        assert reporting.params == {**hand.sent[0].params, "ReturnConsumedCapacity": "INDEXES"}

    def test_requests_are_cut_by_their_bytes_on_the_wire(self) -> None:
        # The most DynamoDB stores in an item; every character takes six bytes in the JSON of the request.
        large = "é" * 200_000
        hand = Hand(all_done)
        assert hand.run(batches.write([put(n, large) for n in range(25)])) == 25
        assert len(hand.sent) > 1
        assert all(len(call.body or b"") * 3 < 16_000_000 for call in hand.sent)
        plain = Hand(all_done)
        plain.run(batches.write([put(n, "x" * 400_000) for n in range(25)]))
        assert plain.sizes == [25]

    def test_a_generator_is_drawn_no_further_than_there_is_room(self) -> None:
        drawn = Drawn(put(n) for n in count())
        most_ahead = 0

        def answer(call: Call) -> dict[str, Any] | DynamoDBWrapperError:
            nonlocal most_ahead
            done = sum(hand.sizes) - 2 * 25
            most_ahead = max(most_ahead, drawn.count - done)
            return all_done(call) if len(hand.sent) < 200 else AccessDeniedError("no more")

        hand = Hand(answer)
        with pytest.raises(BatchIncompleteError):
            hand.run(batches.write(drawn, BatchOptions(concurrency=2)))
        assert len(hand.sent) == 200
        assert most_ahead <= 2 * 25 + 1

    def test_results_of_requests_do_not_pile_up_without_end(self) -> None:
        hand = Hand(all_done)
        assert hand.run(batches.write(delete(n) for n in range(25 * 1002))) == 25 * 1002
        assert hand.rounds == [1000, 2]

    def test_progress_tells_what_is_done_and_the_total_of_a_collection(self) -> None:
        told: list[BatchProgress] = []
        options = BatchOptions(concurrency=1, progress=told.append)
        Hand(in_turn({}, left(put(25)), {})).run(batches.write([put(n) for n in range(30)], options))
        assert told == [BatchProgress(25, 30), BatchProgress(29, 30), BatchProgress(30, 30)]
        told.clear()
        Hand(all_done).run(batches.write((put(n) for n in range(30)), options))
        assert told == [BatchProgress(25, None), BatchProgress(30, None)]

    def test_what_progress_raises_ends_the_batch(self) -> None:
        def cancel(progress: BatchProgress) -> None:
            raise KeyError("enough")

        hand = Hand(all_done)
        with pytest.raises(KeyError):
            hand.run(batches.write([put(n) for n in range(100)], BatchOptions(concurrency=1, progress=cancel)))
        assert hand.sizes == [25]

    @pytest.mark.parametrize("options", [{"concurrency": 0}, {"concurrency": True}, {"attempts": 0}, {"progress": 5}])
    def test_options_are_checked(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(options))):
            BatchOptions(**options)


class TestLeftovers:
    def test_are_sent_again_after_a_jittered_pause_that_grows(self) -> None:
        hand = Hand(in_turn(left(put(1), put(2)), *[left(put(1), put(2))] * 3, left(put(2)), left(put(2)), {}))
        assert hand.run(batches.write([put(0), put(1), put(2)])) == 3
        assert hand.sizes == [3, 2, 2, 2, 2, 1, 1]
        assert all(pause.jittered for pause in hand.pauses)
        # Whenever something was done, the pauses begin anew.
        assert [pause.seconds for pause in hand.pauses] == [0.05, 0.1, 0.2, 0.4, 0.05, 0.1]

    def test_are_reported_after_so_many_attempts_without_progress(self) -> None:
        hand = Hand(nothing_done)
        with pytest.raises(BatchIncompleteError, match=r"3 of 3 entries were not written.*4 times") as caught:
            hand.run(batches.write([put(n) for n in range(3)], BatchOptions(attempts=4)))
        assert hand.sizes == [3] * 4
        assert caught.value.unprocessed == [(0, ""), (1, ""), (2, "")]
        assert caught.value.done == 0
        assert caught.value.original_error is None
        assert caught.value.operation == "BatchWriteItem"
        assert caught.value.context["table_name"] == "t"

    @pytest.mark.parametrize("concurrency", [1, 4])
    def test_without_time_for_the_pause_they_are_reported(self, concurrency: int) -> None:
        class Lane:
            def send(self, call: Call, time_left: float | None = None) -> dict[str, Any]:
                return left(put(3)) if put(3).request in entries_of(call) else all_done(call)

        policy = RetryPolicy(jitter=lambda: 1.0)
        driver = SyncDriver(Lane(), policy, timeout=0.01, timer=lambda: 0.0)
        options = BatchOptions(concurrency=concurrency)
        with pytest.raises(BatchIncompleteError, match="DeadlineExceededError ended the batch") as caught:
            driver.run(batches.write([put(n) for n in range(500)], options))
        assert (3, "") in caught.value.unprocessed
        assert len(caught.value.unprocessed) + caught.value.done == 500
        assert isinstance(caught.value.original_error, DeadlineExceededError)

    def test_pauses_have_a_longest_one(self) -> None:
        hand = Hand(nothing_done)
        with pytest.raises(BatchIncompleteError):
            hand.run(batches.write([put(1)], BatchOptions(attempts=20)))
        assert max(pause.seconds for pause in hand.pauses) == 5.0
        assert len(hand.sent) == 20

    def test_with_progress_each_time_there_is_still_an_end(self) -> None:
        def one_by_one(call: Call) -> dict[str, Any]:
            return {"UnprocessedItems": {"t": entries_of(call)[1:]}}

        hand = Hand(one_by_one)
        assert hand.run(batches.write([put(n) for n in range(25)], BatchOptions(attempts=1))) == 25
        assert hand.sizes == list(range(25, 0, -1))

    def test_end_the_batch_and_what_was_not_sent_is_reported_too(self) -> None:
        hand = Hand(lambda call: left(put(3)) if put(3).request in entries_of(call) else all_done(call))
        with pytest.raises(BatchIncompleteError) as caught:
            hand.run(batches.write([put(n) for n in range(100)], BatchOptions(concurrency=1, attempts=2)))
        assert hand.sizes == [25, 1, 1]
        assert caught.value.unprocessed == [(n, "") for n in (3, *range(25, 100))]
        assert caught.value.done == 24

    def test_are_known_by_their_keys_whichever_way_the_server_writes_them(self) -> None:
        item = {"id": {"N": "1"}, "raw": {"B": b"\x00\x01"}}
        entry = Entry("t", item, {"PutRequest": {"Item": item}}, "the one")
        answered = from_json(to_json({"id": {"N": "1.0"}, "raw": {"B": b"\x00\x01"}}))
        assert isinstance(answered["raw"]["B"], str)
        hand = Hand(in_turn({"UnprocessedItems": {"t": [{"PutRequest": {"Item": answered}}]}}, {}))
        assert hand.run(batches.write([entry, Entry("t", {**item, "id": {"N": "2"}}, delete(2).request, 2)])) == 2
        assert entries_of(hand.sent[1]) == [entry.request]

    @pytest.mark.parametrize("answer", [left(put(77)), left(put(0, table="arn:other"))])
    def test_that_are_not_known_leave_everything_to_be_done(self, answer: dict[str, Any]) -> None:
        hand = Hand(in_turn(answer, {}))
        assert hand.run(batches.write([put(0), put(1)])) == 2
        assert hand.sizes == [2, 2]

    @pytest.mark.parametrize("left", [{"PutRequest": {"Item": {"v": {"S": "x"}}}}, {"PutRequest": {}}, {}])
    def test_a_leftover_without_its_key_is_no_answer(self, left: Params) -> None:
        answer = {"UnprocessedItems": {"t": [left]}}
        with pytest.raises(BatchIncompleteError) as caught:
            Hand(lambda call: answer).run(batches.write([put(1)]))
        assert isinstance(caught.value.original_error, CorruptResponseError)
        assert caught.value.unprocessed == [(1, "")]


class TestTheSameKeyTwice:
    def test_in_one_request_the_last_is_sent_alone(self) -> None:
        hand = Hand(all_done)
        assert hand.run(batches.write([put(1, "old"), put(2), put(1, "new"), delete(2), put("1.0", "newest")])) == 5
        assert entries_of(hand.sent[0]) == [put("1.0", "newest").request, delete(2).request]

    def test_the_last_replaces_the_earlier_in_a_full_request_too(self) -> None:
        hand = Hand(all_done)
        assert hand.run(batches.write([*(put(n, "old") for n in range(25)), put(3, "new"), put(7, "new")])) == 27
        assert hand.sizes == [25]
        values = [request["PutRequest"]["Item"]["value"]["S"] for request in entries_of(hand.sent[0])]
        assert [number for number, value in enumerate(values) if value == "new"] == [3, 7]

    def test_numbers_text_and_tables_are_told_apart(self) -> None:
        text = {"id": {"S": "1"}}
        hand = Hand(all_done)
        hand.run(batches.write([put(1), Entry("t", text, {"DeleteRequest": {"Key": text}}, "1"), put(1, table="u")]))
        assert hand.sizes == [3]

    def test_a_key_that_is_on_its_way_is_waited_for(self) -> None:
        entries = [*(put(n, "old") for n in range(25)), *(put(n) for n in range(25, 35)), put(3, "new"), put(99)]
        hand = Hand(all_done)
        assert hand.run(batches.write(entries, BatchOptions(concurrency=4))) == 37
        assert hand.sizes == [25, 10, 2]
        assert hand.most == 2  # the third began when the others had ended

    def test_a_leftover_is_never_sent_after_a_newer_write_of_its_key(self) -> None:
        stored: dict[str, str] = {}
        refusals = {"old": 5}

        def answer(call: Call) -> dict[str, Any]:
            unprocessed = []
            for request in entries_of(call):
                item = request["PutRequest"]["Item"]
                if item["id"]["N"] == "3" and refusals.get(item["value"]["S"], 0):
                    refusals[item["value"]["S"]] -= 1
                    unprocessed.append(request)
                else:
                    stored[item["id"]["N"]] = item["value"]["S"]
            return {"UnprocessedItems": {"t": unprocessed}} if unprocessed else {}

        entries = [put(n, "old") for n in range(100)]
        entries += [put(3, "new"), *(put(n) for n in range(100, 200))]
        hand = Hand(answer)
        assert hand.run(batches.write(iter(entries), BatchOptions(concurrency=4))) == 201
        assert refusals == {"old": 0}
        assert stored["3"] == "new"
        values = [request["PutRequest"]["Item"] for call in hand.sent for request in entries_of(call)]
        sent = [item["value"]["S"] for item in values if item["id"]["N"] == "3"]
        assert sent == ["old"] * 6 + ["new"]

    def test_one_key_over_and_over_keeps_its_order(self) -> None:
        stored: list[str] = []

        def answer(call: Call) -> dict[str, Any]:
            stored.extend(request["PutRequest"]["Item"]["value"]["S"] for request in entries_of(call)[-1:])
            return {}

        # 25 other keys between two writes of the same one: each time it is on its way already.
        entries = [entry for turn in range(5) for entry in (*(put(n) for n in range(1, 26)), put(0, str(turn)))]
        hand = Hand(answer)
        assert hand.run(batches.write(entries)) == len(entries)
        assert [value for value in stored if value] == ["0", "1", "2", "3", "4"]

    def test_a_write_that_waits_is_reported_when_the_batch_ends_before_it(self) -> None:
        entries = [put(n, "old") for n in range(25)] + [delete(77), put(3, "new"), put(5, "new")]
        hand = Hand(nothing_done)
        with pytest.raises(BatchIncompleteError, match="28 of 28") as caught:
            hand.run(batches.write(entries, BatchOptions(attempts=1)))
        assert caught.value.unprocessed == [entry.origin for entry in entries]
        with pytest.raises(BatchIncompleteError, match="27 of 27") as caught:
            Hand(nothing_done).run(batches.write(iter(entries), BatchOptions(attempts=1)))
        assert caught.value.unprocessed == [entry.origin for entry in entries[:-1]]


class TestErrors:
    def test_end_the_batch_while_requests_on_their_way_are_finished(self) -> None:
        denied = AccessDeniedError("not yours").answered(operation="BatchWriteItem", request_id="R1", code="Denied")
        hand = Hand(lambda call: denied if put(30).request in entries_of(call) else all_done(call))
        with pytest.raises(BatchIncompleteError, match="AccessDeniedError ended the batch") as caught:
            hand.run(batches.write([put(n) for n in range(1000)], BatchOptions(concurrency=3)))
        error = caught.value
        assert error.original_error is denied
        assert error.__cause__ is denied
        assert (error.request_id, error.code) == ("R1", "Denied")
        done = set(range(1000)) - {number for number, _ in error.unprocessed}  # type: ignore[misc]
        assert error.done == len(done) == sum(hand.sizes) - 25
        assert done.isdisjoint(range(25, 50))
        assert error.unprocessed == sorted(error.unprocessed)  # type: ignore[type-var]
        assert len(hand.sent) <= 5

    def test_before_anything_was_done_are_reported_in_the_same_way(self) -> None:
        hand = Hand(lambda call: AccessDeniedError("not yours"))
        with pytest.raises(BatchIncompleteError) as caught:
            hand.run(batches.write([put(1)]))
        assert (caught.value.done, caught.value.unprocessed) == (0, [(1, "")])
        assert "may_be_written" not in caught.value.context

    def test_what_may_be_written_although_its_answer_was_lost_is_counted(self) -> None:
        lost = ConnectionError("reset", context={"lost_answers": 4})
        hand = Hand(in_turn({}, lost))
        with pytest.raises(BatchIncompleteError) as caught:
            hand.run(batches.write((put(n) for n in range(30)), BatchOptions(concurrency=1)))
        assert caught.value.context["may_be_written"] == 5
        assert caught.value.unprocessed == [(n, "") for n in range(25, 30)]

    def test_a_generator_that_ends_badly_at_once_is_its_own_error(self) -> None:
        def bad() -> Iterator[Entry]:
            yield put(1)
            raise KeyError("no such column")

        hand = Hand(all_done)
        with pytest.raises(KeyError):
            hand.run(batches.write(bad()))
        assert hand.sent == []

    def test_a_generator_that_ends_badly_later_leaves_what_was_drawn(self) -> None:
        def bad() -> Iterator[Entry]:
            yield from (put(n) for n in range(60))
            raise KeyError("no such column")

        hand = Hand(all_done)
        with pytest.raises(BatchIncompleteError, match=r"10 of 60 .*what was not drawn from the generator") as caught:
            hand.run(batches.write(bad()))
        assert isinstance(caught.value.original_error, KeyError)
        assert caught.value.done == 50
        assert caught.value.unprocessed == [(n, "") for n in range(50, 60)]

    def test_an_entry_that_cannot_be_sent_is_reported_too(self) -> None:
        bad = Entry("t", key(99), {"PutRequest": {"Item": {**key(99), "value": {"S": "\ud800"}}}}, "bad")
        with pytest.raises(BatchIncompleteError) as caught:
            Hand(all_done).run(batches.write([*(put(n) for n in range(30)), bad, put(100)]))
        assert isinstance(caught.value.original_error, ValidationError)
        assert caught.value.unprocessed == [*((n, "") for n in range(25, 30)), "bad", (100, "")]

    def test_a_key_that_is_none_is_refused(self) -> None:
        entry = Entry("t", {"id": {"BOOL": True}}, {"DeleteRequest": {"Key": {}}}, None)
        with pytest.raises(ValidationError, match="of DynamoDB type BOOL"):
            Hand(all_done).run(batches.write([entry]))


def found(call: Call, present: Callable[[int], bool] = lambda number: True) -> dict[str, Any]:
    """Answer with the items in another order than asked."""
    return {
        "Responses": {
            table: [
                {**asked, "value": {"S": f"{table}{asked['id']['N']}"}}
                for asked in reversed(part["Keys"])
                if present(int(asked["id"]["N"]))
            ]
            for table, part in call.params["RequestItems"].items()
        },
        "UnprocessedKeys": {},
    }


def item(number: int, table: str = "t") -> dict[str, Any]:
    return {**key(number), "value": {"S": f"{table}{number}"}}


class TestRead:
    def test_answers_come_in_the_order_asked_and_none_for_missing(self) -> None:
        hand = Hand(lambda call: found(call, lambda number: number % 3 > 0))
        result = hand.run(batches.read([wanted(n) for n in range(250)], BatchOptions(concurrency=2)))
        assert result == [item(n) if n % 3 else None for n in range(250)]
        assert hand.sizes == [100, 100, 50]
        assert hand.most == 2
        assert {call.operation for call in hand.sent} == {"BatchGetItem"}

    def test_a_key_is_asked_once(self) -> None:
        hand = Hand(found)
        numbers = [n % 150 for n in range(400)]
        assert hand.run(batches.read([wanted(n) for n in numbers])) == [item(n) for n in numbers]
        assert sum(hand.sizes) == 150

    def test_a_number_is_the_same_key_whichever_way_it_is_written(self) -> None:
        hand = Hand(lambda call: {"Responses": {"t": [item(1)]}})
        assert hand.run(batches.read([wanted("1.0"), wanted(1), wanted("1E0")])) == [item(1)] * 3
        assert hand.sizes == [1]

    def test_nothing_asks_nothing(self) -> None:
        hand = Hand(found)
        assert hand.run(batches.read([])) == []
        assert hand.sent == []

    def test_parameters_go_to_their_table(self) -> None:
        hand = Hand(found)
        parameters = {"b": {"ProjectionExpression": "#p", "ExpressionAttributeNames": {"#p": "id"}}}
        asked = [wanted(1, "a"), wanted(1, "b"), wanted(2, "a")]
        assert hand.run(batches.read(asked, consistent=True, parameters=parameters)) == [
            item(1, "a"),
            item(1, "b"),
            item(2, "a"),
        ]
        assert hand.sent[0].params["RequestItems"] == {
            "a": {"Keys": [key(1), key(2)], "ConsistentRead": True},
            "b": {"Keys": [key(1)], "ConsistentRead": True, **parameters["b"]},
        }

    def test_a_full_answer_is_progress(self) -> None:
        """16 MB are full after a few large items: the rest of the keys comes back unprocessed, many times over."""

        def few(call: Call) -> dict[str, Any]:
            answer = found(call)
            kept = answer["Responses"]["t"][:4]
            read = [each["id"] for each in kept]
            rest = [asked for asked in entries_of(call) if asked["id"] not in read]
            return {"Responses": {"t": kept}, "UnprocessedKeys": {"t": {"Keys": rest}} if rest else {}}

        hand = Hand(few)
        assert hand.run(batches.read([wanted(n) for n in range(100)])) == [item(n) for n in range(100)]
        assert len(hand.sent) == 25
        assert {pause.seconds for pause in hand.pauses} == {0.05}

    def test_keys_left_again_and_again_are_reported(self) -> None:
        def stuck(call: Call) -> dict[str, Any]:
            answer = found(call, lambda number: number != 7)
            return {**answer, "UnprocessedKeys": {"t": {"Keys": [key(7)]}} if key(7) in entries_of(call) else {}}

        hand = Hand(stuck)
        numbers = [*range(100), 7, 8, *range(100, 150)]
        with pytest.raises(BatchIncompleteError, match="were not read") as caught:
            hand.run(batches.read([wanted(n) for n in numbers], BatchOptions(concurrency=2, attempts=3)))
        assert caught.value.unprocessed == [7]
        assert caught.value.done == 150
        assert hand.sizes == [100, 50, 1, 1, 1]

    def test_other_errors_are_raised_as_they_are(self) -> None:
        hand = Hand(lambda call: AccessDeniedError("no"))
        with pytest.raises(AccessDeniedError):
            hand.run(batches.read([wanted(n) for n in range(1000)], BatchOptions(concurrency=2)))
        assert len(hand.sent) == 2

    def test_an_item_that_nobody_asked_for_is_no_answer(self) -> None:
        with pytest.raises(CorruptResponseError):
            Hand(lambda call: {"Responses": {"t": [item(2)]}}).run(batches.read([wanted(1)]))

    @pytest.mark.parametrize("left", [{}, {"Keys": [{}]}, {"Keys": [{"v": {"S": "x"}}]}])
    def test_an_unread_key_that_is_none_is_no_answer(self, left: Params) -> None:
        with pytest.raises(CorruptResponseError, match="without its key"):
            Hand(lambda call: {"Responses": {}, "UnprocessedKeys": {"t": left}}).run(batches.read([wanted(1)]))

    def test_an_item_without_its_key_is_no_answer(self) -> None:
        for read in (batches.read([wanted(1)]), get_many(entity_of(Plains), ["1"], ["note"])):
            with pytest.raises(
                CorruptResponseError, match="BatchGetItem was answered with an item without its key 'id'"
            ):
                Hand(lambda call: {"Responses": {"t": [{"note": {"S": "x"}}]}}).run(read)

    def test_a_generator_is_drawn_as_there_is_room(self) -> None:
        drawn = Drawn(wanted(n) for n in count())
        hand = Hand(lambda call: AccessDeniedError("no"))
        with pytest.raises(AccessDeniedError):
            hand.run(batches.read(drawn, BatchOptions(concurrency=2)))
        assert drawn.count == 200


class Order(BaseModel):
    customer: str
    number: int
    note: str | None = None
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Frozen(Order):
    model_config = ConfigDict(frozen=True)


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer"
    sort_key = "number"


class VersionedOrders(Orders):
    version_attribute = "version"


class Plain(BaseModel):
    id: str
    note: str | None = None


class Plains(BaseDynamoRepository[Plain]):
    table_name = "plains"
    primary_key = "id"


def entity_of(repository: type[BaseDynamoRepository[Any]], name: str = "t") -> Entity[Any]:
    declaration = repository._declaration
    assert declaration is not None
    return Entity(name, declaration, declaration.codec_for(declaration.model_class, TimeRules()))


ORDERS, VERSIONED, PLAINS = entity_of(Orders), entity_of(VersionedOrders), entity_of(Plains)
EACH = BatchOptions(concurrency=1)


def order(number: int, **fields: Any) -> Order:
    return Order(customer="c1", number=number, **fields)


def put_many(entity: Entity[Any], models: Iterable[Any], *, ignore_version: bool = False) -> Flow[int]:
    return bulk.put_many(entity, models, EACH, ignore_version=ignore_version)


def delete_many(entity: Entity[Any], keys: Iterable[object], *, ignore_version: bool = False) -> Flow[int]:
    return bulk.delete_many(entity, keys, EACH, ignore_version=ignore_version)


def get_many(entity: Entity[Any], keys: Iterable[object], attributes: list[str] | None = None) -> Flow[Any]:
    return bulk.get_many(entity, keys, attributes, EACH, consistent=False)


class TestModels:
    def test_times_and_versions_are_set_on_what_was_written_and_on_nothing_else(self) -> None:
        models = [order(n, version=n, created_at=NOON.replace(year=2020) if n == 2 else None) for n in range(30)]
        unwritten = {"UnprocessedItems": {"t": [{"PutRequest": {"Item": VERSIONED.encode(models[1])}}]}}
        hand = Hand(in_turn(unwritten, unwritten, AccessDeniedError("no")))
        with pytest.raises(BatchIncompleteError) as caught:
            hand.run(put_many(VERSIONED, models, ignore_version=True))
        assert caught.value.unprocessed == [models[1], *models[25:]]
        for number, model in enumerate(models):
            is_written = number < 25 and number != 1
            assert model.version == (number + 1 if is_written else number)
            assert model.updated_at == (NOON if is_written else None)
        assert models[2].created_at == NOON.replace(year=2020)
        assert models[3].created_at == NOON
        written = entries_of(hand.sent[0])[3]["PutRequest"]["Item"]
        assert written == VERSIONED.encode(models[3])

    def test_models_are_sent_as_json_and_told_by_their_keys(self) -> None:
        models = [order(1, note='é"\\'), order(2)]
        hand = Hand(all_done)
        hand.run(put_many(ORDERS, models))
        assert parameters_of(hand.sent[0])["RequestItems"]["t"] == [put_entry(ORDERS.encode(model)) for model in models]
        keys = [ORDERS.key_of(ORDERS.encode(model)) for model in models]
        assert hand.sent[0].params == {"RequestItems": {"t": [put_entry(each) for each in keys]}}

    def test_a_versioned_repository_refuses_writes_without_conditions(self) -> None:
        hand = Hand(all_done)
        for flow in (put_many(VERSIONED, [order(1)]), delete_many(VERSIONED, [("c1", 1)])):
            with pytest.raises(ValidationError, match="ignore_version=True"):
                hand.run(flow)
        assert hand.run(delete_many(VERSIONED, [("c1", 1)], ignore_version=True)) == 1
        assert hand.sizes == [1]

    def test_a_bad_model_of_a_list_is_refused_before_anything_is_sent(self) -> None:
        hand = Hand(all_done)
        bad = order(99, note="x" * 500_000)
        with pytest.raises(ItemTooLargeError):
            hand.run(put_many(ORDERS, [*map(order, range(60)), bad]))
        with pytest.raises(ValidationError, match="expected a Order"):
            hand.run(put_many(ORDERS, [{"customer": "c1", "number": 1}]))
        assert hand.sent == []

    def test_a_bad_model_of_a_generator_is_reported_with_what_is_left(self) -> None:
        hand = Hand(all_done)
        models = [*map(order, range(60)), order(99, note="x" * 500_000), order(100)]
        with pytest.raises(BatchIncompleteError) as caught:
            hand.run(put_many(ORDERS, iter(models)))
        assert isinstance(caught.value.original_error, ItemTooLargeError)
        assert caught.value.unprocessed == models[50:61]
        assert caught.value.done == 50
        with pytest.raises(ItemTooLargeError):
            Hand(all_done).run(put_many(ORDERS, iter(models[60:])))

    def test_a_frozen_model_is_left_as_it_is(self) -> None:
        model = Frozen(customer="c1", number=1)
        hand = Hand(all_done)
        assert hand.run(put_many(ORDERS, [model])) == 1
        assert model.updated_at is None
        assert "updated_at" in entries_of(hand.sent[0])[0]["PutRequest"]["Item"]

    def test_keys_are_values_pairs_or_mappings(self) -> None:
        hand = Hand(all_done)
        assert hand.run(delete_many(ORDERS, [("c1", 1), ["c1", 2], {"number": 3, "customer": "c1"}])) == 3
        assert hand.run(delete_many(PLAINS, ["a", {"id": "b"}])) == 2
        keys = [[entry["DeleteRequest"]["Key"] for entry in entries_of(call)] for call in hand.sent]
        assert keys[0] == [{"customer": {"S": "c1"}, "number": {"N": str(n)}} for n in (1, 2, 3)]
        assert keys[1] == [{"id": {"S": "a"}}, {"id": {"S": "b"}}]

    @pytest.mark.parametrize(
        ("entity", "bad"),
        [
            (ORDERS, "c1"),
            (ORDERS, ("c1",)),
            (ORDERS, ("c1", 1, 2)),
            (ORDERS, ("c1", None)),
            (ORDERS, {"customer": "c1"}),
            (ORDERS, {"customer": "c1", "number": 1, "note": "x"}),
            (PLAINS, ("a", "b")),
            (PLAINS, ""),
            (PLAINS, None),
            (PLAINS, {"note": "a"}),
        ],
    )
    def test_a_bad_key_is_refused_before_anything_is_sent(self, entity: Entity[Any], bad: object) -> None:
        hand = Hand(all_done)
        good: object = ("c1", 1) if entity is ORDERS else "a"
        for flow in (delete_many(entity, [good, bad]), get_many(entity, [good, bad])):
            with pytest.raises(ValidationError):
                hand.run(flow)
        assert hand.sent == []

    @pytest.mark.parametrize("given", ["abc", b"abc", {"id": "a"}, 5, Plain(id="a")])
    def test_what_is_no_list_is_refused(self, given: Any) -> None:
        for flow in (put_many(PLAINS, given), delete_many(PLAINS, given), get_many(PLAINS, given)):
            with pytest.raises(ValidationError, match="takes a list"):
                Hand(all_done).run(flow)

    def test_duplicates_are_models_of_their_own(self) -> None:
        model = Plain(id="a")
        hand = Hand(lambda call: {"Responses": {"t": [PLAINS.encode(model)]}})
        first, second = hand.run(get_many(PLAINS, ["a", "a"]))
        assert first == second == model
        assert first is not second

    def test_attributes_are_read_with_the_key_and_without_showing_it(self) -> None:
        answer = {"customer": {"S": "c1"}, "number": {"N": "1"}, "note": {"S": "x"}}
        hand = Hand(lambda call: {"Responses": {"t": [answer]}})
        assert hand.run(get_many(ORDERS, [("c1", 1), ("c1", 2)], ["note"])) == [PartialItem({"note": "x"}), None]
        part = hand.sent[0].params["RequestItems"]["t"]
        names = part["ExpressionAttributeNames"]
        assert {names.get(name, name) for name in part["ProjectionExpression"].split(", ")} == answer.keys()

    def test_a_stored_item_that_does_not_validate_is_an_error_with_its_key(self) -> None:
        bad = {"customer": {"S": "c1"}, "number": {"N": "1"}, "version": {"S": "one"}}
        with pytest.raises(ValidationError) as caught:
            Hand(lambda call: {"Responses": {"t": [bad]}}).run(get_many(ORDERS, [("c1", 1)]))
        assert caught.value.context["key"] == {"customer": "c1", "number": 1}


class CapriciousLane:
    """A table behind threads: leaves some of what it is sent, now and then fails after having applied some of it."""

    def __init__(self, seed: int, *, failures: float) -> None:
        self.stored: dict[str, str] = {}
        self._random = random.Random(seed)
        self._failures = failures
        self._on_their_way: set[str] = set()

    def send(self, call: Call) -> dict[str, Any]:
        requests = parameters_of(call)["RequestItems"]["t"]
        items = [next(iter(request.values())) for request in requests]
        names = {next(iter(each.values()))["id"]["N"] for each in items}
        assert len(names) == len(items) <= 25, "DynamoDB refuses a key that stands in a request twice"
        assert not names & self._on_their_way, "two requests with one key at the same time"
        self._on_their_way |= names
        time.sleep(self._random.random() / 2000)
        left = []
        for request in requests:
            if self._random.random() < 0.2:
                left.append(request)
            elif "PutRequest" in request:
                item = request["PutRequest"]["Item"]
                self.stored[item["id"]["N"]] = item["value"]["S"]
            else:
                self.stored.pop(request["DeleteRequest"]["Key"]["id"]["N"], None)
        self._on_their_way -= names
        if self._random.random() < self._failures:
            raise AccessDeniedError("for a moment")
        return {"UnprocessedItems": {"t": left}} if left else {}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("failures", [0, 0.02])
def test_in_threads_with_leftovers_and_failures_the_last_write_of_each_key_stands(seed: int, failures: float) -> None:
    chance = random.Random(seed)
    entries = [
        delete(number) if chance.random() < 0.3 else put(number, f"write {turn}")
        for turn in range(600)
        for number in (chance.randrange(250),)
    ]
    expected: dict[str, str] = {}
    for entry in entries:
        match entry.origin:
            case (number, value):
                expected[str(number)] = value
            case number:
                expected.pop(str(number), None)

    lane = CapriciousLane(seed, failures=failures)
    driver = SyncDriver(lane, RetryPolicy(max_attempts=1), sleep=lambda seconds: None)
    remaining: Iterable[Entry] = [replace(entry, origin=entry) for entry in entries]
    options = BatchOptions(concurrency=4, attempts=20)
    for _ in range(200):
        try:
            driver.run(batches.write(remaining, options))
            break
        except BatchIncompleteError as error:
            assert failures
            given = error.unprocessed
            remaining = [replace(entry, origin=entry) for entry in given]  # type: ignore[type-var]
    else:
        pytest.fail("never done")
    assert lane.stored == expected


class InterruptedLane:
    """Writes so many requests, then waits for a Ctrl-C, which comes in the thread that runs the batch."""

    def __init__(self, requests: int) -> None:
        self.written: list[int] = []
        self._requests = requests

    def send(self, call: Call) -> dict[str, Any]:
        if self._requests == 0:
            raise KeyboardInterrupt
        self._requests -= 1
        self.written += [int(request["PutRequest"]["Item"]["id"]["N"]) for request in entries_of(call)]
        return {}


def origins(numbers: Iterable[int]) -> list[tuple[int, str]]:
    return [(number, "") for number in numbers]


def test_an_interrupted_batch_says_what_is_not_known_to_be_written() -> None:
    lane = InterruptedLane(2)
    driver = SyncDriver(lane, RetryPolicy(max_attempts=1))
    entries = [put(number) for number in range(120)]
    with pytest.raises(KeyboardInterrupt) as caught:
        driver.run(batches.write(entries, BatchOptions(concurrency=1)))
    cause = caught.value.__cause__
    assert isinstance(cause, BatchIncompleteError)
    assert (cause.done, lane.written) == (50, [*range(50)])
    assert cause.unprocessed == origins(range(50, 120))
    assert "70 of 120 entries were not written: KeyboardInterrupt ended the batch" in cause.message


def test_requests_on_their_way_are_finished_before_an_interruption_tells() -> None:
    lane = InterruptedLane(100)

    def interrupt(progress: BatchProgress) -> None:
        raise KeyboardInterrupt

    driver = SyncDriver(lane, RetryPolicy(max_attempts=1))
    with pytest.raises(KeyboardInterrupt) as caught:
        driver.run(batches.write([put(number) for number in range(300)], BatchOptions(progress=interrupt)))
    cause = caught.value.__cause__
    assert isinstance(cause, BatchIncompleteError)
    assert cause.done == len(lane.written) >= 25
    assert {*origins(lane.written), *cause.unprocessed} == {*origins(range(300))}
    assert len(cause.unprocessed) == 300 - cause.done


def test_of_a_generator_what_was_not_drawn_is_not_drawn_for_an_interruption() -> None:
    drawn = Drawn(put(number) for number in count())
    with pytest.raises(KeyboardInterrupt) as caught:
        SyncDriver(InterruptedLane(1)).run(batches.write(drawn, BatchOptions(concurrency=1)))
    cause = caught.value.__cause__
    assert isinstance(cause, BatchIncompleteError)
    assert cause.unprocessed == origins(range(25, drawn.count))


def test_an_interruption_before_the_first_request_is_just_that() -> None:
    def interrupted() -> Iterator[Entry]:
        yield put(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        SyncDriver(InterruptedLane(1)).run(batches.write(interrupted()))
    assert caught.value.__cause__ is None


def test_a_cancelled_batch_says_what_is_not_known_to_be_written() -> None:
    begun = asyncio.Event()

    class SlowLane:
        written = 0

        async def send(self, call: Call, seconds: float | None = None) -> dict[str, Any]:
            if self.written == 50:
                begun.set()
                await asyncio.sleep(60)
            self.written += 25
            return {}

    async def cancelled() -> BaseException | None:
        lane: Any = SlowLane()
        entries = [put(number) for number in range(120)]
        task = asyncio.create_task(AsyncDriver(lane).run(batches.write(entries, BatchOptions(concurrency=1))))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.__cause__

    cause = asyncio.run(cancelled())
    assert isinstance(cause, BatchIncompleteError)
    assert cause.unprocessed == origins(range(50, 120))
